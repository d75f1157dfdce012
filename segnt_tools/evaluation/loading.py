"""Opening predictions and references: what kind a file is, and gene models and tracks that fit the genome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from segnt_tools.elements import Strand, Track
from segnt_tools.errors import AnnotationFileError, UsageError
from segnt_tools.evaluation.predictions import (
    BigWigPrediction,
    IntervalPrediction,
    NpzPrediction,
    Prediction,
    RunsPrediction,
    TracksPrediction,
)
from segnt_tools.gff.genemodel import Gene
from segnt_tools.labels.aliases import ContigNames
from segnt_tools.labels.annotation import Annotation, read_annotation
from segnt_tools.labels.bed import read_bed
from segnt_tools.labels.collector import IntervalCollector
from segnt_tools.labels.regulatory import Places
from segnt_tools.labels.rules import LabelRules
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.tracks.bigwig_reading import BIGWIG_SUFFIXES, track_of_file

# What gene models say about single bases.
GENE_TRACKS = (
    "protein_coding_gene", "exon", "intron", "splice_donor", "splice_acceptor", "5UTR", "3UTR", "CDS", "start_codon",
    "stop_codon",
)  # fmt: skip

_DEFAULT_RULES = LabelRules()


class Kind(StrEnum):
    """What a prediction or truth is made of."""

    GENES = "gene models"
    TRACKS = "tracks file"
    BIGWIG = "bigWig"
    RUNS = "bedGraph"
    NPZ = "npz"
    BED = "BED"


_SUFFIXES = {
    Kind.GENES: (".gff3", ".gff", ".gtf"),
    Kind.TRACKS: (".h5", ".hdf5"),
    Kind.BIGWIG: BIGWIG_SUFFIXES,
    Kind.RUNS: (".bedgraph", ".bg", ".bdg", ".tsv"),
    Kind.NPZ: (".npz",),
    Kind.BED: (".bed",),
}


@dataclass(frozen=True, slots=True)
class PredictionInput:
    """A prediction as given on the command line.

    Attributes:
        kind: kind of its files.
        files: the files, by track name where each is one track, otherwise under numbers.
        shown: what tables call the file.
    """

    kind: Kind
    files: Mapping[str, Path]
    shown: str

    @property
    def paths(self) -> list[Path]:
        """All files."""
        return list(self.files.values())


@dataclass(frozen=True, slots=True)
class LoadedPrediction:
    """A prediction ready for scoring.

    Attributes:
        genes: gene models, None where the file has none to offer.
        tracks: base by base.
        notes: what was left out.
    """

    genes: list[Gene] | None
    tracks: Prediction
    notes: tuple[str, ...] = ()


def kind_of(path: Path) -> Kind:
    """The kind of a file, told from its name.

    Raises:
        UsageError: there is no such file, or the name says nothing we know.
    """
    if not path.exists():
        raise UsageError("there is no such file", file=path)
    name = path.name.lower().removesuffix(".gz")
    for kind, suffixes in _SUFFIXES.items():
        if name.endswith(suffixes):
            return kind
    known = " ".join(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
    raise UsageError("the kind of file is not told by its name", file=path, hint=f"Known endings: {known} (and .gz)")


def parse_prediction(text: str) -> PredictionInput:
    """A prediction as written by the user: a file, a folder of bigWig, bedGraph or npz files, or TRACK=FILE,TRACK=FILE.

    Raises:
        UsageError: no such file, an unknown kind, or several kinds at once.
    """
    path = Path(text)
    if path.is_dir():
        return _folder_input(path)
    if "=" in text and not path.exists():
        pairs = [pair.partition("=") for pair in text.split(",")]
        if not all(track and file for track, _, file in pairs):
            raise UsageError(f"{text}: write TRACK=FILE,TRACK=FILE")
        return _one_kind({track: Path(file) for track, _, file in pairs}, Path(pairs[0][2]).name)
    kind = kind_of(path)
    single = kind in (Kind.BIGWIG, Kind.RUNS)
    return PredictionInput(kind, {track_of_file(path) if single else "1": path}, path.name)


def _folder_input(folder: Path) -> PredictionInput:
    for kind in (Kind.BIGWIG, Kind.RUNS, Kind.NPZ, Kind.TRACKS):
        suffixes = _SUFFIXES[kind]
        paths = sorted(p for p in folder.iterdir() if p.name.lower().removesuffix(".gz").endswith(suffixes))
        if paths:
            by_track = kind in (Kind.BIGWIG, Kind.RUNS)
            files = {track_of_file(path) if by_track else str(i): path for i, path in enumerate(paths)}
            return PredictionInput(kind, files, folder.name)
    raise UsageError("the folder holds no bigWig, bedGraph, npz or tracks file", file=folder)


def _one_kind(files: Mapping[str, Path], shown: str) -> PredictionInput:
    kinds = {kind_of(path) for path in files.values()}
    if len(kinds) > 1:
        raise UsageError(f"one prediction cannot be of several kinds ({', '.join(sorted(kinds))})")
    return PredictionInput(kinds.pop(), files, shown)


def load_prediction(given: PredictionInput, assembly: Assembly, rules: LabelRules = _DEFAULT_RULES) -> LoadedPrediction:
    """Open a prediction; of gene models the rules say which bases a splice site covers.

    Raises:
        InputError: it is damaged or does not fit the genome.
    """
    lengths = dict(assembly.lengths)
    match given.kind:
        case Kind.GENES if "1" in given.files:
            return _load_gff(given.paths[0], assembly, rules)
        case Kind.TRACKS:
            return LoadedPrediction(None, TracksPrediction(given.paths, assembly))
        case Kind.BIGWIG:
            return LoadedPrediction(None, BigWigPrediction(given.files, lengths))
        case Kind.RUNS:
            return LoadedPrediction(None, RunsPrediction(given.files, lengths))
        case Kind.NPZ:
            return LoadedPrediction(None, NpzPrediction(given.paths, lengths))
        case _:
            return LoadedPrediction(None, _load_intervals(given, lengths))


def _places(lengths: Mapping[str, int]) -> Places:
    return Places(lengths, ContigNames(lengths), ignore_missing=True)


def load_annotation(path: Path, assembly: Assembly, rules: LabelRules = _DEFAULT_RULES) -> Annotation:
    """An annotation with its gene models; rows on sequences that the genome lacks are passed over.

    Raises:
        AnnotationFileError: malformed, on none of the genome's sequences, or past the end of one.
    """
    places = _places(dict(assembly.lengths))
    annotation = read_annotation(path, assembly, places, rules, keep_genes=True)
    if places.missing and not annotation.contigs:
        raise AnnotationFileError(
            f"none of its sequences ({', '.join(list(places.missing)[:3])}) is in the genome",
            file=path,
            hint="Use files of one assembly, with the same sequence names",
        )
    if places.missing:
        first, rows = next(iter(places.missing)), places.missing.total()
        annotation.report.drop("its sequence is not in the genome", 0, first, rows)
    return annotation


def _load_gff(path: Path, assembly: Assembly, rules: LabelRules) -> LoadedPrediction:
    """Gene models, element calls, or both."""
    annotation = load_annotation(path, assembly, rules)
    called = sorted(annotation.called)
    has_genes = annotation.has_genes or not called
    tracks = list(dict.fromkeys((*(GENE_TRACKS if has_genes else ()), *called)))
    notes = annotation.report.summary()[1:]
    if annotation.counts.coding and not annotation.knows_utrs:
        notes.append("it has coding parts only: base by base its UTRs score 0, and exons and genes end with the codons")
    return LoadedPrediction(
        annotation.genes if has_genes else None, IntervalPrediction(annotation.collector, tracks), tuple(notes)
    )


def _load_intervals(given: PredictionInput, lengths: Mapping[str, int]) -> IntervalPrediction:
    """BED files: of one track each, or with the name of the element in column 4."""
    collector, tracks = IntervalCollector(), dict[str, None]()
    places = _places(lengths)
    for track, path in given.files.items():
        if given.kind is not Kind.BED:
            raise UsageError("only tracks and BED files can be given as TRACK=FILE", file=path)
        for row in read_bed(path):
            contig = places.contig(row.contig, path, row.line)
            if contig is None:
                continue
            places.require_inside(contig, row.end, path, row.line)
            known = Track.parse(row.name if track == "1" else track)
            strand = known.strand if known.strand is not Strand.NONE else row.strand
            collector.add_all(contig, known.element, strand, row.blocks)
            tracks[known.element] = None
    return IntervalPrediction(collector, list(tracks))


def names_of(shown: Sequence[str], given: Sequence[str] | None = None) -> list[str]:
    """One distinct short name for each prediction.

    Args:
        shown: names of the files.
        given: the user's names.

    Raises:
        UsageError: another number of names than predictions, or a name twice.
    """
    if given is not None:
        if len(given) != len(shown) or len(set(given)) != len(given):
            raise UsageError(f"--names needs {len(shown)} different names, separated by commas")
        return list(given)
    stems = [_stem(name) for name in shown]
    return [stem if stems.count(stem) == 1 else f"{stem}_{i}" for i, stem in enumerate(stems, 1)]


def _stem(name: str) -> str:
    stem = name.removesuffix(".gz")
    known: Iterable[str] = (suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
    return next((stem[: -len(suffix)] for suffix in known if stem.lower().endswith(suffix)), stem)
