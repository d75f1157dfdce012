"""The whole chain in one command: an assembly in, annotation files out.

Writes into --out:

  genes.gff3        gene models: gene, mRNA, exon, CDS, UTR, with strand, phase and score
  proteins.fa, cds.fa, transcripts.fa   their sequences
  elements.gff3, elements.bed           intervals of every element, with the mean probability as score
  tracks/           probability of every element as bigWig
  report.html       the page to open first; report.json, report.tsv, report_mqc.json: its numbers, and for MultiQC
  annotate.json     what was done, with which model, in numbers
  contigs.tsv, gaps.bed                 contigs with the reason for every skipped one; runs of N

A run that was interrupted, killed or out of time goes on where it stopped when the same command is given again, and
repeats only the shard in flight.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segnt_tools import __version__
from segnt_tools.commands import call_genes, call_peaks, preprocess
from segnt_tools.commands.common import add_common_options, refuse_other_settings, require_same_settings, write_report
from segnt_tools.commands.predict import (
    PredictOptions,
    add_predict_options,
    check_options,
    chosen_candidate,
    chosen_tracks,
    inspect_candidates,
    load,
    predict_shard,
    require_space,
    select,
)
from segnt_tools.commands.tracks import export_tracks
from segnt_tools.errors import AssemblyError, SegntError, UsageError
from segnt_tools.files import alone_in, atomic_path, file_sha256, output_folder, remove_leftovers
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.gff.sequences import SEQUENCE_FILES
from segnt_tools.logs import logger
from segnt_tools.models.card import AUTO_MODEL, PeakDefaults
from segnt_tools.peaks.output import default_tracks
from segnt_tools.sequence.assembly import CONTIGS_FILE, Assembly
from segnt_tools.sequence.preparation import GAPS_FILE
from segnt_tools.sequence.shards import read_regions, read_shards
from segnt_tools.tracks.export import track_file_name
from segnt_tools.tracks.file import TracksReader

if TYPE_CHECKING:
    from segnt_tools.models.checkpoints import Inspection
    from segnt_tools.models.registry import LoadedModel

INTERMEDIATE = "intermediate"
_DONE = ".intermediate.done"
SETTINGS_FILE = "settings.json"
SUMMARY_FILE = "annotate.json"
REPORT_FILE = "report.html"
STEPS = ("genes", "elements", "tracks", "report")
# Options whose values are files, besides the assembly.
FILE_OPTIONS = ("regions", "parameters")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt annotate."""
    parser.add_argument("assembly", type=Path, metavar="ASSEMBLY", help="FASTA file")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    preprocess.add_preprocess_options(parser)
    add_predict_options(parser)
    call_peaks.add_peak_options(parser)
    call_genes.add_gene_options(parser)
    group = parser.add_argument_group("outputs")
    group.add_argument("--skip", action="append", choices=STEPS, default=[], help="leave this part out (repeatable)")
    group.add_argument("--keep-intermediate", action="store_true", help="keep the tracks files of all shards")
    add_common_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run or resume the chain."""
    annotation = _Annotation(args)
    if annotation.is_complete():
        logger.info("%s is complete: nothing to do", args.out)
    else:
        annotation.carry_out()
    if args.json is not None:
        with atomic_path(args.json) as temporary:
            shutil.copyfile(args.out / SUMMARY_FILE, temporary)
    return 0


@dataclass
class _Annotation:
    """One run of the chain in its output folder."""

    args: argparse.Namespace

    @property
    def folder(self) -> Path:
        return Path(self.args.out)

    @property
    def prepared(self) -> Path:
        return self.folder / INTERMEDIATE / "assembly"

    @property
    def shard_folder(self) -> Path:
        return self.folder / INTERMEDIATE / "shards"

    @property
    def new_bigwigs(self) -> Path:
        """Where bigWigs wait until all are there: those in the output folder may be of an earlier run."""
        return self.folder / INTERMEDIATE / "tracks"

    @cached_property
    def options(self) -> PredictOptions:
        """What to predict with which model."""
        return PredictOptions.from_arguments(self.args)

    @cached_property
    def candidates(self) -> list[Inspection]:
        """The models that may be run, inspected once."""
        return inspect_candidates(self.options)

    @property
    def candidate(self) -> Inspection:
        """The model that is run; after the step `model`."""
        if self.options.model != AUTO_MODEL:
            return chosen_candidate(self.candidates, None)
        selection = json.loads(self._step_report("model").read_text(encoding="utf-8"))
        return chosen_candidate(self.candidates, selection["fits"][0]["model"])

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the results; two runs with equal settings give equal files."""
        from segnt_tools.models.registry import checkpoint_fingerprint, embedded_folder, find_checkpoint

        model = self.args.model
        folder = embedded_folder() if model == AUTO_MODEL else find_checkpoint(model, self.args.model_dir)
        values = vars(self.args)
        # Where the model was found does not matter: its files do, by their fingerprint.
        ignored = {
            *("model_dir", "run", "command", "assembly", "out", "quiet", "debug", "json", "threads", "batch_size"),
            *("keep_intermediate", "action_function", *FILE_OPTIONS),
        }
        settings: dict[str, Any] = {
            "assembly_sha256": _digest(self.args.assembly),
            "model_fingerprint": checkpoint_fingerprint(folder),
            "version": __version__,
        }
        for option in FILE_OPTIONS:  # what a file says counts, not its name
            settings[f"{option}_sha256"] = None if values[option] is None else _digest(values[option])
        settings |= {key: value for key, value in values.items() if key not in ignored}
        return dict(json.loads(json.dumps(settings, default=str)))

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model, loaded when the first shard needs it."""
        return load(self.options, self.candidate)

    def is_complete(self) -> bool:
        """Whether an earlier run with the same settings has finished.

        Raises:
            UsageError: the folder holds results made with other settings.
        """
        shutil.rmtree(self.folder / _DONE, ignore_errors=True)
        if not (self.folder / SUMMARY_FILE).exists():
            return False
        refuse_other_settings(self._respelled(self._earlier_summary["settings"]), self.settings, self.folder, "results")
        return self._has_finished() and not self._missing_outputs()

    @cached_property
    def _earlier_summary(self) -> dict[str, Any]:
        """annotate.json of an earlier run.

        Raises:
            UsageError: it cannot be read.
        """
        path = self.folder / SUMMARY_FILE
        try:
            summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            summary["settings"].keys()
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"cannot read the summary of an earlier run ({error})", file=path) from error
        return summary

    def _has_finished(self) -> bool:
        """Whether an earlier run came to its end; what it left may be gone since."""
        if not (self.folder / SUMMARY_FILE).exists():
            return False
        last_step = next((name for name in reversed(STEPS) if name not in self.args.skip), "preprocess")
        return not (self.folder / INTERMEDIATE).exists() or self._step_report(last_step).exists()

    def _missing_outputs(self) -> list[str]:
        """Files of a finished run that are not there any more."""
        of_steps = {
            "genes": (call_genes.GFF3_FILE, *SEQUENCE_FILES, *((call_genes.GTF_FILE,) if self.args.gtf else ())),
            "elements": (call_peaks.GFF3_FILE, call_peaks.BED_FILE),
            "tracks": tuple(f"tracks/{name}" for name in self._earlier_summary.get("tracks", {}).get("files", ())),
            "report": (REPORT_FILE,),
        }
        of_done = [name for step, names in of_steps.items() if step not in self.args.skip for name in names]
        return [name for name in (CONTIGS_FILE, GAPS_FILE, *of_done) if not (self.folder / name).exists()]

    def _respelled(self, earlier: dict[str, Any]) -> dict[str, Any]:
        """Settings of an earlier run, with the model named as it is now if it is the same one."""
        same = earlier.get("model_fingerprint") == self.settings["model_fingerprint"]
        return earlier | {"model": self.settings["model"]} if same else earlier

    def _forget_results(self) -> None:
        """Let every step after the prediction be done again; and the prediction, if its files are gone."""
        gone = ", ".join(self._missing_outputs())
        logger.warning("%s is missing from %s: making the results again", gone, self.folder)
        for step in STEPS:
            self._step_report(step).unlink(missing_ok=True)
        (self.folder / SUMMARY_FILE).unlink()

    def carry_out(self) -> None:
        """Do what is not done yet."""
        self._check_options()
        settings, is_new = self.settings, not self.folder.exists()
        output_folder(self.folder)
        with alone_in(self.folder):
            self._carry_out(settings, is_new)
            self._clean_up()

    def _carry_out(self, settings: dict[str, Any], is_new: bool) -> None:
        if self._has_finished():
            self._forget_results()
        if not self._step_report("preprocess").exists():
            self._forget()
        output_folder(self.folder / INTERMEDIATE)
        require_same_settings(self.folder / INTERMEDIATE / SETTINGS_FILE, settings, "results", self._respelled)
        for folder in (self.folder, self.prepared, self.shard_folder, self.new_bigwigs):
            remove_leftovers(folder)
        try:
            self._step("preprocess", self._preprocess)
        except SegntError:
            self._forget()
            if is_new:
                self.folder.rmdir()
            raise
        with Assembly.open(self.prepared) as assembly:
            if self.args.model == AUTO_MODEL:
                self._step("model", lambda: dataclasses.asdict(select(self.options, assembly)))
            paths = self._predict(assembly)
            self._step("elements", lambda: self._elements(paths, assembly))
            self._step("genes", lambda: self._genes(paths, assembly))
            self._step("tracks", lambda: self._bigwigs(paths))
        for name in (CONTIGS_FILE, GAPS_FILE):
            with atomic_path(self.folder / name) as temporary:
                shutil.copyfile(self.prepared / name, temporary)
        write_report(self.folder / SUMMARY_FILE, "annotate", self.summary())
        self._step("report", self._report)

    def _forget(self) -> None:
        """Remove what a run leaves that got no further than its assembly: the next one may have other options."""
        for folder in (self.prepared, self.shard_folder, self.new_bigwigs):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # there is none, or the folder holds files of somebody else, or is a file
            (self.folder / INTERMEDIATE / SETTINGS_FILE).unlink(missing_ok=True)
            (self.folder / INTERMEDIATE).rmdir()

    def _check_options(self) -> None:
        """Refuse wrong options of every step before the first one begins."""
        args = self.args
        check_options(self.options, self.candidates)
        for card in (candidate.card for candidate in self.candidates):
            tracks = [card.tracks[i] for i in chosen_tracks(card, self.options.elements)]
            if "elements" not in args.skip:
                call_peaks.called_tracks(tracks, args.element, Path(card.name))
        call_peaks.rule_with(PeakDefaults(), call_peaks.given_thresholds(args))
        call_genes.options_from(args).applied_to(GeneParameters())

    def _step(self, name: str, function: Callable[[], dict[str, Any]]) -> None:
        """Do a step unless its report says that it is done; the report is written last."""
        if name in self.args.skip or self._step_report(name).exists():
            return
        values = function()
        write_report(self._step_report(name), name, values)

    def _step_report(self, name: str) -> Path:
        return self.folder / INTERMEDIATE / f"{name}.json"

    def _preprocess(self) -> dict[str, Any]:
        args = self.args
        sizes = (args.shards, args.shard_size, args.min_length)
        result = preprocess.preprocess(args.assembly, self.prepared, *sizes, args.include, args.exclude, args.regions)
        return preprocess.summary(result)

    def _predict(self, assembly: Assembly) -> list[Path]:
        output_folder(self.shard_folder)
        shards = read_shards(self.prepared)
        planned = read_regions(self.prepared)
        paths = [self.shard_folder / f"{shard.number:05d}.h5" for shard in shards]
        missing = [(shard, path) for shard, path in zip(shards, paths, strict=True) if not path.exists()]
        require_space(self.options, [self.candidate], sum(shard.bases for shard, _ in missing), self.shard_folder)
        for shard, path in missing:
            predict_shard(assembly, shard, self.loaded, self.options, path, planned)
        return paths

    def _elements(self, paths: list[Path], assembly: Assembly) -> dict[str, Any]:
        thresholds = call_peaks.given_thresholds(self.args)
        return call_peaks.call_elements(paths, self.folder, self.args.element, thresholds, assembly.lengths)

    def _genes(self, paths: list[Path], assembly: Assembly) -> dict[str, Any]:
        return call_genes.call_and_write(paths, assembly, self.folder, call_genes.options_from(self.args))

    def _bigwigs(self, paths: list[Path]) -> dict[str, Any]:
        folder, new = output_folder(self.folder / "tracks"), output_folder(self.new_bigwigs)
        with TracksReader(paths) as reader:
            names = {i: f"{track_file_name(reader.tracks[i])}.bw" for i in default_tracks(reader.tracks)}
            missing = [i for i, name in names.items() if not (new / name).exists()]
            if missing:
                export_tracks(reader, "bigwig", missing, new, threads=self.args.threads)
        for name in names.values():
            (new / name).replace(folder / name)
        return {"files": list(names.values())}

    def _report(self) -> dict[str, Any]:
        from segnt_tools.report.page import write_report as write_page

        write_page([self.folder], self.folder / REPORT_FILE, genome=self.prepared)
        return {"file": REPORT_FILE}

    def summary(self) -> dict[str, Any]:
        """The values of annotate.json, from what the steps left."""
        values: dict[str, Any] = {"settings": self.settings}
        with TracksReader(sorted(self.shard_folder.glob("*.h5"))) as reader:
            header = reader.header
            values["model"] = header.model
            values["licence"] = header.card.get("licence")
            values["citation"] = header.card.get("citation")
            values["predict"] = {**reader.settings, "tracks": [track.name for track in header.tracks]}
            values["card"] = dict(header.card)
        for name, key in (
            ("preprocess", "preprocess"),
            ("model", "selection"),
            ("elements", "call-peaks"),
            ("genes", "call-genes"),
            ("tracks", "tracks"),
        ):
            path = self._step_report(name)
            if path.exists():
                document = json.loads(path.read_text(encoding="utf-8"))
                values[key] = {k: v for k, v in document.items() if k not in ("tool", "schema_version", "version")}
        return values

    def _clean_up(self) -> None:
        """Remove what only a resumed run would need; by a new name first, so that a kill leaves it whole or gone."""
        if not self.args.keep_intermediate:
            (self.folder / INTERMEDIATE).rename(self.folder / _DONE)
            shutil.rmtree(self.folder / _DONE)


def _digest(path: Path) -> str:
    """SHA-256 of a file as it lies on the disk."""
    if path.is_dir():
        raise AssemblyError("this is a folder, not a file", file=path)
    try:
        return file_sha256(path)
    except OSError as error:
        raise AssemblyError(f"cannot read the file: {error.strerror}", file=path) from error
