"""BED reading: good, odd and broken files, own ones and those of ../shared/odd_inputs."""

import csv
import gzip

import pytest

from segnt_tools.elements import Strand
from segnt_tools.errors import AnnotationFileError
from segnt_tools.labels.bed import BedNotes, read_bed


def read(tmp_path, text: str, **options):
    path = tmp_path / "a.bed"
    path.write_bytes(text.encode())
    return list(read_bed(path, **options))


def test_plain_rows(tmp_path):
    rows = read(tmp_path, "track name=x\nbrowser hide all\n#c\n\nchr1\t0\t10\tone\t0\t-\r\nchr2\t5\t6\ttwo\t0\t*\t\r\n")
    assert [(r.contig, r.start, r.end, r.name, r.strand) for r in rows] == [
        ("chr1", 0, 10, "one", Strand.MINUS),
        ("chr2", 5, 6, "two", Strand.NONE),
    ]
    assert rows[1].line == 6


def test_blocks_of_bed12(tmp_path):
    row = "chr1\t100\t200\tx\t0\t+\t100\t200\t0\t2\t10,20,\t0,80,\n"
    assert read(tmp_path, row)[0].blocks == ((100, 110), (180, 200))


def test_gzip_header_and_zero_length(tmp_path):
    path = tmp_path / "a.bed.gz"
    path.write_bytes(gzip.compress(b"chrom\tstart\tend\nchr1\t4\t4\nchr1\t3000000000\t30000000000"))
    notes = BedNotes()
    rows = list(read_bed(path, notes))
    assert [(r.start, r.end) for r in rows] == [(3_000_000_000, 30_000_000_000)]
    assert dict(notes.skipped) == {"header line": 1, "zero-length interval": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no interval"),
        ("#only\n", "no interval"),
        ("chr1\t5\n", "2 columns"),
        ("chr1\t8e02\t900\n", "'8e02'"),
        ("chr1\t-1\t9\n", "'-1'"),
        ("chr1\t9\t8\n", "before the start"),
        ("chr1\t1\t2\nchr1 3 4\n", "line 2"),
        ("chr1\t1\t2\tn\t0\t11\n", "column 6"),
        ("track offset=1000\nchr1\t1\t2\n", "offset"),
        ("chr1\t0\t9\tn\t0\t+\t0\t9\t0\t1\t0\t0\n", "length 0"),
        ("chr1\t0\t9\tn\t0\t+\t0\t9\t0\t1\t9\t1\n", "the blocks reach"),
        ("chr1\t0\t9\tn\t0\t+\t0\t9\t0\t2\t9\t0\n", "announced"),
        ("chr1\t0\t9\tn\t0\t+\t0\t9\t0\t2\t6,6\t0,3\n", "overlap"),
        ("chr1\t0\t9\tn\t0\t+\t0\t9\t0\tx\ty\tz\n", "lists of blocks"),
    ],
)
def test_broken_rows_are_refused_with_their_line(tmp_path, text, message):
    with pytest.raises(AnnotationFileError, match=message):
        read(tmp_path, text)


def test_truncated_gzip(tmp_path):
    path = tmp_path / "a.bed.gz"
    path.write_bytes(gzip.compress(b"chr1\t1\t2\n" * 9000)[:-20])
    with pytest.raises(AnnotationFileError, match="cut off"):
        list(read_bed(path))


def test_odd_inputs(shared):
    """Every BED of the collection: broken ones are refused (or passed over with a note), others are read."""
    with (shared / "odd_inputs" / "manifest.tsv").open() as handle:
        entries = [row for row in csv.DictReader(handle, delimiter="\t") if row["format"] == "bed"]
    wrong = []
    for entry in entries:
        notes = BedNotes()
        try:
            read_rows = len(list(read_bed(shared / "odd_inputs" / entry["path"], notes)))
        except AnnotationFileError:
            outcome = "refused"
        else:
            outcome = "noted" if notes.skipped else "read" if read_rows else "nothing"
        allowed = {
            "valid": {"read"},
            "odd-valid": {"read", "noted"},
            "broken": {"refused"},
            "unsure": {"read", "noted", "refused"},
        }[entry["class"]]
        if outcome not in allowed:
            wrong.append((entry["path"], outcome, entry["expectation"]))
    assert not wrong
