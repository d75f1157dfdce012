"""Annotation files that are damaged as a whole, in segnt labels (the collection of odd inputs: test_odd_inputs.py)."""

import gzip

import pytest

from segnt_tools.commands.main import run


@pytest.mark.parametrize("damage", ["utf16", "truncated", "binary", "mac"])
def test_damaged_text(tmp_path, capsys, damage):
    text = "##gff-version 3\nc\tx\texon\t1\t9\t.\t+\t.\tgene_name=a\n"
    genome, path = tmp_path / "g.fa", tmp_path / "a.gff3"
    genome.write_text(">c\nACGTACGTACGT\n")
    content = {
        "utf16": text.encode("utf-16"),
        "truncated": gzip.compress(text.encode() * 500)[:-30],
        "binary": b"\x00\x01\x02" * 50,
        "mac": text.replace("\n", "\r").encode(),
    }
    path.write_bytes(content[damage])
    status = run(["labels", str(path), "--genome", str(genome), "--out", str(tmp_path / "l.h5"), "-q"])
    error = capsys.readouterr().err
    assert status == (0 if damage == "mac" else 2), error
    assert "Traceback" not in error
