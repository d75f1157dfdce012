"""The numbers of the report: intervals, gene statistics, splice sites, distances and the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from report_folders import CARD, write_contigs

from segnt_tools.elements import Strand
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.report.assembly import read_assembly
from segnt_tools.report.elements import ElementCalls, ElementNumbers
from segnt_tools.report.folder import RunFolder
from segnt_tools.report.genes import GeneNumbers, ends_of_sequences, model_parts, phases_of_introns
from segnt_tools.report.intervals import Axis, Intervals
from segnt_tools.report.loci import surroundings
from segnt_tools.report.measures import Distribution, Measure, Unit, bases, written
from segnt_tools.report.splicing import information, splice_sites
from segnt_tools.report.theme import DARK_PAPER, LIGHT_PAPER, contrast, readable, shortened
from segnt_tools.report.verdict import Level, usual_range
from segnt_tools.sequence.assembly import Assembly


def _intervals(rows: list[tuple[int, int]]) -> Intervals:
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return Intervals(table[:, 0], table[:, 1])


def _covered(intervals: Intervals, size: int) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    for start, end in zip(intervals.starts.tolist(), intervals.ends.tolist(), strict=True):
        mask[start:end] = True
    return mask


@pytest.mark.parametrize("seed", range(20))
def test_interval_arithmetic_equals_counting_bases(seed: int) -> None:
    random = np.random.default_rng(seed)

    def some() -> Intervals:
        starts = random.integers(0, 180, random.integers(0, 30))
        return Intervals(starts, starts + random.integers(1, 20, starts.size))

    one, other = some(), some()
    a, b = _covered(one, 200), _covered(other, 200)
    assert one.bases == a.sum()
    assert one.overlap(other) == other.overlap(one) == (a & b).sum()
    positions = np.arange(201)
    assert one.covered_before(positions).tolist() == [int(a[:p].sum()) for p in positions]
    assert (one.merged.starts[1:] > one.merged.ends[:-1]).all()


def _gene(contig: str, strand: Strand, exons: list[tuple[int, int]], name: str = "g", **more: object) -> Gene:
    transcript = Transcript(f"{name}.t1", strand, tuple(exons), tuple(exons), **more)  # type: ignore[arg-type]
    return Gene(name, contig, strand, (transcript,))


def test_intron_phases_follow_the_strand_and_the_first_phase() -> None:
    exons = ((0, 10), (20, 31), (40, 50))
    plus = Transcript("t", Strand.PLUS, exons, exons)
    assert list(phases_of_introns(plus)) == [10 % 3, 21 % 3]
    minus = Transcript("t", Strand.MINUS, exons, exons)
    assert list(phases_of_introns(minus)) == [10 % 3, 21 % 3]
    partial = Transcript("t", Strand.PLUS, exons, exons, cds_phase=1)
    assert list(phases_of_introns(partial)) == [9 % 3, 20 % 3]


def test_distances_between_genes_do_not_cross_contigs_or_count_overlaps() -> None:
    axis = Axis.of({"a": 1000, "b": 1000})
    genes = [
        _gene("a", Strand.PLUS, [(100, 200)], "1"),
        _gene("a", Strand.MINUS, [(150, 300)], "2"),
        _gene("a", Strand.PLUS, [(450, 500)], "3"),
        _gene("b", Strand.PLUS, [(10, 20)], "4"),
    ]
    assert GeneNumbers(genes, axis, None).intergenic_lengths.tolist() == [150]


def test_parts_of_a_minus_strand_gene_lie_where_its_sites_are() -> None:
    axis = Axis.of({"x": 500, "a": 500})
    genes = GeneNumbers([_gene("a", Strand.MINUS, [(100, 130), (200, 230)])], axis, None)
    parts = {name: (part.starts.tolist(), part.ends.tolist()) for name, part in model_parts(genes).items()}
    assert parts["splice_donor"] == ([698], [700])
    assert parts["splice_acceptor"] == ([630], [632])
    assert parts["start_codon"] == ([727], [730])
    assert parts["stop_codon"] == ([600], [603])


def test_ends_of_coding_sequences_leave_out_cut_ends(tmp_path: Path) -> None:
    fasta = tmp_path / "cds.fa"
    fasta.write_text(">a gene=1\nATGAAA\nTAA\n>b gene=2\nCTGAAATAG\n>c gene=3 partial=5,3\nCCCCCCCCC\n>d\natgccctga\n")
    found = ends_of_sequences(fasta, {"c": (True, True)}, frozenset({"TAA", "TAG", "TGA"}))
    assert (found.models, found.five_complete, found.atg) == (4, 3, 2)
    assert (found.three_complete, found.stop) == (3, 3)


def test_splice_sites_are_read_on_both_strands_and_at_the_contigs_edge(tmp_path: Path) -> None:
    # plus: exon 0-6, intron GTAAGT...CAG, exon; the reverse complement holds the same intron on the minus strand.
    intron = "GTAAGT" + "T" * 40 + "TTTTCAG"
    sequence = "CCCAAG" + intron + "GATCCC"
    complement = sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))
    fasta = tmp_path / "g.fa"
    fasta.write_text(f">p\n{sequence}\n>m\n{complement}\n")
    length = len(sequence)
    genes = [
        _gene("p", Strand.PLUS, [(0, 6), (6 + len(intron), length)], "1"),
        _gene("m", Strand.MINUS, [(0, 6), (6 + len(intron), length)], "2"),
        _gene("elsewhere", Strand.PLUS, [(0, 6), (66, 100)], "3"),
        _gene("p", Strand.PLUS, [(0, 1), (6 + len(intron), length)], "4"),
    ]
    with Assembly.open(fasta) as assembly:
        found = splice_sites(genes, assembly)
    assert found.introns == 3
    assert found.absent == 1
    assert found.kinds == {"GT-AG": 2, "CC-AG": 1}
    assert found.donor[3].tolist() == [0, 1, 2, 0]
    assert found.donor.sum(axis=1).tolist() == [2, 2, 3, 3, 3, 3, 3, 3, 3]
    assert found.acceptor[-4].tolist() == [0, 0, 3, 0]


def test_a_conserved_base_carries_two_bits_and_an_even_one_none() -> None:
    bits = information(np.array([[10, 0, 0, 0], [5, 5, 5, 5], [0, 0, 0, 0], [4, 4, 0, 0]]))
    assert bits.sum(axis=1).tolist() == pytest.approx([2, 0, 0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_distance_to_the_nearest_gene_start_equals_looking_at_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    axis = Axis.of({"a": 5000, "b": 3000, "c": 100})
    genes = []
    for contig, length in (("a", 5000), ("b", 3000)):
        for number, start in enumerate(sorted(random.integers(0, length - 200, 6).tolist())):
            strand = Strand.PLUS if random.random() < 0.5 else Strand.MINUS
            genes.append(_gene(contig, strand, [(start, start + 100)], f"{contig}{number}"))
    numbers = GeneNumbers(genes, axis, None)
    starts = random.integers(0, 8000, 50)
    calls = ElementCalls("promoter_Tissue_specific", Intervals(starts, starts + 1), np.ones(50))
    (found,) = ElementNumbers((calls,), axis, (), "test").distances(numbers)
    expected = []
    for at in starts.tolist():
        contig = "a" if at < 5000 else "b"
        local = at - (0 if contig == "a" else 5000)
        sites = [(g.start if g.strand is Strand.PLUS else g.end - 1) for g in genes if g.contig == contig]
        expected.append(min(abs(local - site) for site in sites))
    assert np.abs(found.signed).tolist() == expected
    assert found.within(1000) == pytest.approx(np.mean(np.array(expected) <= 1000))


def test_upstream_is_negative_on_both_strands() -> None:
    axis = Axis.of({"a": 9000})
    genes = [_gene("a", Strand.PLUS, [(1000, 1500)], "1"), _gene("a", Strand.MINUS, [(6000, 7000)], "2")]
    calls = ElementCalls("promoter_Tissue_specific", _intervals([(900, 901), (7099, 7100)]), np.ones(2))
    (found,) = ElementNumbers((calls,), axis, (), "test").distances(GeneNumbers(genes, axis, None))
    assert found.signed.tolist() == [-100, -100]


def test_calls_and_models_agree_where_they_overlap() -> None:
    axis = Axis.of({"a": 1000})
    genes = GeneNumbers([_gene("a", Strand.PLUS, [(100, 200), (300, 400)])], axis, None)
    exon = ElementCalls("exon", _intervals([(100, 200), (500, 600)]), np.ones(2))
    donor = ElementCalls("splice_donor", _intervals([(201, 202), (203, 204)]), np.ones(2))
    by_name = {row.element: row for row in ElementNumbers((exon, donor), axis, (), "t").agreement(genes)}
    assert by_name["exon"].calls_in_models == by_name["exon"].models_in_calls == 0.5
    assert by_name["splice_donor"].calls_in_models == 1.0


def test_assembly_numbers_come_from_the_contig_table(tmp_path: Path) -> None:
    write_contigs(tmp_path, {"a": 5000, "b": 3000, "c": 2000, "d": 100}, skipped=["d"])
    found = read_assembly(RunFolder.open(tmp_path, "run"), None)
    assert found is not None
    values = {measure.key: measure.value for measure in found.measures()}
    assert (values["contigs"], values["bases"], values["longest"]) == (4, 10_100, 5000)
    assert (values["n50"], values["l50"], values["n90"], values["l90"]) == (3000, 2, 2000, 3)
    assert values["contigs_used"] == 3
    assert found.reasons == {"shorter than 500 bp": 1}
    assert values["gc"] == pytest.approx(0.36)


def test_bases_of_regions_are_what_was_annotated(tmp_path: Path) -> None:
    write_contigs(tmp_path, {"a": 5000, "b": 3000, "c": 2000}, skipped=["c"])
    (tmp_path / "annotate.json").write_text(json.dumps({"preprocess": {"bases_used": 1500}}))
    found = read_assembly(RunFolder.open(tmp_path, "run"), None)
    assert found is not None
    assert (found.bases_used, found.known_bases) == (1500, None)
    (tmp_path / "annotate.json").write_text(json.dumps({"preprocess": {"bases_used": 8000}}))
    found = read_assembly(RunFolder.open(tmp_path, "run"), None)
    assert found is not None
    assert found.bases_used == 8000
    assert found.known_bases is not None


def test_a_damaged_contig_table_becomes_a_note(tmp_path: Path) -> None:
    (tmp_path / "contigs.tsv").write_text("#contig\tlength\na\tmany\n")
    run = RunFolder.open(tmp_path, "run")
    assert read_assembly(run, {"a": 10}) is not None
    assert "contigs.tsv cannot be read" in run.notes[0]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.1234, Unit.SHARE, "12.3 %"),
        (None, Unit.COUNT, "not known"),
        (1234567, Unit.COUNT, "1,234,567"),
        (999, Unit.BASES, "999 bp"),
        (12_345, Unit.BASES, "12.35 kb"),
        (0.98765, Unit.PROBABILITY, "0.988"),
        (5.25, Unit.NUMBER, "5.2"),
    ],
)
def test_values_are_written_for_people(value: float | None, unit: Unit, text: str) -> None:
    assert written(value, unit) == text


def test_bases_get_the_fitting_unit() -> None:
    assert [bases(n) for n in (9_999, 1_500_000, 3_100_000_000)] == ["9,999 bp", "1.50 Mb", "3.10 Gb"]


def test_an_empty_sample_has_no_distribution() -> None:
    assert Distribution.of(np.zeros(0)) is None
    found = Distribution.of(np.arange(101))
    assert found is not None
    assert found.quantiles == (5, 25, 50, 75, 95)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(10, (5, 20)), ([3, 8], (3, 8)), ({"low": 1, "high": 2}, (1, 2)), ("many", None), ([1], None), (True, None)],
)
def test_expectations_of_a_card_are_ranges(value: object, expected: tuple[float, float] | None) -> None:
    assert usual_range(value) == expected


def test_colours_reach_the_contrast_graphics_need() -> None:
    for paper in (LIGHT_PAPER, DARK_PAPER):
        for colour in ("#EECC66", "#332288", "#BBBBBB", "#000000", "#ffffff"):
            mixed = readable(colour, paper)
            channels = [tuple(int(text[i : i + 2], 16) for i in (1, 3, 5)) for text in (mixed, paper)]
            assert contrast(*channels) >= 3


def test_paths_of_steps_get_shorter_and_curves_stay() -> None:
    steps = "M 1 2 L 1 5 L 3 5 L 3 5 L 4 6 z M 0 0 L 0 1 z"
    assert shortened(steps) == "M1 2V5H3L4 6zM0 0V1z"
    assert shortened("M 1 2 Q 3 4 5 6 z") == "M 1 2 Q 3 4 5 6 z"


def test_surroundings_stay_inside_the_contig() -> None:
    region = surroundings("a", 500, 900, 1000)
    assert (region.start, region.end) == (0, 1000)
    assert surroundings("a", 0, 400_000, 500_000).end == 150_000


# --- verdict


def _judged(
    tmp_path: Path, genes: int, card: dict[str, object] | None = None, length: int = 1_000_000
) -> SimpleNamespace:
    from segnt_tools.report.runs import gather
    from segnt_tools.report.verdict import judge

    write_contigs(tmp_path, {"a": length})
    rows = ["##gff-version 3"]
    for i in range(genes):
        start = 1 + i * 3000
        for kind, parent in (("gene", ""), ("mRNA", f";Parent=g{i}"), ("CDS", f";Parent=m{i}")):
            name = {"gene": f"g{i}", "mRNA": f"m{i}", "CDS": f"c{i}"}[kind]
            phase = "0" if kind == "CDS" else "."
            rows.append(f"a\tx\t{kind}\t{start}\t{start + 899}\t0.9\t+\t{phase}\tID={name}{parent}")
    (tmp_path / "genes.gff3").write_text("\n".join(rows) + "\n")
    (tmp_path / "annotate.json").write_text(json.dumps({"card": card or {}}))
    verdict = judge(gather(RunFolder.open(tmp_path, "run"), None, None))
    return SimpleNamespace(level=verdict.level, text=verdict.sentence, checks={one.name: one for one in verdict.checks})


def test_usual_numbers_are_good(tmp_path: Path) -> None:
    card = CARD | {"expectations": {"genes_per_mb": [50, 300], "single_exon_share": [0.5, 1.0]}}
    found = _judged(tmp_path, 100, card)
    assert found.level is Level.GOOD
    assert "50.0 to 300.0 is usual for land plants" in found.checks["Genes per Mb"].finding


def test_a_plant_model_on_a_strange_genome_is_called_wrong_with_advice(tmp_path: Path) -> None:
    found = _judged(tmp_path, 0, dict(CARD))
    assert found.level is Level.BAD
    assert "No gene was found in 1.00 Mb" in found.checks["Fit of model and assembly"].finding
    assert "land plants" in found.checks["Fit of model and assembly"].advice


def test_too_few_genes_are_wrong_and_some_too_few_worth_a_look(tmp_path: Path) -> None:
    few = _judged(tmp_path, 30, CARD | {"expectations": {"genes_per_mb": [40, 300]}})
    assert (few.level, few.checks["Genes per Mb"].level) == (Level.NOTICE, Level.NOTICE)
    fewer = _judged(tmp_path, 30, CARD | {"expectations": {"genes_per_mb": [200, 300]}})
    assert fewer.level is Level.BAD
    assert "genes per Mb" in fewer.text


def test_a_model_that_does_not_fit_is_told_by_several_odd_measures(tmp_path: Path) -> None:
    odd = {"single_exon_share": [0.1, 0.4], "exons_per_gene": [3, 9]}
    two = _judged(tmp_path, 100, CARD | {"expectations": odd})
    assert two.level is Level.NOTICE
    assert "Fit of model and assembly" not in two.checks
    three = _judged(tmp_path, 100, CARD | {"expectations": odd | {"median_cds": [2000, 3000]}})
    assert three.level is Level.BAD
    assert "fit of model and assembly" in three.text
    assert "3 of 3 measures are not as in land plants" in three.checks["Fit of model and assembly"].finding
    assert _judged(tmp_path, 5, CARD | {"expectations": odd | {"median_cds": 2000}}).level is not Level.BAD


def test_an_assembly_in_pieces_is_pointed_out(tmp_path: Path) -> None:
    from segnt_tools.report.runs import gather
    from segnt_tools.report.verdict import judge

    for length, level in ((2_000, Level.NOTICE), (50_000, Level.GOOD)):
        write_contigs(tmp_path, {f"c{i}": length for i in range(30)})
        verdict = judge(gather(RunFolder.open(tmp_path, "run"), None, None))
        (found,) = (one for one in verdict.checks if one.name == "Contiguity")
        assert found.level is level
        assert bases(length) in found.finding
    write_contigs(tmp_path, {"plasmid": 2_000})
    assert "Contiguity" not in {one.name for one in judge(gather(RunFolder.open(tmp_path, "run"), None, None)).checks}


def test_a_card_without_expectations_is_said(tmp_path: Path) -> None:
    found = _judged(tmp_path, 100)
    assert found.level is Level.UNKNOWN
    assert "does not say what is usual" in found.text


def test_calls_in_pieces_are_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "elements.bed").write_text("".join(f"a\t{i}\t{i + 2}\tintron\t600\t+\n" for i in range(0, 2000, 10)))
    found = _judged(tmp_path, 100)
    assert found.level is Level.NOTICE
    assert "intron are shorter than 10 bases" in found.checks["Element calls"].finding


def test_calls_and_models_that_disagree_are_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "elements.bed").write_text("a\t500000\t600000\tCDS\t900\t+\n")
    found = _judged(tmp_path, 100)
    assert found.checks["Calls and gene models"].level is Level.BAD


def test_a_tiny_contig_without_genes_is_no_failure(tmp_path: Path) -> None:
    assert _judged(tmp_path, 0, dict(CARD), length=500).level is not Level.BAD


def test_measures_know_their_text() -> None:
    assert Measure("x", "X", 0.5, Unit.SHARE).text == "50.0 %"
