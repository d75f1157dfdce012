"""How much of a reference annotation the gene decoder gives back from tracks made of it, perfect and with noise.

    python benchmarks/decoder_recovery.py --genome genome.fa.gz --annotation annotation.gff3.gz \
        [--kind stranded|segmentnt] [--noise 0 2 3 4] [--region CHR:FROM-TO] [--set KEY=VALUE]

Every coding gene's longest isoform is drawn into tracks whose logits are +SIGNAL where the label is 1 and -SIGNAL
elsewhere, plus independent normal noise; `stranded` are the tracks of the embedded models, `segmentnt` the genic ones
of SegmentNT's 14. Printed as a table, one line a noise level: coding parts of exons and genes of the reference that are
found (both ends, or all coding parts equal), and the share of the called ones that is right. With --region, genes that
lie inside count.

Counted apart, because the state machine does not hold them on purpose: genes whose CDS overlaps another's (nested and
overlapping genes), gaps in a CDS shorter than the shortest intron (frameshifts), other splice sites than GT-AG, GC-AG
and AT-AC, coding parts below 4 bp, and CDS that do not go from start to stop without another stop.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Strand, Track
from segnt_tools.errors import UsageError
from segnt_tools.genes.calling import call_genes
from segnt_tools.genes.estimation import coding_introns, estimate_parameters, longest, splice_class
from segnt_tools.genes.parameters import GeneParameters, parameters_of
from segnt_tools.gff.genemodel import Gene, Interval, Transcript
from segnt_tools.gff.reading import read_genes
from segnt_tools.gff.sequences import genetic_code, spliced, translate
from segnt_tools.sequence.assembly import Assembly, Contig
from segnt_tools.sequence.stretches import Stretch

SIGNAL = 6.0
STEP = 16.0  # logits are kept as 8-bit integers of 1 / STEP
SPLICE_CLASSES = ("GT-AG", "GC-AG", "AT-AC")

STRANDED = (
    *("protein_coding_gene", "exon", "intron", "splice_donor", "splice_acceptor", "5UTR", "3UTR"),
    *("CDS", "CDS_frame_0", "CDS_frame_1", "CDS_frame_2", "start_codon", "stop_codon"),
)
SEGMENTNT = ("protein_coding_gene", "exon", "intron", "splice_donor", "splice_acceptor", "5UTR", "3UTR")


@dataclass(frozen=True)
class Reference:
    """Longest isoforms of an annotation.

    Attributes:
        held: by contig, those the state machine can hold.
        drawn: by contig, all that are drawn into the tracks.
        left_out: how many cannot be held, by reason.
    """

    held: dict[str, list[Transcript]]
    drawn: dict[str, list[Transcript]]
    left_out: Counter[str]


def reference(genes: Iterable[Gene], assembly: Assembly | CutAssembly, parameters: GeneParameters) -> Reference:
    """The isoforms to be found, and what is left out."""
    drawn: dict[str, list[Transcript]] = {contig.name: [] for contig in assembly.contigs}
    held: dict[str, list[Transcript]] = {contig.name: [] for contig in assembly.contigs}
    left_out: Counter[str] = Counter()
    for gene in genes:
        if (transcript := longest(gene)) is not None:
            drawn[gene.contig].append(transcript)
    for contig, transcripts in drawn.items():
        overlapping = _overlapping(transcripts)
        for number, transcript in enumerate(transcripts):
            reason = (
                "overlaps another CDS" if number in overlapping else _fault(contig, transcript, assembly, parameters)
            )
            if reason:
                left_out[reason] += 1
            else:
                held[contig].append(transcript)
    return Reference(held, drawn, left_out)


def _overlapping(transcripts: Sequence[Transcript]) -> set[int]:
    order = sorted(range(len(transcripts)), key=lambda i: transcripts[i].cds[0][0])
    found: set[int] = set()
    furthest, holder = -1, -1
    for i in order:
        start, end = transcripts[i].cds[0][0], transcripts[i].cds[-1][1]
        if start < furthest:
            found |= {i, holder}
        if end > furthest:
            furthest, holder = end, i
    return found


def _fault(contig: str, transcript: Transcript, assembly: Assembly | CutAssembly, parameters: GeneParameters) -> str:
    code = genetic_code(parameters.genetic_code)
    coding = spliced(assembly, contig, transcript.cds, transcript.strand)
    protein = translate(coding, code, complete_start=False)
    if len(coding) % 3 or not protein.startswith("M") or not protein.endswith("*") or "*" in protein[:-1]:
        return "CDS is not ATG to stop without another stop"
    gaps = [right[0] - left[1] for left, right in zip(transcript.cds, transcript.cds[1:], strict=False)]
    if any(gap < parameters.min_intron for gap in gaps):
        return "intron below the minimum"
    if any(end - start < parameters.min_cds_exon for start, end in transcript.cds):
        return "coding part below the minimum"
    ends = (transcript.cds[0], transcript.cds[-1])
    if any(end - start < 3 for start, end in ends):
        return "start or stop codon split by an intron"
    classes = {splice_class(assembly, contig, intron, transcript.strand) for intron in coding_introns(transcript)}
    return "other splice sites" if classes - set(SPLICE_CLASSES) else ""


class CutAssembly:
    """A stretch of one contig of an assembly as an assembly of its own."""

    def __init__(self, assembly: Assembly, place: Stretch) -> None:
        self._assembly = assembly
        self._place = place
        self.contigs = (Contig(place.contig, place.bases, ""),)
        self.lengths = {place.contig: place.bases}

    def codes(self, contig: str, start: int = 0, end: int | None = None) -> NDArray[np.uint8]:
        """Base codes of a part of the stretch."""
        first = self._place.start
        return self._assembly.codes(contig, first + start, self._place.end if end is None else first + end)

    def genes(self, genes: Iterable[Gene]) -> list[Gene]:
        """Genes that lie inside, with coordinates of the stretch."""
        place = self._place
        inside = (g for g in genes if g.contig == place.contig and place.start <= g.start and g.end <= place.end)
        return [dataclasses.replace(g, transcripts=tuple(map(self._moved, g.transcripts))) for g in inside]

    def _moved(self, transcript: Transcript) -> Transcript:
        def moved(intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
            return tuple((start - self._place.start, end - self._place.start) for start, end in intervals)

        return dataclasses.replace(transcript, exons=moved(transcript.exons), cds=moved(transcript.cds))


class DrawnTracks:
    """Tracks made of transcripts, for GeneCaller.

    Args:
        kind: `stranded` or `segmentnt`.
        drawn: transcripts by contig.
        lengths: bases by contig.
        noise: standard deviation of the noise on logits.
    """

    def __init__(
        self, kind: str, drawn: dict[str, list[Transcript]], lengths: dict[str, int], noise: float, seed: int = 1
    ) -> None:
        elements = STRANDED if kind == "stranded" else SEGMENTNT
        strands = (Strand.PLUS, Strand.MINUS) if kind == "stranded" else (Strand.NONE,)
        self.tracks = tuple(Track(element, strand) for strand in strands for element in elements)
        self._row = {track.name: row for row, track in enumerate(self.tracks)}
        self._stranded = kind == "stranded"
        self._logits = {contig: self._drawn(transcripts, lengths[contig]) for contig, transcripts in drawn.items()}
        rng = np.random.default_rng(seed)
        for logits in self._logits.values():
            for row in logits:
                values = row * np.float32(SIGNAL)
                if noise:
                    values += rng.normal(0, noise, row.size).astype(np.float32)
                row[:] = np.clip(np.rint(values * STEP), -127, 127).astype(np.int8)

    def logits(self, contig: str, start: int, end: int) -> NDArray[np.float32]:
        """Logits of a stretch."""
        return self._logits[contig][:, start:end] / np.float32(STEP)

    def _drawn(self, transcripts: Sequence[Transcript], length: int) -> NDArray[np.int8]:
        labels = np.full((len(self.tracks), length), -1, dtype=np.int8)
        for transcript in transcripts:
            strand = transcript.strand.value if self._stranded else ""
            for element, intervals in _labels(transcript, self._stranded).items():
                for start, end in intervals:
                    labels[self._row[element + strand], start:end] = 1
        return labels


def _labels(transcript: Transcript, stranded: bool) -> dict[str, list[Interval]]:
    """Intervals of every element of a transcript."""
    plus = transcript.strand is Strand.PLUS
    first, last = transcript.cds[0][0], transcript.cds[-1][1]
    before = [(start, min(end, first)) for start, end in transcript.exons if start < first]
    after = [(max(start, last), end) for start, end in transcript.exons if end > last]
    labels: dict[str, list[Interval]] = {
        "protein_coding_gene": [(transcript.start, transcript.end)],
        "exon": list(transcript.exons),
        "intron": list(transcript.introns),
        "5UTR" if plus else "3UTR": before,
        "3UTR" if plus else "5UTR": after,
        "splice_donor" if plus else "splice_acceptor": [(start, start + 1) for start, _ in transcript.introns],
        "splice_acceptor" if plus else "splice_donor": [(end - 1, end) for _, end in transcript.introns],
    }
    if stranded:
        labels |= {
            "CDS": list(transcript.cds),
            "start_codon" if plus else "stop_codon": [(first, first + 3)],
            "stop_codon" if plus else "start_codon": [(last - 3, last)],
        }
        for frame, interval in _framed(transcript):
            labels.setdefault(f"CDS_frame_{frame}", []).append(interval)
    return labels


def _framed(transcript: Transcript) -> Iterable[tuple[int, Interval]]:
    """Coding parts with the position modulo 3 of their codons' leftmost bases."""
    done = 0
    plus = transcript.strand is Strand.PLUS
    for start, end in transcript.cds if plus else reversed(transcript.cds):
        yield ((start - done) % 3 if plus else (end + done) % 3), (start, end)
        done += end - start


def _parts(transcripts: Iterable[Transcript]) -> set[tuple[str, Interval]]:
    return {(transcript.strand.value, part) for transcript in transcripts for part in transcript.cds}


def _chains(transcripts: Iterable[Transcript]) -> set[tuple[str, tuple[Interval, ...]]]:
    return {(transcript.strand.value, transcript.cds) for transcript in transcripts}


@dataclass
class Counts:
    """What was found of what there is."""

    truth: int = 0
    found: int = 0
    predicted: int = 0
    right: int = 0

    def add(self, truth: set, predicted: set, everything: set) -> None:
        """Count a contig; predictions are right if any drawn transcript has them."""
        self.truth += len(truth)
        self.found += len(truth & predicted)
        self.predicted += len(predicted)
        self.right += len(predicted & everything)

    def __str__(self) -> str:
        return (
            f"{self.found} / {self.truth} = {self.found / max(self.truth, 1):.4f} | "
            f"{self.right / max(self.predicted, 1):.4f}"
        )


def recover(
    kind: str,
    truth: Reference,
    assembly: Assembly | CutAssembly,
    contigs: Sequence[Contig],
    parameters: GeneParameters,
    noise: float,
) -> tuple[Counts, Counts]:
    """Coding parts and genes found at a noise level."""
    tracks = DrawnTracks(kind, truth.drawn, assembly.lengths, noise)
    called: dict[str, list[Transcript]] = {contig.name: [] for contig in contigs}
    for gene in call_genes(tracks, assembly, contigs, parameters):
        called[gene.contig].append(gene.transcripts[0])
    parts, chains = Counts(), Counts()
    for contig, transcripts in called.items():
        parts.add(_parts(truth.held[contig]), _parts(transcripts), _parts(truth.drawn[contig]))
        chains.add(_chains(truth.held[contig]), _chains(transcripts), _chains(truth.drawn[contig]))
    return parts, chains


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genome", type=Path, required=True)
    parser.add_argument("--annotation", type=Path, required=True)
    parser.add_argument("--kind", choices=("stranded", "segmentnt"), action="append")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0])
    parser.add_argument("--region", metavar="CHR:FROM-TO")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    with Assembly.open(args.genome) as assembly:
        genes = [gene for gene in read_genes(args.annotation, assembly.lengths) if "pseudo" not in gene.type]
        cut = CutAssembly(assembly, Stretch.parse(args.region, assembly.lengths)) if args.region else None
        genome: Assembly | CutAssembly = cut or assembly
        inside = cut.genes(genes) if cut else genes
        for kind in args.kind or ("stranded", "segmentnt"):
            parameters = parameters_of(None, kind == "stranded")
            try:
                parameters = parameters.replaced(estimate_parameters(genes, assembly, parameters).values)
            except UsageError as error:
                raise SystemExit(str(error)) from error
            parameters = parameters.replaced({"start_codons": ["ATG"]}).with_settings(args.set)
            truth = reference(inside, genome, parameters)
            left_out = ", ".join(f"{number} {reason}" for reason, number in truth.left_out.most_common())
            print(f"{kind}: of {sum(map(len, truth.drawn.values()))} genes left out: {left_out or 'none'}")
            print("| noise | coding parts found | of the called right | genes found | of the called right |")
            print("|---|---|---|---|---|")
            for noise in args.noise:
                parts, chains = recover(kind, truth, genome, genome.contigs, parameters, noise)
                print(f"| {noise:g} | {parts} | {chains} |", flush=True)


if __name__ == "__main__":
    main()
