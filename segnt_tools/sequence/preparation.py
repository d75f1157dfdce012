"""preprocess: check an assembly before anything expensive, and lay it out for the tools that follow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnt_tools.errors import AssemblyError, UsageError
from segnt_tools.files import atomic_path, write_text
from segnt_tools.sequence.assembly import ASSEMBLY_FILE, CONTIGS_FILE, fingerprint
from segnt_tools.sequence.bgzf import BgzfWriter
from segnt_tools.sequence.codes import N, encode
from segnt_tools.sequence.fasta import Block, LetterCounts, read_blocks
from segnt_tools.sequence.intervals import from_mask
from segnt_tools.sequence.regions import Regions
from segnt_tools.sequence.shards import (
    REGIONS_FILE,
    SHARDS_FILE,
    Shard,
    plan_shards,
    regions_table,
    shards_table,
)
from segnt_tools.sequence.stretches import Stretch

GAPS_FILE = "gaps.bed"
SOFTMASK_FILE = "softmasked.bed"
LINE_WIDTH = 80
_FEW_LINES = 50
MOST_SHARDS = 100_000
_PROGRESS_BASES = 1 << 20

Intervals = NDArray[np.int64]


@dataclass(slots=True)
class ContigSummary:
    """What preprocess found out about one contig; intervals are 0-based half-open."""

    name: str
    length: int = 0
    gc: int = 0
    n: int = 0
    softmasked: int = 0
    md5: str = ""
    skipped: str = ""


@dataclass(slots=True)
class Preparation:
    """The result of preprocess."""

    contigs: list[ContigSummary] = field(default_factory=list)
    shards: tuple[Shard, ...] = ()
    changed: LetterCounts = field(default_factory=LetterCounts)

    @property
    def fingerprint(self) -> str:
        """Digest of the whole assembly."""
        return fingerprint(self.contigs)

    @property
    def used(self) -> list[ContigSummary]:
        """Contigs that will be annotated."""
        return [summary for summary in self.contigs if not summary.skipped]

    @property
    def bases_used(self) -> int:
        """Bases that will be annotated."""
        return sum(shard.bases for shard in self.shards)


def prepare(
    fasta: Path,
    folder: Path,
    *,
    shards: int | None = None,
    shard_size: int = 10_000_000,
    min_length: int = 1,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    regions: Regions | None = None,
    progress: Callable[[int], None] = lambda bases: None,
) -> Preparation:
    """Check a FASTA file and write `assembly.fa.gz` (.fai, .gzi), contigs.tsv, gaps.bed, softmasked.bed, shards.tsv.

    With regions also regions.bed.

    Args:
        fasta: the assembly.
        folder: existing output folder.
        shards: number of shards; by default as many as `shard_size` gives.
        shard_size: wanted bases a shard.
        min_length: shorter contigs are skipped, with that reason in the table.
        include: patterns of names, as in a shell; contigs that fit none are skipped, if there are any patterns.
        exclude: patterns of names; contigs that fit one are skipped.
        regions: what alone is to be annotated (by default all of the remaining contigs); contigs without are skipped.
        progress: called with numbers of bases done.

    Raises:
        AssemblyError: the file is no assembly; nothing is left behind then.
        AnnotationFileError: a region is not on the assembly; nothing is left behind either.
        UsageError: a senseless number of shards.
    """
    if shards is not None and shards > MOST_SHARDS:
        raise UsageError(f"{shards} shards are more than {MOST_SHARDS}", hint="Give fewer --shards, or --shard-size")
    result = Preparation()
    with (
        atomic_path(folder / ASSEMBLY_FILE) as compressed,
        atomic_path(folder / GAPS_FILE) as gaps,
        atomic_path(folder / SOFTMASK_FILE) as softmask,
    ):
        with (
            _FastaWriter(compressed) as writer,
            _IntervalWriter(gaps) as gap_writer,
            _IntervalWriter(softmask) as mask_writer,
        ):
            for summary in _summaries(read_blocks(fasta, result.changed), writer, gap_writer, mask_writer, progress):
                summary.skipped = _reason_to_skip(summary, min_length, include, exclude)
                result.contigs.append(summary)
        wanted = None if regions is None else regions.of({c.name: c.length for c in result.contigs})
        if wanted is not None:
            _skip_without_region(result.contigs, wanted)
        if not result.used:
            raise AssemblyError(
                f"no contig is left to annotate: {_count_reasons(result.contigs)}",
                file=fasta,
                hint="Check --min-length, --include, --exclude and --regions",
            )
        # A folder without its tables, which are written last, is no prepared assembly: what a killed run leaves must
        # not pass for one, nor its sequences for those of an earlier run.
        for name in (SHARDS_FILE, CONTIGS_FILE):
            (folder / name).unlink(missing_ok=True)
        write_text(folder / f"{ASSEMBLY_FILE}.fai", writer.fai())
        with atomic_path(folder / f"{ASSEMBLY_FILE}.gzi") as index:
            index.write_bytes(writer.gzi())
    used = result.used
    bases = sum(contig.length for contig in used)
    if wanted is not None:
        bases = sum(piece.bases for contig in used for piece in wanted[contig.name])
    result.shards = plan_shards(used, shards or max(1, -(-bases // shard_size)), wanted)
    if wanted is None:
        (folder / REGIONS_FILE).unlink(missing_ok=True)  # of an earlier run
    else:
        write_text(folder / REGIONS_FILE, regions_table({contig.name: wanted[contig.name] for contig in used}))
    write_text(folder / CONTIGS_FILE, _contigs_table(result.contigs))
    write_text(folder / SHARDS_FILE, shards_table(result.shards))
    return result


def _reason_to_skip(summary: ContigSummary, min_length: int, include: Sequence[str], exclude: Sequence[str]) -> str:
    if include and not any(fnmatchcase(summary.name, pattern) for pattern in include):
        return "not included"
    if exclude and any(fnmatchcase(summary.name, pattern) for pattern in exclude):
        return "excluded"
    if summary.length < min_length:
        return f"shorter than {min_length} bp"
    if summary.n == summary.length:
        return "only N"
    return ""


def _skip_without_region(contigs: list[ContigSummary], regions: Mapping[str, tuple[Stretch, ...]]) -> None:
    for summary in contigs:
        if not summary.skipped and summary.name not in regions:
            summary.skipped = "outside the regions"


def _count_reasons(contigs: list[ContigSummary]) -> str:
    reasons: dict[str, int] = {}
    for summary in contigs:
        reasons[summary.skipped] = reasons.get(summary.skipped, 0) + 1
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))


def _summaries(
    blocks: Iterator[Block],
    writer: _FastaWriter,
    gaps: _IntervalWriter,
    softmask: _IntervalWriter,
    progress: Callable[[int], None],
) -> Iterator[ContigSummary]:
    """Write every block and yield each contig's summary when it is complete."""
    summary: ContigSummary | None = None
    digest = hashlib.md5(usedforsecurity=False)
    done = 0
    for block in blocks:
        if block.offset == 0:
            if summary is not None:
                summary.md5 = digest.hexdigest()
                yield summary
            summary = ContigSummary(block.contig)
            digest = hashlib.md5(usedforsecurity=False)
        assert summary is not None
        upper = block.sequence.upper()
        digest.update(upper)
        summary.length += len(upper)
        summary.gc += upper.count(b"G") + upper.count(b"C")
        writer.write(block)
        if n := upper.count(b"N"):
            summary.n += n
            gaps.add(block, from_mask(encode(upper) == N))
        if upper != block.sequence:
            lower = np.frombuffer(block.sequence, dtype=np.uint8) >= ord("a")
            summary.softmasked += int(lower.sum())
            softmask.add(block, from_mask(lower))
        done += len(upper)
        if done >= _PROGRESS_BASES:
            progress(done)
            done = 0
    progress(done)
    assert summary is not None
    summary.md5 = digest.hexdigest()
    yield summary


class _IntervalWriter:
    """Writes BED rows, joining intervals that continue across a block's border."""

    def __init__(self, path: Path) -> None:
        self._handle = path.open("w", encoding="utf-8")
        self._open: tuple[str, int, int] | None = None

    def add(self, block: Block, intervals: Intervals) -> None:
        for start, end in (intervals + block.offset).tolist():
            if self._open is not None and self._open[0] == block.contig and self._open[2] == start and block.offset:
                self._open = (block.contig, self._open[1], end)
                continue
            self._flush()
            self._open = (block.contig, start, end)

    def _flush(self) -> None:
        if self._open is not None:
            self._handle.write("{}\t{}\t{}\n".format(*self._open))
            self._open = None

    def __enter__(self) -> _IntervalWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._handle.close()


class _FastaWriter:
    """Writes bgzipped FASTA in lines of equal width and keeps what its .fai index needs."""

    def __init__(self, path: Path) -> None:
        self._handle = BgzfWriter(path)
        self._position = 0
        self._names: list[str] = []
        self._lengths: list[int] = []
        self._starts: list[int] = []
        self._rest = b""

    def write(self, block: Block) -> None:
        sequence = block.sequence
        if block.offset == 0:
            header = f">{block.contig}\n".encode()
            text = self._rest + b"\n" + header if self._rest else header  # the last line of the record before
            self._position += len(text)
            self._names.append(block.contig)
            self._starts.append(self._position)
            self._lengths.append(len(sequence))
        else:
            self._lengths[-1] += len(sequence)
            text, sequence = b"", self._rest + sequence
        whole = len(sequence) // LINE_WIDTH
        self._rest = sequence[whole * LINE_WIDTH :]
        self._handle.write(text + _lines(sequence, whole))
        self._position += whole * (LINE_WIDTH + 1)

    def fai(self) -> str:
        """The .fai index: name, length, offset, bases a line, bytes a line."""
        rows = zip(self._names, self._lengths, self._starts, strict=True)
        return "".join(f"{name}\t{length}\t{start}\t{LINE_WIDTH}\t{LINE_WIDTH + 1}\n" for name, length, start in rows)

    def gzi(self) -> bytes:
        """The .gzi index."""
        return self._handle.gzi()

    def __enter__(self) -> _FastaWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rest:
            self._handle.write(self._rest + b"\n")
        self._handle.close()


def _lines(sequence: bytes, count: int) -> bytes:
    """The first `count` lines of a sequence, with their ends."""
    if count <= _FEW_LINES:  # many contigs are this short
        return b"".join([sequence[i : i + LINE_WIDTH] + b"\n" for i in range(0, count * LINE_WIDTH, LINE_WIDTH)])
    lines = np.full((count, LINE_WIDTH + 1), ord("\n"), dtype=np.uint8)
    lines[:, :-1] = np.frombuffer(sequence, dtype=np.uint8, count=count * LINE_WIDTH).reshape(-1, LINE_WIDTH)
    return lines.tobytes()


def _contigs_table(contigs: list[ContigSummary]) -> str:
    lines = ["#contig\tlength\tgc\tn\tsoftmasked\tmd5\tused\treason"]
    for c in contigs:
        known = c.length - c.n
        gc = f"{c.gc / known:.4f}" if known else "NA"
        used = "no" if c.skipped else "yes"
        lines.append(f"{c.name}\t{c.length}\t{gc}\t{c.n}\t{c.softmasked}\t{c.md5}\t{used}\t{c.skipped or '.'}")
    return "\n".join(lines) + "\n"
