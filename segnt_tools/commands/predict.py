"""Per-base probabilities of every element, as a tracks file.

INPUT is a folder made by segnt preprocess (then --shard chooses one shard) or any FASTA file. The windows depend on the
contig and the model alone: shards, batch size and threads do not change the result. A run that was killed leaves no
file; the same command starts the shard again.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segnt_tools import __version__
from segnt_tools.commands.common import add_common_options, add_model_options, positive_int, write_report
from segnt_tools.errors import UsageError
from segnt_tools.files import output_folder, require_free_space
from segnt_tools.logs import Progress, logger
from segnt_tools.models.card import AUTO_MODEL, DEFAULT_MODEL, Card
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.shards import Shard, planned_pieces, read_regions, read_shards
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.sequence.windows import WindowGeometry
from segnt_tools.tracks.file import Encoding, TracksHeader, tracks_writer

if TYPE_CHECKING:
    from segnt_tools.models.checkpoints import Inspection
    from segnt_tools.models.registry import LoadedModel
    from segnt_tools.selection import Selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt predict."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="preprocess folder or FASTA file")
    parser.add_argument("--out", type=Path, required=True, metavar="TRACKS.h5", help="tracks file to write")
    parser.add_argument(
        "--shard", type=positive_int, metavar="I", help="predict this shard of the folder only (from 1)"
    )
    add_predict_options(parser)
    add_common_options(parser)


def add_predict_options(parser: argparse.ArgumentParser) -> None:
    """Options shared with segnt annotate."""
    add_model_options(parser, DEFAULT_MODEL)
    group = parser.add_argument_group("tracks")
    group.add_argument(
        "--elements",
        nargs="+",
        metavar="ELEMENT",
        help="only these elements (default: all that the model was trained on)",
    )
    group.add_argument(
        "--track-dtype",
        choices=[encoding.value for encoding in Encoding if encoding is not Encoding.LABEL],
        default=Encoding.LOGIT8.value,
        help="precision in the file; uint8 is a logit scale with an error of at most 0.01",
    )


@dataclasses.dataclass(frozen=True, slots=True)
class PredictOptions:
    """What decides the values of a tracks file, besides the assembly."""

    model: str
    model_dir: tuple[Path, ...] = ()
    device: str = "auto"
    precision: str = "auto"
    window: int | None = None
    overlap: int | None = None
    batch_size: int | None = None
    both_strands: bool = False
    elements: tuple[str, ...] | None = None
    track_dtype: str = Encoding.LOGIT8.value
    threads: int = 1

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> PredictOptions:
        """The options of a command line."""
        values = {field.name: getattr(args, field.name) for field in dataclasses.fields(cls)}
        values["model_dir"] = tuple(args.model_dir)
        values["elements"] = None if args.elements is None else tuple(args.elements)
        return cls(**values)


def run(args: argparse.Namespace) -> int:
    """Predict one shard or everything."""
    options = PredictOptions.from_arguments(args)
    candidates = inspect_candidates(options)
    check_options(options, candidates)
    output_folder(args.out.parent)
    with Assembly.open(args.input) as assembly:
        shard, planned = _chosen_shard(args.input, args.shard, assembly)
        require_space(options, candidates, shard.bases, args.out.parent)
        selection = select(options, assembly) if options.model == AUTO_MODEL else None
        loaded = load(options, chosen_candidate(candidates, selection.best.model if selection is not None else None))
        report = predict_shard(assembly, shard, loaded, options, args.out, planned)
    if selection is not None:
        report["selection"] = dataclasses.asdict(selection)
    write_report(args.json, "predict", report)
    return 0


Planned = Mapping[str, tuple[Stretch, ...]]


def _chosen_shard(source: Path, number: int | None, assembly: Assembly) -> tuple[Shard, Planned]:
    """The pieces to predict, as a shard, and the regions of the run if it has any; number 0 stands for everything."""
    if not source.is_dir():
        if number is not None:
            raise UsageError("--shard needs a preprocess folder", file=source, hint="Run segnt preprocess first")
        return Shard(0, 0, tuple(Stretch(contig.name, 0, contig.length) for contig in assembly.contigs)), {}
    shards = read_shards(source)
    planned = read_regions(source)
    if number is None:
        held = planned_pieces(shards)
        return Shard(0, 0, tuple(p for c in assembly.contigs for p in held.get(c.name, ()))), planned
    if number > len(shards):
        raise UsageError(f"there is no shard {number}: the folder has {len(shards)}", file=source)
    return shards[number - 1], planned


def inspect_candidates(options: PredictOptions) -> list[Inspection]:
    """The model of --model, or all that `auto` may choose; names and shapes of their tensors are checked.

    Once a run, as early as possible; what is found is passed on to all who need it.

    Raises:
        CheckpointError: there is no such model, or its checkpoint is incomplete or of an unknown kind.
        UsageError: there is no folder of --model-dir.
    """
    from segnt_tools.models.checkpoints import inspect_checkpoint
    from segnt_tools.models.registry import embedded_models, find_checkpoint

    if options.model == AUTO_MODEL:
        return [inspect_checkpoint(folder) for folder in embedded_models().values()]
    return [inspect_checkpoint(find_checkpoint(options.model, options.model_dir))]


def chosen_candidate(candidates: Sequence[Inspection], selected: str | None) -> Inspection:
    """The only candidate, or the one that was selected by its name."""
    return next(one for one in candidates if selected in (None, one.card.name))


def check_options(options: PredictOptions, candidates: Sequence[Inspection]) -> None:
    """Refuse what cannot work before the assembly is read and a model is loaded.

    Raises:
        UsageError: the device, the windows or the elements are not there.
    """
    from segnt_tools.models.registry import choose_device

    choose_device(options.device)
    for candidate in candidates:
        _geometry(candidate.card, options)
        chosen_tracks(candidate.card, options.elements)


def require_space(options: PredictOptions, candidates: Sequence[Inspection], bases: int, folder: Path) -> None:
    """Stop before a model is loaded whose tracks of so many bases would not fit.

    Raises:
        UsageError: too little space is free.
    """
    tracks = max((len(chosen_tracks(one.card, options.elements)) for one in candidates), default=0)
    require_free_space(folder, _tracks_bytes(bases, tracks, Encoding(options.track_dtype)))


def _tracks_bytes(bases: int, tracks: int, encoding: Encoding) -> int:
    """What a tracks file takes at most: probabilities compress to less than half."""
    return bases * tracks * encoding.dtype.itemsize // 2


def select(options: PredictOptions, assembly: Assembly) -> Selection:
    """Choose the embedded model that fits the assembly best, and say why."""
    import torch

    from segnt_tools.models.registry import embedded_models
    from segnt_tools.selection import select_model

    torch.set_num_threads(options.threads)
    selection = select_model(assembly, embedded_models(), options.device, options.precision)
    best = selection.best
    logger.info(
        "model %s (%s) fits best: share of %d sampled bases that it expects to annotate rightly as coding: %s",
        best.model,
        best.clade,
        selection.sampled_bases,
        ", ".join(f"{fit.model} {fit.expected_coding_share:.3f}" for fit in selection.fits),
    )
    if not best.is_at_home:
        logger.warning(
            "the assembly looks unlike anything the embedded models were trained on: do not trust the gene models. "
            "Adapt a model to an annotated relative: segnt train adapt --help"
        )
    return selection


def load(options: PredictOptions, inspection: Inspection) -> LoadedModel:
    """Load a model, apply --window and --overlap, and say what runs where."""
    import torch

    from segnt_tools.models.registry import load_model, log_model

    torch.set_num_threads(options.threads)
    loaded = load_model(inspection, options.device, options.precision)
    card = loaded.model.card
    _warn(card, options)
    loaded.model.card = dataclasses.replace(card, geometry=_geometry(card, options))
    log_model(loaded, __version__)
    return loaded


def _geometry(card: Card, options: PredictOptions) -> WindowGeometry:
    geometry = card.geometry
    if options.window is not None:
        if _is_beyond_known(card, options):
            geometry = dataclasses.replace(geometry, longest=options.window)
        margin = min(geometry.margin, options.window // 8)
        geometry = dataclasses.replace(geometry, length=options.window, margin=margin)
    if options.overlap is not None:
        geometry = dataclasses.replace(geometry, margin=options.overlap // 2)
    return geometry


def _is_beyond_known(card: Card, options: PredictOptions) -> bool:
    """Whether the window is longer than the model is known to work on, which models of any length take nevertheless."""
    known = card.geometry
    return options.window is not None and options.window > known.longest and known.shortest < known.length


def _warn(card: Card, options: PredictOptions) -> None:
    if _is_beyond_known(card, options):
        text = "a window of %d bp is longer than the %d bp the model is known to work on"
        logger.warning(text, options.window, card.geometry.longest)
    chosen = [card.tracks[i] for i in chosen_tracks(card, options.elements)]
    if untrained := [track.name for track in chosen if not track.trained]:
        logger.warning("%s was never trained on %s: do not trust these tracks", card.name, ", ".join(untrained))


def chosen_tracks(card: Card, elements: Sequence[str] | None) -> tuple[int, ...]:
    """Indices of the tracks to write.

    Raises:
        UsageError: the model has no such element.
    """
    if elements is None:
        return card.trained_tracks
    known = {track.element for track in card.tracks} | {track.name for track in card.tracks}
    if unknown := [name for name in elements if name not in known]:
        raise UsageError(
            f"{card.name} has no element {', '.join(unknown)}",
            hint=f"It has: {', '.join(dict.fromkeys(track.element for track in card.tracks))}",
        )
    chosen = [i for i, track in enumerate(card.tracks) if track.element in elements or track.name in elements]
    return tuple(chosen)


def settings_of(loaded: LoadedModel, options: PredictOptions) -> dict[str, Any]:
    """What the header of a tracks file says about how the values were made."""
    geometry = loaded.card.geometry
    return {
        "window": geometry.length,
        "margin": geometry.margin,
        "both_strands": options.both_strands,
        "precision": str(loaded.precision).removeprefix("torch."),
        "device": loaded.device.type,
    }


def predict_shard(
    assembly: Assembly,
    shard: Shard,
    loaded: LoadedModel,
    options: PredictOptions,
    out: Path,
    planned: Planned,
) -> dict[str, Any]:
    """Predict the pieces of a shard into one tracks file; returns the values of the JSON report.

    Args:
        assembly: the assembly.
        shard: the pieces.
        loaded: the model.
        options: what to predict.
        out: the tracks file.
        planned: the regions of the run, by contig; contigs that are not in it are predicted whole.
    """
    from segnt_tools.models.inference import Predictor

    tracks = chosen_tracks(loaded.card, options.elements)
    encoding = Encoding(options.track_dtype)
    header = TracksHeader(
        tracks=tuple(loaded.card.tracks[i] for i in tracks),
        encoding=encoding,
        assembly=assembly.fingerprint,
        model=loaded.card.name,
        model_fingerprint=loaded.fingerprint,
        card=loaded.card.as_dict(),
        settings=settings_of(loaded, options),
        tool_version=__version__,
        shard=shard.number,
    )
    require_free_space(out.parent, _tracks_bytes(shard.bases, len(tracks), encoding))
    predictor = Predictor(
        loaded,
        batch_size=options.batch_size,
        both_strands=options.both_strands,
        tracks=tracks,
        quantised=encoding is Encoding.LOGIT8,
    )
    what = f"predict shard {shard.number}" if shard.number else "predict"
    with (
        Progress(what, shard.bases) as progress,
        tracks_writer(out, header, assembly.contigs, shard.pieces, options.threads, planned) as writer,
        closing(predictor.predict(assembly, shard.pieces)) as stretches,
    ):
        for values in stretches:
            writer.write(values)
            progress.add(values.shape[1])
    return {
        "model": loaded.card.name,
        "licence": loaded.card.licence,
        "citation": loaded.card.citation,
        "assembly_fingerprint": assembly.fingerprint,
        "shard": shard.number,
        "contigs": len({piece.contig for piece in shard.pieces}),
        "bases": shard.bases,
        "tracks": [track.name for track in header.tracks],
        "settings": dict(header.settings),
    }
