"""Numbers that decide which gene models call-genes prefers, as a checkpoint's card or the user gives them.

All costs and bonuses are natural-log units that are added to a path's score: negative numbers make something rarer. A
site's own evidence is the logit of its track, so that 0 means "as likely as not".
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from Bio.Data import CodonTable

from segnt_tools.errors import UsageError
from segnt_tools.genes.scores import SCORED_KINDS

SHORTEST_EXON = 4  # a codon never reaches over two introns, and a CDS is past its first codon when it may end
SHORTEST_INTRON = 4  # an intron holds both of its motifs


@dataclass(frozen=True, slots=True)
class GeneParameters:
    """Parameters of the gene decoder.

    Attributes:
        genetic_code: NCBI number of the translation table.
        start_codons: codons a complete CDS may begin with; others of the table are not used.
        utr: whether UTR states exist; without them a gene is its CDS.
        lncrna: whether lncRNA states exist, where a model has a lncRNA track.
        region_weight: factor of the per-base log probabilities of regions. Neighbouring bases say the same thing, so
            that their sum at weight 1 drowns the sites (trial: best about .002).
        region_floor: lowest log probability a base may have before weighting.
        site_floor: lowest logit of a site; lower ones count as this.
        site_minimum: donors and acceptors with a lower logit are no candidates at all.
        contrast_bases: bases on each side that vote for a start or stop (or splice site) a model has no track for.
        contrast_weight: factor of that vote.
        donor: bonus of every donor; `acceptor`, `start`, `stop` likewise.
        gc_donor: extra cost of a GC-AG intron.
        at_ac: extra cost of an AT-AC intron.
        gene: bonus of entering a gene.
        transcription_start: cost of a 5' UTR's outer end; `transcription_end` likewise for the 3' UTR.
        no_5utr: cost of a gene whose transcript begins with its start codon; `no_3utr` likewise.
        utr_intron: extra cost of an intron in a UTR.
        lncrna_gene: bonus of entering a lncRNA gene.
        partial: cost of a gene cut by the contig's end, in place of its missing end.
        n_in_exon: cost of an unknown base (N) in an exon.
        min_intron: shortest intron (bases), exact.
        min_cds_exon: shortest coding part of an exon (bases), exact.
        mean_intron: mean length of introns; with `length_weight` the cost a base of a geometric distribution.
        mean_cds_exon: mean length of the coding parts of exons, likewise; 0 for no cost.
        length_weight: factor of the length distributions' log probabilities.
        gap_length: runs of N at least this long cut the contig: genes there are partial. 0: never.
        min_cds: shorter coding sequences are not reported (bases, the stop codon included).
        min_partial_cds: likewise for genes cut by a contig's end.
        min_utr_exon: outer exons without coding bases that are shorter are left out of the model (bases).
        min_lncrna: shorter lncRNAs are not reported (bases of exons).
        score_temperature: divides all scores before posteriors are computed; fitted for posteriors that tell right
            from wrong best, which the score map then makes honest.
        score_map: per kind of feature (gene, mRNA, exon, CDS), `[slope, offset]`: a posterior of logit x gets the score
            of logit slope * x + offset. A kind without an entry keeps its posterior. See scores.py.
        donor_span: bases, relative to the intron's first one in reading direction, on which the model marks a donor
            (first and last); the highest logit among them counts.
        acceptor_span: likewise for acceptors, relative to the first base of the exon that follows.
        start_span: likewise for starts, relative to the first base of the codon.
        stop_span: likewise for stops, relative to the first base of the codon.
        calibration: per track name, `[temperature, bias]`: a logit x becomes (x - bias) / temperature. A name without
            strand speaks for the tracks of both. See calibration.py.
    """

    genetic_code: int = 1
    start_codons: tuple[str, ...] = ("ATG",)
    utr: bool = True
    lncrna: bool = True
    region_weight: float = 0.002
    region_floor: float = -4.0
    site_floor: float = -10.0
    site_minimum: float = -8.0
    contrast_bases: int = 6
    contrast_weight: float = 1.0
    donor: float = 2.0
    acceptor: float = 1.5
    start: float = 0.0
    stop: float = 1.0
    gc_donor: float = -1.0
    at_ac: float = -4.0
    gene: float = 2.0
    transcription_start: float = 0.0
    transcription_end: float = -4.0
    no_5utr: float = -3.0
    no_3utr: float = -5.0
    utr_intron: float = -2.0
    lncrna_gene: float = -6.0
    partial: float = -4.0
    n_in_exon: float = -0.5
    min_intron: int = 40
    min_cds_exon: int = 4
    mean_intron: float = 700.0
    mean_cds_exon: float = 0.0
    length_weight: float = 1.0
    gap_length: int = 0
    min_cds: int = 60
    min_partial_cds: int = 60
    min_utr_exon: int = 10
    min_lncrna: int = 200
    score_temperature: float = 1.0
    score_map: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    donor_span: tuple[int, int] = (0, 0)
    acceptor_span: tuple[int, int] = (-1, -1)
    start_span: tuple[int, int] = (0, 0)
    stop_span: tuple[int, int] = (0, 0)
    calibration: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, low in (("min_intron", SHORTEST_INTRON), ("min_cds_exon", SHORTEST_EXON), ("contrast_bases", 1)):
            if getattr(self, name) < low:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least {low}")
        for name in ("score_temperature", "mean_intron"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above 0")
        self._check_score_map()
        for track, (temperature, bias) in self.calibration.items():
            if not (temperature > 0 and math.isfinite(temperature) and math.isfinite(bias)):
                raise UsageError(
                    f"calibration of {track} is {temperature}, {bias}: the temperature must be above 0, both finite"
                )
        if self.genetic_code not in CodonTable.unambiguous_dna_by_id:
            known = ", ".join(str(number) for number in sorted(CodonTable.unambiguous_dna_by_id))
            raise UsageError(f"there is no genetic code {self.genetic_code}", hint=f"NCBI's tables are {known}")
        for codon in self.start_codons:
            if len(codon) != 3 or set(codon) - set("ACGT"):
                raise UsageError(f"{codon} is no codon", hint="Codons are three letters of A, C, G, T")
            if codon not in self.known_starts:
                known = ", ".join(self.known_starts)
                raise UsageError(
                    f"{codon} is no start codon of genetic code {self.genetic_code}", hint=f"Those are {known}"
                )
        if not self.start_codons:
            raise UsageError("there is no start codon", hint="Give at least one, such as ATG")

    def _check_score_map(self) -> None:
        for kind, (slope, offset) in self.score_map.items():
            if kind not in SCORED_KINDS:
                raise UsageError(f"score_map has {kind}", hint=f"It maps {', '.join(SCORED_KINDS)}")
            if not (slope >= 0 and math.isfinite(slope) and math.isfinite(offset)):
                raise UsageError(f"score_map of {kind} is {slope}, {offset}: the slope must be at least 0, both finite")

    @property
    def stop_codons(self) -> tuple[str, ...]:
        """Codons that end a CDS and can stand nowhere inside; codes in which a codon is both also count it here."""
        return tuple(CodonTable.unambiguous_dna_by_id[self.genetic_code].stop_codons)

    @property
    def known_starts(self) -> tuple[str, ...]:
        """Start codons of the genetic code."""
        table = CodonTable.unambiguous_dna_by_id[self.genetic_code]
        return tuple(codon for codon in table.start_codons if codon not in table.stop_codons)

    @property
    def intron_base_cost(self) -> float:
        """Log probability of one more base in an intron: geometric above the minimum."""
        return self._base_cost(self.mean_intron - self.min_intron)

    @property
    def cds_base_cost(self) -> float:
        """Log probability of one more base in a coding exon."""
        return self._base_cost(self.mean_cds_exon) if self.mean_cds_exon else 0.0

    def _base_cost(self, mean: float) -> float:
        return self.length_weight * math.log1p(-1.0 / max(mean, 2.0))

    def replaced(self, values: Mapping[str, Any]) -> GeneParameters:
        """These parameters with some values replaced, as given in a card or on a command line.

        Raises:
            UsageError: an unknown name or a value of another kind.
        """
        known = {parameter.name: parameter for parameter in dataclasses.fields(self)}
        if unknown := sorted(set(values) - set(known)):
            raise UsageError(
                f"unknown gene parameters {', '.join(unknown)}", hint=f"Known are {', '.join(sorted(known))}"
            )
        return dataclasses.replace(
            self, **{name: _converted(name, value, getattr(self, name)) for name, value in values.items()}
        )

    def with_settings(self, settings: Iterable[str]) -> GeneParameters:
        """These parameters with `KEY=VALUE` settings of a command line, the value as JSON or plain text.

        Raises:
            UsageError: no `=`, an unknown name or a value of another kind.
        """
        values: dict[str, Any] = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals:
                raise UsageError(f"{setting!r} is no KEY=VALUE")
            try:
                values[name.strip()] = json.loads(text)
            except json.JSONDecodeError:
                values[name.strip()] = text.strip()
        return self.replaced(values)

    def as_dict(self) -> dict[str, Any]:
        """All values, ready for JSON and for a card's `genes`."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def read(cls, path: Path, base: GeneParameters | None = None) -> GeneParameters:
        """Parameters of a JSON file, on top of others.

        Raises:
            UsageError: the file cannot be read, or holds unknown names or values of another kind.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise UsageError(f"cannot read gene parameters: {error}", file=path) from error
        if not isinstance(values, dict):
            raise UsageError("gene parameters are a JSON object of names and values", file=path)
        return (base or cls()).replaced(values)


# Models whose tracks do not tell strands apart have no start, stop or frame track: regions must carry more, and marks
# of splice sites may lie on either side of the boundary (which side SegmentNT's labels use is not published).
STRANDLESS_DEFAULTS: Mapping[str, Any] = {
    "region_weight": 0.02,
    "donor_span": (-1, 1),
    "acceptor_span": (-2, 0),
    "transcription_end": 0.0,
    "no_5utr": -1.0,
    "no_3utr": -1.0,
}


def parameters_of(card: Mapping[str, Any] | None, stranded: bool) -> GeneParameters:
    """Parameters a card gives in `genes`, on top of the defaults for stranded or strandless tracks.

    Raises:
        UsageError: unknown names, or values of another kind.
    """
    defaults = GeneParameters() if stranded else GeneParameters().replaced(STRANDLESS_DEFAULTS)
    return defaults.replaced((card or {}).get("genes", {}))


def _converted(name: str, value: Any, example: Any) -> Any:
    """A value of JSON as the type of its field."""
    wrong = UsageError(f"gene parameter {name} cannot be {value!r}")
    match example:
        case bool():
            if not isinstance(value, bool):
                raise wrong
            return value
        case int():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
                raise wrong
            return int(value)
        case float():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise wrong
            return float(value)
        case tuple():
            return _converted_tuple(name, value)
        case _:
            if not isinstance(value, Mapping):
                raise wrong
            return {track: _pair(f"{name} of {track}", pair, float) for track, pair in value.items()}


def _converted_tuple(name: str, value: Any) -> tuple[Any, ...]:
    if name != "start_codons":
        return _pair(name, value, int)
    codons = value.split(",") if isinstance(value, str) else value
    if not isinstance(codons, (list, tuple)) or not all(isinstance(codon, str) for codon in codons):
        raise UsageError(f"gene parameter {name} cannot be {value!r}")
    return tuple(codon.strip().upper().replace("U", "T") for codon in codons)


def _pair(name: str, value: Any, kind: type[int] | type[float]) -> tuple[Any, Any]:
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(isinstance(x, (int, float)) for x in value):
        raise UsageError(f"gene parameter {name} is a pair of numbers, not {value!r}")
    return kind(value[0]), kind(value[1])
