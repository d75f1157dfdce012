"""Reading FASTA: what is accepted, what is refused and where the message points."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from pathlib import Path

import numpy as np
import pysam
import pytest

from segnt_tools.errors import AssemblyError
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.bgzf import BGZF_END
from segnt_tools.sequence.fasta import LetterCounts, read_blocks


def sequences(path: Path) -> dict[str, str]:
    """All records of a FASTA file through our reader."""
    result: dict[str, str] = {}
    for block in read_blocks(path):
        assert len(result.get(block.contig, "")) == block.offset
        result[block.contig] = result.get(block.contig, "") + block.sequence.decode()
    return result


def write(tmp_path: Path, content: bytes | str, name: str = "a.fa") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b">a x\nACGT\nacgn\n>b\nTT\n",
        b">a x\r\nACGT\r\nacgn\r\n>b\r\nTT\r\n",
        b">a x\rACGT\racgn\r>b\rTT\r",
        b"\xef\xbb\xbf>a x\nACGT\nacgn\n>b\nTT",
        b"\n\n>a x\nACGT\n\nacgn\n\n>b\nTT\n\n",
        b">a\tx\nACGTacgn\n>b\nTT\n",
        b">a x\nACGT acgn  \n>b\nT T\n",
    ],
    ids=["unix", "dos", "old mac", "byte-order mark", "blank lines", "one line", "blanks"],
)
def test_one_content_in_many_forms(tmp_path: Path, content: bytes) -> None:
    assert sequences(write(tmp_path, content)) == {"a": "ACGTacgn", "b": "TT"}


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_compressed_files(tmp_path: Path, pack) -> None:
    assert sequences(write(tmp_path, pack(b">a\nACGT\n"))) == {"a": "ACGT"}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_pipe_is_read_from_its_beginning(pack) -> None:
    sequence = "".join(np.random.default_rng(2).choice(list("ACGT"), 50_000))
    reading, writing = os.pipe()
    os.write(writing, pack(f">a\n{sequence}\n".encode()))  # it fits into the pipe
    os.close(writing)
    for _ in range(2):
        assert sequences(Path(f"/dev/fd/{reading}")) == {"a": sequence}
    os.close(reading)


def test_a_bad_pipe_is_named_as_the_user_did() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(AssemblyError, match=f"/dev/fd/{reading}: the file is empty"):
        sequences(Path(f"/dev/fd/{reading}"))
    os.close(reading)


def test_ambiguity_letters_become_n_and_are_counted(tmp_path: Path) -> None:
    changed = LetterCounts()
    path = write(tmp_path, ">a\nACGTRYSWKMBDHVN\nacgtryswkmbdhvnUu\n")
    (block,) = read_blocks(path, changed)
    assert block.sequence == b"ACGT" + b"N" * 11 + b"acgt" + b"n" * 11 + b"Tt"
    assert changed.total_ambiguous == 20
    assert changed.ambiguous["R"] == 2
    assert changed.uracil == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"  \n\n", "empty"),
        (b"ACGT\n", "line 1: text before the first '>'"),
        (b"@read\nACGT\n+\nIIII\n", "not a FASTA file"),
        (b"LOCUS X\n", "not a FASTA file"),
        (
            b">a\nACGT\n>b\nAC\n>a\nGG\n>b\nT\n",
            r"2 sequence names occur more than once: a \(lines 1 and 5\), b \(lines 3",
        ),
        (b">a\n>b\nACGT\n", "line 1: record a has no sequence"),
        (b">a\nACGT\n>b\n", "line 3: record b has no sequence"),
        (b">a\nACGT\nACGT\nACLT\n", "line 4: record a, column 3: 'L' in the sequence: the sequence looks like protein"),
        (b">a\nAC\nAC7T\n", "line 3: record a, column 3: '7' in the sequence: digits"),
        (b">a\nAC-T\n", "'-' in the sequence"),
        (b">a\nAC\n;note\nGT\n", "line 3: record a, column 1: ';'"),
        (b"> a\nACGT\n", "line 1: the record has no name"),
        (b">\nACGT\n", "line 1: the record has no name"),
        (b">a\n" + b"AR" * 1000, "50% of its letters are ambiguity letters"),
        (">a\nACGT\n".encode("utf-16"), "UTF-16"),
        (b"\x00\x01\x02\x03" * 20, "binary"),
        (b"\x28\xb5\x2f\xfd\x00\x00", "zstd"),
        (b"PK\x03\x04\x00\x00", "zip"),
        (b">\xff\xfe\nACGT\n", "not UTF-8"),
        (gzip.compress(b">a\n" + b"ACGT" * 9999)[:-20], "damaged or cut short"),
    ],
)
def test_what_is_no_assembly_is_refused_with_the_place(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(AssemblyError, match=message) as caught:
        list(read_blocks(write(tmp_path, content)))
    assert "a.fa" in str(caught.value)


def test_bgzip_without_its_end_block_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.fa.gz"
    with pysam.BGZFile(str(path), "w") as handle:
        handle.write(b">a\nACGT\n")
    assert sequences(path) == {"a": "ACGT"}
    path.write_bytes(path.read_bytes().removesuffix(BGZF_END))
    with pytest.raises(AssemblyError, match="no end block"):
        sequences(path)


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AssemblyError, match="preprocess folder"):
        Assembly.open(tmp_path)
    with pytest.raises(AssemblyError, match="cannot read"):
        Assembly.open(tmp_path / "none.fa")


def test_records_longer_than_a_block_come_out_whole(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    long = "".join(random.choice(list("ACGTn"), 9_000_000))
    path = write(tmp_path, f">x\n{long}\n>y\nAC\n")
    assert sequences(path) == {"x": long, "y": "AC"}
