"""The report's page: every part may be missing, odd names stay text, 100,000 contigs stay small, chromium opens it."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import require_engine
from report_folders import CARD, cut, scored, write_bed, write_contigs, write_run

from segnt_tools.commands.main import run as segnt
from segnt_tools.elements import Strand
from segnt_tools.errors import UsageError
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.gff.reading import read_genes
from segnt_tools.gff.writing import write_gff3
from segnt_tools.report.page import write_report
from segnt_tools.sequence.assembly import Assembly

DEMO = Path(__file__).parents[1] / "segnt_tools" / "data" / "demo"
SECTIONS = ("verdict", "assembly", "genes", "elements", "map", "loci", "evaluation")
VOID = {"meta", "link", "br", "wbr", "img", "hr", "input"}


class Checker(html.parser.HTMLParser):
    """Collects what a page holds and whether its tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.targets: set[str] = set()
        self.outside: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look(attrs)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def _look(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids[str(value)] += 1
            elif name in ("href", "xlink:href", "src"):
                if str(value).startswith("#"):
                    self.targets.add(str(value)[1:])
                elif value != "data:,":
                    self.outside.append(str(value))


def check(page: Path) -> str:
    """Assert what holds for every page, and return its text."""
    text = page.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    assert not checker.wrong
    assert not checker.open
    assert not [name for name, count in checker.ids.items() if count > 1]
    assert not checker.targets - set(checker.ids)
    assert not checker.outside
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)", text)
    assert ">nan<" not in text.lower()
    assert len(text.encode()) < 5_000_000
    for variable in set(re.findall(r"var\((--c[0-9a-f]{6})\)", text)):
        assert text.count(f"{variable}:") == 2, "a colour for light and one for dark"
    return text


def section_of(text: str, name: str, prefix: str = "") -> str:
    """The text of a section."""
    start = text.index(f'<section id="{prefix}{name}"')
    return text[start : text.index("</section>", start)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of the bundled assembly and its reference genes."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    with Assembly.open(DEMO / "arabidopsis_chr1.fa.gz") as genome:
        genes = [gene for gene in read_genes(DEMO / "arabidopsis_chr1.gff3.gz") if gene.type == "gene"]
        return write_run(folder, scored(genes), dict(genome.lengths), genome=genome)


@pytest.fixture(scope="module")
def demo_page(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page, with everything that can be asked for."""
    evaluate(demo)
    out = tmp_path_factory.mktemp("page") / "report.html"
    write_report(
        [demo],
        out,
        genome=DEMO / "arabidopsis_chr1.fa.gz",
        regions=["NC_003070.9_29000001-29300000:100,001-140,000"],
        existing=DEMO / "arabidopsis_chr1.gff3.gz",
    )
    return out


def evaluate(folder: Path) -> None:
    """What `segnt evaluate` says about the run's gene models and tracks, beside the run."""
    given = [str(folder / "genes.gff3"), str(folder / "tracks"), "--names", "models,tracks", "--samplings", "0", "-q"]
    truth = ["--truth", str(DEMO / "arabidopsis_chr1.gff3.gz"), "--genome", str(DEMO / "arabidopsis_chr1.fa.gz")]
    assert segnt(["evaluate", *given, *truth, "--out", str(folder / "evaluate")]) == 0


def test_the_page_says_what_the_run_holds(demo_page: Path) -> None:
    text = check(demo_page)
    genes = section_of(text, "genes")
    assert "GT-AG" in genes
    assert genes.count("<svg") == 10
    assert 'class="absent"' not in genes
    loci = section_of(text, "loci")
    assert loci.count("<svg") == 5
    assert "100001-140000" in loci
    for title in ("Best gene", "Typical gene", "Worst-scoring gene", "Longest gene"):
        assert title.lower() in loci.lower()
    evaluation = section_of(text, "evaluation")
    titles = re.findall(r"<title[^>]*>(.*?)</title>", evaluation)
    assert titles == [
        "F1, coding parts",
        "F1, whole exons with exact ends",
        "Reliability of scores of gene models",
        "Precision and recall of scores of gene models",
        "Reliability of tracks (the 8 most frequent)",
        "Precision and recall of tracks (the 8 most frequent)",
    ]
    assert "not defined" in evaluation
    verdict = section_of(text, "verdict")
    assert "MIT" in verdict
    assert "land plants" in verdict


def test_numbers_stand_beside_the_page(demo: Path, demo_page: Path) -> None:
    values = json.loads(demo_page.with_suffix(".json").read_text())
    (run,) = values["runs"]
    rows = (demo / "genes.gff3").read_text().splitlines()
    assert run["measures"]["genes"] == sum(row.split("\t")[2:3] == ["gene"] for row in rows)
    assert run["measures"]["start_share"] == 1.0
    assert run["splice_sites"]["kinds"]["GT-AG"] / run["splice_sites"]["introns"] > 0.95
    calls = {row["element"]: row["calls"] for row in run["elements"]["calls"]}
    assert calls["exon"] == sum(
        line.split("\t")[3] == "exon" for line in (demo / "elements.bed").read_text().splitlines()
    )
    tsv = [line.split("\t") for line in demo_page.with_suffix(".tsv").read_text().splitlines()]
    assert tsv[0] == ["run", "key", "value", "label"]
    assert {row[1]: row[2] for row in tsv}["genes"] == str(run["measures"]["genes"])


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(demo: Path, tmp_path: Path) -> None:
    pages = []
    for name in ("a", "b"):
        out = tmp_path / name / "report.html"
        out.parent.mkdir()
        write_report([demo], out)
        pages.append([path.read_bytes() for path in sorted(out.parent.iterdir())])
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    "missing",
    [
        ("genes.gff3",),
        ("elements.bed",),
        ("tracks",),
        ("annotate.json",),
        ("contigs.tsv",),
        ("cds.fa",),
        ("genes.gff3", "elements.bed"),
        ("contigs.tsv", "tracks", "elements.bed", "cds.fa", "annotate.json"),
        ("genes.gff3", "elements.bed", "tracks", "contigs.tsv", "annotate.json", "cds.fa"),
    ],
    ids="+".join,
)
def test_every_part_may_be_missing(demo: Path, tmp_path: Path, missing: tuple[str, ...]) -> None:
    folder = tmp_path / "run"
    shutil.copytree(demo, folder)
    for name in (*missing, "evaluate"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    out = tmp_path / "report.html"
    write_report([folder], out)
    text = check(out)
    for name in SECTIONS:
        assert len(section_of(text, name)) > 100
    if "genes.gff3" in missing:
        assert "There is no genes.gff3" in section_of(text, "genes")
    if "elements.bed" in missing:
        assert "neither elements.bed nor elements.gff3" in section_of(text, "elements")
    assert "segnt evaluate was not run" in section_of(text, "evaluation")


def test_an_empty_folder_still_gives_a_page(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_report([tmp_path / "run"], tmp_path / "report.html")
    text = check(tmp_path / "report.html")
    assert "? There is nothing to judge yet" in re.sub("<[^>]+>", "", text)


@pytest.mark.parametrize("length", [1, 23, 500])
def test_a_tiny_contig_where_nothing_was_predicted(tmp_path: Path, length: int) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    write_contigs(folder, {"tiny": length})
    (folder / "genes.gff3").write_text(f"##gff-version 3\n##sequence-region tiny 1 {length}\n")
    (folder / "elements.bed").write_text("")
    (folder / "cds.fa").write_text("")
    write_report([folder], tmp_path / "report.html")
    text = check(tmp_path / "report.html")
    assert "genes.gff3 holds no gene" in text
    assert "No element was called anywhere" in text
    assert f"tiny:1-{length}" in section_of(text, "loci")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("genes.gff3", "no gff at all\n"),
        ("elements.bed", "x\t1\tmany\n"),
        ("annotate.json", "{"),
        ("tracks/exon.plus.bw", "no bigWig"),
        ("contigs.tsv", "\n"),
        ("evaluate.json", "[]"),
    ],
)
def test_a_damaged_part_becomes_a_note(demo: Path, tmp_path: Path, name: str, content: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(demo, folder)
    (folder / name).write_text(content)
    write_report([folder], tmp_path / "report.html")
    text = check(tmp_path / "report.html")
    if name != "evaluate.json":
        assert f"{Path(name).name} cannot be read" in text


def test_odd_names_stay_text(tmp_path: Path) -> None:
    name = "a<b>&\"'$x_1$|%;é"
    transcript = Transcript("t<1>", Strand.MINUS, ((100, 200), (300, 400)), ((100, 200), (300, 400)), score=0.5)
    gene = Gene("<script>alert(1)</script>", name, Strand.MINUS, (transcript,), score=0.5)
    folder = write_run(tmp_path / "run & <son>", [gene], {name: 5000})
    write_gff3(folder / "genes.gff3", [gene], {name: 5000})
    (folder / "annotate.json").write_text(json.dumps({"card": CARD | {"name": "<i>m</i>", "clade": "a & b"}}))
    write_report([folder], tmp_path / "report.html", regions=[f"{name}:1-2000"])
    text = check(tmp_path / "report.html")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<i>m</i>" not in text


def test_a_region_that_no_run_has_is_refused(demo: Path, tmp_path: Path) -> None:
    for region, message in (
        ("chrZ:1-10", "no run has the contig"),
        ("NC_003070.9_29000001-29300000:1-9999999", "leaves"),
    ):
        with pytest.raises(UsageError, match=message):
            write_report([demo], tmp_path / "report.html", regions=[region])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_many_regions_do_not_break_the_size(demo: Path, tmp_path: Path) -> None:
    contig = "NC_003070.9_29000001-29300000"
    regions = [f"{contig}:{start}-{start + 60_000}" for start in range(1, 200_000, 8_000)]
    write_report([demo], tmp_path / "report.html", regions=regions)
    check(tmp_path / "report.html")


def test_several_runs_stand_side_by_side(demo: Path, tmp_path: Path) -> None:
    evaluate(demo)
    bare = tmp_path / "other" / "run"
    bare.mkdir(parents=True)
    shutil.copy(demo / "genes.gff3", bare)
    empty = tmp_path / "empty"
    empty.mkdir()
    write_report([demo, bare, empty], tmp_path / "report.html")
    text = check(tmp_path / "report.html")
    comparison = section_of(text, "comparison")
    assert "other/run" in comparison
    assert comparison.count("<svg") >= 7
    assert "Gene finding, F1 of coding parts" in comparison
    for prefix in ("r1-", "r2-", "r3-"):
        for name in SECTIONS:
            section_of(text, name, prefix)
    values = json.loads((tmp_path / "report.json").read_text())
    first, second, third = (run["measures"].get("genes") for run in values["runs"])
    assert first == second
    assert third is None


def _many_contigs(folder: Path, contigs: int, genes: int) -> None:
    random = np.random.default_rng(3)
    folder.mkdir()
    sizes = np.maximum(300, random.lognormal(8, 1, contigs)).astype(int).tolist()
    lengths = {f"scaffold_{number}": size for number, size in enumerate(sizes, 1)}
    write_contigs(folder, lengths, [name for name, size in lengths.items() if size < 500])
    models, calls = [], []
    for name, size in lengths.items():
        if size > 3000 and len(models) < genes:
            exons = tuple((at, at + 150) for at in range(500, 2300, 300))
            number = len(models)
            transcript = Transcript(f"g{number}.t1", Strand.PLUS, exons, exons, score=0.9)
            models.append(Gene(f"g{number}", name, Strand.PLUS, (transcript,), score=float(random.beta(7, 1))))
            calls += [(name, start, end, "exon", "+", 0.9) for start, end in exons]
    write_gff3(folder / "genes.gff3", models, lengths)
    write_bed(folder, calls)


@pytest.mark.slow
def test_100_000_contigs_stay_below_5_mb(tmp_path: Path) -> None:
    _many_contigs(tmp_path / "run", 100_000, 30_000)
    write_report([tmp_path / "run"], tmp_path / "report.html")
    text = check(tmp_path / "report.html")
    assert "99,960 more contigs" in section_of(text, "map")
    assert len(text) < 1_500_000


# --- command line


def test_the_command_writes_the_page_and_its_numbers(demo: Path, tmp_path: Path) -> None:
    out, numbers = tmp_path / "new" / "r.html", tmp_path / "n.json"
    assert segnt(["report", str(demo), "--out", str(out), "--json", str(numbers), "--quiet"]) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == ["r.html", "r.json", "r.tsv", "r_mqc.json"]
    assert json.loads(numbers.read_text()) == json.loads(out.with_suffix(".json").read_text())


@pytest.mark.parametrize(
    "arguments",
    [
        ["{missing}"],
        ["{run}", "--region", "nowhere:1-5"],
        ["{run}", "--genome", "{missing}"],
        ["{run}", "--existing", "{missing}"],
    ],
)
def test_wrong_input_ends_with_status_2(
    demo: Path, tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"missing": str(tmp_path / "missing"), "run": str(demo)}
    filled = [argument.format(**places) for argument in arguments]
    assert segnt(["report", *filled, "--out", str(tmp_path / "out" / "r.html")]) == 2
    assert "ERROR" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


# --- real programs

_LOOK = """<script>
window.addEventListener('load', function () {
  var found = {figures: [], text: [], rows: 0, contrast: 0};
  document.querySelectorAll('figure > svg').forEach(function (svg) {
    var box = svg.getBoundingClientRect(), shapes = 0;
    svg.querySelectorAll('path, use, text').forEach(function (shape) {
      var inner = shape.getBBox ? shape.getBBox() : {width: 0, height: 0};
      if (inner.width > 0 || inner.height > 0) shapes++;
    });
    found.figures.push([svg.querySelector('title').textContent, box.width, box.height, shapes]);
  });
  document.querySelectorAll('main section').forEach(function (part) {
    found.text.push([part.id, part.textContent.trim().length, part.scrollWidth - part.clientWidth]);
  });
  var table = document.querySelector('#elements table.sortable');
  if (table) {
    var button = table.querySelectorAll('th button')[1];
    button.click();
    found.sorted = Array.prototype.map.call(table.tBodies[0].rows, function (row) {
      return parseInt(row.cells[1].getAttribute('data-k'), 10);
    });
    found.state = button.parentNode.getAttribute('aria-sort');
  }
  var out = document.createElement('pre');
  out.id = 'looked';
  out.textContent = JSON.stringify(found);
  document.body.appendChild(out);
});
</script></body>"""


def _open_in_chromium(page: Path, tmp_path: Path) -> tuple[dict[str, list[Any]], str]:
    """What a real browser made of the page, and what it wrote to its log."""
    chromium = require_engine("chromium")
    looked = tmp_path / "looked.html"
    looked.write_text(page.read_text(encoding="utf-8").replace("</body>", _LOOK), encoding="utf-8")
    arguments = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"),
        *("--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,1000"),
        "--virtual-time-budget=20000",
    )
    done = subprocess.run(
        [chromium, *arguments, "--dump-dom", looked.as_uri()], capture_output=True, text=True, check=True, timeout=300
    )
    found = re.search(r'<pre id="looked">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    import html as entities

    return json.loads(entities.unescape(found[1])), done.stderr


def _assert_filled(found: dict[str, list[Any]], log: str) -> None:
    """Nothing on the console, every panel drawn, nothing wider than the page."""
    assert "CONSOLE" not in log
    assert found["figures"]
    for title, width, height, shapes in found["figures"]:
        assert width > 200, title
        assert height > 60, title
        assert shapes > 10, title
    for name, letters, overflow in found["text"]:
        assert letters > 60, name
        assert overflow <= 0, f"{name} is wider than the page"


@pytest.mark.slow
def test_chromium_shows_every_panel_without_a_console_message(demo_page: Path, tmp_path: Path) -> None:
    found, log = _open_in_chromium(demo_page, tmp_path)
    _assert_filled(found, log)
    assert len(found["figures"]) == section_count(demo_page)
    assert found["sorted"] == sorted(found["sorted"], reverse=True)
    assert found["state"] == "descending"


def section_count(page: Path) -> int:
    """Figures with a drawing on the page."""
    return len(
        re.findall(r"<figure[^>]*><figcaption>.*?</figcaption><svg", page.read_text(encoding="utf-8"), re.DOTALL)
    )


@pytest.mark.slow
def test_chromium_shows_many_contigs_and_several_runs(demo: Path, tmp_path: Path) -> None:
    _many_contigs(tmp_path / "many", 20_000, 3_000)
    write_report([tmp_path / "many", demo], tmp_path / "report.html")
    found, log = _open_in_chromium(tmp_path / "report.html", tmp_path)
    _assert_filled(found, log)


# Data set, contig, first and last base: the pages that a reviewer would look at.
STRETCHES = {
    "arabidopsis": ("arabidopsis_thaliana_chr1", "NC_003070.9", 27_000_000, 30_427_671),
    "falciparum": ("plasmodium_falciparum_chr1-10", "Pf3D7_10_v3", 0, 1_687_656),
    "yeast": ("saccharomyces_cerevisiae_chrI-XII", "BK006944.2", 0, 666_816),
}


def _write_contigs(path: Path, sequences: dict[str, str]) -> Path:
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in sequences.items()), encoding="ascii")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model", "level"),
    [
        ("arabidopsis", "plant_small", "good"),
        ("falciparum", "plasmodium_small", "good"),
        ("yeast", "yeast_small", "good"),
        ("falciparum", "plant_small", "wrong"),  # a model of another clade: the verdict must say so
    ],
)
def test_chromium_shows_the_annotation_of_a_real_chromosome(
    name: str, model: str, level: str, genomes: Path, tmp_path: Path
) -> None:
    folder, contig, start, end = STRETCHES[name]
    with Assembly.open(genomes / folder / "genome.fa.gz") as genome:
        fasta = _write_contigs(tmp_path / "piece.fa", {contig: genome.sequence(contig, start, end)})
    run = tmp_path / name
    command = ["annotate", str(fasta), "--model", model, "--out", str(run), "--quiet", "-@", "1"]
    assert segnt(command) == 0
    reference = read_genes(genomes / folder / "annotation.gff3.gz")
    write_gff3(tmp_path / "reference.gff3", cut(reference, contig, start, end, contig), {contig: end - start})
    known = str(tmp_path / "reference.gff3")
    given = [str(run / "genes.gff3"), str(run / "tracks"), "--names", "models,tracks", "--samplings", "0", "-q"]
    given += ["--splice-side", "intron", "--truth", known, "--genome", str(fasta), "--out", str(run / "evaluate")]
    assert segnt(["evaluate", *given]) == 0
    values = write_report([run], tmp_path / "report.html", genome=fasta, existing=Path(known))
    check(tmp_path / "report.html")
    found, log = _open_in_chromium(tmp_path / "report.html", tmp_path)
    _assert_filled(found, log)
    assert values["runs"][0]["verdict"]["level"] == level


@pytest.mark.slow
def test_chromium_shows_20_000_contigs_of_a_real_genome(genomes: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    folder = genomes / "arabidopsis_arenosa_chr1_2"
    models = read_genes(folder / "annotation.gff3.gz")
    sequences: dict[str, str] = {}
    genes: list[Gene] = []
    with Assembly.open(folder / "genome.fa.gz") as genome:
        for chromosome, length in genome.lengths.items():
            sequence = genome.sequence(chromosome, 0, length)
            ends = np.cumsum(np.exp(random.uniform(np.log(500), np.log(4000), 20_000)).astype(int))
            here = sorted((gene for gene in models if gene.contig == chromosome), key=lambda gene: gene.start)
            start = at = 0
            for end in ends[ends < length].tolist()[: 20_000 - len(sequences)]:
                name = f"contig_{len(sequences) + 1:05}"
                sequences[name] = sequence[start:end]
                while at < len(here) and here[at].start < end:
                    genes += cut([here[at]], chromosome, start, end, name)
                    at += 1
                start = end
    assert len(sequences) == 20_000
    fasta = _write_contigs(tmp_path / "contigs.fa", sequences)
    with Assembly.open(fasta) as genome:
        run = write_run(tmp_path / "run", scored(genes), dict(genome.lengths), genome=genome, tracks=False)
    values = write_report([run], tmp_path / "report.html", genome=fasta)
    text = check(tmp_path / "report.html")
    assert len(text) < 1_500_000
    assert "Contiguity" in {
        one["name"] for one in values["runs"][0]["verdict"]["checks"] if one["level"] == "look here"
    }
    found, log = _open_in_chromium(tmp_path / "report.html", tmp_path)
    _assert_filled(found, log)


@pytest.mark.slow
def test_multiqc_accepts_the_custom_content(demo: Path, tmp_path: Path) -> None:
    multiqc = require_engine("multiqc")
    (tmp_path / "in").mkdir()
    write_report([demo], tmp_path / "in" / "report.html")
    command = [multiqc, str(tmp_path / "in"), "--outdir", str(tmp_path / "out"), "--no-ansi", "--strict"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "out" / "multiqc_data" / "multiqc_segnt_tools_table.txt").read_text().splitlines()
    genes = json.loads((tmp_path / "in" / "report.json").read_text())["runs"][0]["measures"]["genes"]
    row = dict(zip(*(line.split("\t") for line in table[:2]), strict=True))
    assert float(next(value for name, value in row.items() if name.strip() in ("genes", "Genes"))) == genes
