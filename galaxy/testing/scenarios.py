"""What users and administrators meet with several tools or at the server: more than the test of one tool can show."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine import TIGHT_DATASET, EngineError, Server

# A machine of its own needs seconds.
JOB_SECONDS = 1200
UNFINISHED = {"new", "queued", "running", "waiting", "resubmitted", "upload"}
# A window too long for TIGHT_MEMORY, and a contig that fills it.
LONG_WINDOW = 960_000


class History:
    """A history of an administrator: datasets go in, tools run."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.key = server.user_key()
        self.id = server.api("histories", {"name": name}, key=self.key)["id"]

    def add(self, path: Path, ext: str) -> dict[str, str]:
        """The file as a dataset, in the form that tools take."""
        element = {"src": "path", "path": str(path), "name": path.name, "ext": ext}
        target = {"destination": {"type": "hdas"}, "elements": [element]}
        answer = self.server.api("tools/fetch", {"history_id": self.id, "targets": [target]}, key=self.key)
        self.finish(answer["jobs"][0]["id"])
        return {"src": "hda", "id": answer["outputs"][0]["id"]}

    def run(self, tool: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run a tool to its end; returns Galaxy's description of the job.

        Raises:
            EngineError: the job failed or did not end.
        """
        answer = self.server.api("tools", {"history_id": self.id, "tool_id": tool, "inputs": inputs}, key=self.key)
        return self.finish(answer["jobs"][0]["id"])

    def finish(self, job: str) -> dict[str, Any]:
        """Wait for a job to succeed."""
        limit = time.monotonic() + JOB_SECONDS
        while (found := self.server.api(f"jobs/{job}?full=true", key=self.key))["state"] in UNFINISHED:
            if time.monotonic() > limit:
                raise EngineError(f"job {job} did not end")
            time.sleep(1)
        if found["state"] != "ok":
            raise EngineError(f"job of {found['tool_id']} ended as {found['state']}: {found.get('stderr', '')}")
        return dict(found)


def resubmission(server: Server) -> None:
    """A job that runs out of memory is sent again with twice the memory, and succeeds."""
    history = History(server, "resubmission")
    assembly = server.scratch / TIGHT_DATASET
    assembly.write_text(">long\n" + "ACGTTGCAAC" * (LONG_WINDOW // 10) + "\n", encoding="ascii")
    inputs = {
        "input|what": "assembly",
        "input|assembly": history.add(assembly, "fasta"),
        "model|source": "history",
        "model|checkpoint": history.add(server.suite / "test-data" / "tiny_untrained_model.zip", "zip"),
        "windows|window": LONG_WINDOW,
        "windows|precision": "float32",
    }
    job = history.run("segnt_predict", inputs)
    parameters = {row["name"]: row["value"] for row in _rows(server.api(f"jobs/{job['id']}/destination_params"))}
    assert str(parameters.get("segnt_factor")) == "2", f"sent with {parameters}"
    assert "memory_limit_reached" in server.log("web"), "Galaxy was not told that memory was the reason"


def added_model(server: Server) -> None:
    """A model that the data manager has added can be chosen, by the words of its card, and is used."""
    history = History(server, "added model")
    checkpoint = history.add(server.suite / "test-data" / "tiny_untrained_model.zip", "zip")
    history.run("segnt_add_model", {"source|kind": "archive", "source|checkpoint": checkpoint, "value": "tiny_added"})
    form = server.api(f"tools/segnt_predict/build?history_id={history.id}", key=history.key)
    model = next(entry for entry in form["inputs"] if entry["name"] == "model")
    installed = next(case for case in model["cases"] if case["value"] == "installed")["inputs"][0]
    offered = {value: name for name, value, _ in installed["options"]}
    assert "weights: MIT" in offered.get("tiny_added", ""), f"the form offers {offered}"
    inputs = {
        "input|what": "assembly",
        "input|assembly": history.add(server.suite / "test-data" / "contig_2.fa", "fasta"),
        "model|source": "installed",
        "model|installed": "tiny_added",
    }
    told = history.run("segnt_predict", inputs)["stderr"]
    assert "tiny_added on" in told, f"the job says {told}"


def _rows(parameters: Any) -> list[dict[str, Any]]:
    """Destination parameters as rows, whichever way the server tells them."""
    if isinstance(parameters, dict):
        return [{"name": name, "value": value} for name, value in parameters.items()]
    return list(parameters)


SCENARIOS: dict[str, Callable[[Server], None]] = {"resubmission": resubmission, "added_model": added_model}
