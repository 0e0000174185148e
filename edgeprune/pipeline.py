"""The whole job: checkpoint in; artifacts, proof and report out. Resumable, and nothing half-written."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import formats
from . import report as reports
from .checkpoint import load_masks, save_checkpoint
from .delivery import Delivered, check_build, costs_on, deliver, staging, targets_of
from .graph import Graph
from .passes import shrink
from .pruning import Masks, Probe, Progress, Pruned, evaluate, prunable, prune
from .report import Report
from .runlog import Listener, RunLog
from .sources import Opened, Source, weight_counts

log = logging.getLogger("edgeprune")

WORK = ".work"  # inside the output folder: the state of a run that is not done


def compress(
    checkpoint: str | os.PathLike[str],
    ratio: float,
    *,
    targets: str | Sequence[str] = "tflite",
    out: str | os.PathLike[str],
    data: str | None = None,
    progress: Listener | None = None,
    resume: bool = False,
    optimize: str = "size",
    target_device: str | os.PathLike[str] | None = None,
    measure: bool = True,
    build: str | None = None,
    source: Mapping[str, Any] | None = None,
    **pruning: Any,
) -> Report:
    """Prunes the network in `checkpoint` to 1/`ratio` of its weights, shrinks, writes, verifies and measures it in folder `out`.

    `build` also compiles the C model: "host", or a target of `edgeprune.formats.c.CROSS`.
    `out` then holds model.<target> for every target, pruned.pt, report.json and a log. `data` is a `--data` spec (by default
    what the checkpoint says); `source` holds further fields of `edgeprune.sources.Source` (model, input_shape, ...); `pruning`
    goes to `edgeprune.prune` (method, schedule, retrain, distill, robust, epsilon, aap, rounds, epochs, lr, batch_size, seed,
    device, precision); its `masks` are those of another run, whose folder is named. `optimize` is "size", "latency" or "memory":
    what forms of sparse layers are chosen by, for the `target_device` (a name that `edgeprune targets` lists, or a folder that
    `edgeprune calibrate` made).
    `resume=True` goes on with a killed run in the same folder, to the same result.

    Raises EdgepruneError for input it cannot use, before anything is written, and CheckFailed when a promise does not hold:
    then no artifact is left.
    """
    opened = Source(checkpoint, data=data, **(source or {}))
    return compress_source(
        opened, ratio, targets=targets, out=out, progress=progress, resume=resume, optimize=optimize, target_device=target_device,
        measure=measure, build=build, **pruning,
    )  # fmt: skip


def compress_source(
    source: Source,
    ratio: float,
    *,
    targets: str | Sequence[str],
    out: str | os.PathLike[str],
    progress: Listener | None = None,
    resume: bool = False,
    optimize: str = "size",
    target_device: str | os.PathLike[str] | None = None,
    measure: bool = True,
    build: str | None = None,
    command: Sequence[str] = (),
    **pruning: Any,
) -> Report:
    """`compress` for a Source; `command` is kept in the report."""
    started, out, suffixes, costs = time.monotonic(), Path(out), targets_of(targets), costs_on(target_device)
    check_build(build, suffixes)
    with staging(out) as folder, RunLog(out, "compress.log", progress) as told:
        told.phase("reading the checkpoint")
        opened = source.open()
        dense = opened.graph()
        if opened.data is None:
            log.warning("no data: accuracy is neither recovered by retraining nor measured; give --data to do both")
        pruned = _pruned(opened, ratio, out, resume, told, pruning)
        told.phase("removing dead channels")
        small = shrink(opened.graph(pruned.module))
        delivered = deliver(
            opened, small, dense, pruned.module, suffixes, folder,
            optimize=optimize, costs=costs, measure=measure, build=build, say=told.phase,
        )  # fmt: skip
        kept = ["pruned.pt"] if len(opened.loaded.example_inputs) == 1 else []
        if kept:
            _save_pruned(folder / "pruned.pt", opened, pruned, ratio)
        else:
            log.warning("a checkpoint keeps networks of one input; there will be no pruned.pt beside the artifacts")
        told.phase("writing the report")
        seconds = time.monotonic() - started
        report = _report(opened, pruned, ratio, dense, small, delivered, command, seconds, told.warnings, pruning)
        report.save(folder / "report.json")
        _move(folder, out, [*_files(delivered), *kept, "report.json"])
        shutil.rmtree(out / WORK, ignore_errors=True)
    return report


def help_to_prune(source: Source, ratio: float, *, out: str | os.PathLike[str], resume: bool = False, **pruning: Any) -> None:
    """The part in `compress_source` of a process that does not lead: it prunes and trains along, and writes nothing."""
    _pruned(source.open(), ratio, Path(out), resume, None, pruning)


def _pruned(
    opened: Opened, ratio: float, out: Path, resume: bool, progress: Progress | None, pruning: Mapping[str, Any]
) -> Pruned:
    given = dict(pruning)
    if isinstance(path := given.get("rewind_to"), str | os.PathLike):
        loaded = opened.loaded
        earlier = replace(
            opened.source, path=path, model=opened.source.model or loaded.model_spec, stored_masks="ignore",
            model_args=opened.source.model_args or loaded.model_args,
        )  # fmt: skip
        given["rewind_to"] = earlier.open(with_data=False).loaded.module.state_dict()
    masks = dict(opened.loaded.masks or {})
    for name, mask in (load_masks(of) if (of := given.pop("masks", None)) else {}).items():
        masks[name] = masks[name] & mask if name in masks else mask
    return prune(
        opened.loaded.module,
        ratio,
        data=opened.data,
        example_inputs=opened.loaded.example_inputs,
        masks=masks,
        work_dir=out / WORK,
        resume=resume,
        progress=progress,
        **given,
    )


def export(
    checkpoint: str | os.PathLike[str],
    *,
    targets: str | Sequence[str] = "tflite",
    out: str | os.PathLike[str],
    data: str | None = None,
    source: Mapping[str, Any] | None = None,
    removal: bool = True,
    **settings: Any,
) -> Report:
    """Writes the network in `checkpoint` as it is, verified, into folder `out`: no pruning, no retraining.

    `removal=False` leaves dead channels in. The other arguments are those of `compress`.
    """
    return export_source(Source(checkpoint, data=data, **(source or {})), targets=targets, out=out, removal=removal, **settings)


def export_source(
    source: Source,
    *,
    targets: str | Sequence[str],
    out: str | os.PathLike[str],
    removal: bool = True,
    optimize: str = "size",
    target_device: str | os.PathLike[str] | None = None,
    measure: bool = True,
    build: str | None = None,
    progress: Listener | None = None,
    command: Sequence[str] = (),
) -> Report:
    """`export` for a Source."""
    started, out, suffixes, costs = time.monotonic(), Path(out), targets_of(targets), costs_on(target_device)
    check_build(build, suffixes)
    with staging(out) as folder, RunLog(out, "export.log", progress) as told:
        told.phase("reading the checkpoint")
        opened = source.open()
        dense = opened.graph()
        module = opened.loaded.module
        probe = Probe(module, opened.loaded.example_inputs)
        weights = prunable(module)
        masks = Masks({name: weights[name].detach() != 0 for name in probe.shapes})
        small = shrink(dense) if removal else dense
        delivered = deliver(
            opened, small, dense, module, suffixes, folder,
            optimize=optimize, costs=costs, measure=measure, build=build, say=told.phase,
        )  # fmt: skip
        accuracy = None
        if opened.data is not None:
            told.phase("measuring accuracy")
            accuracy = evaluate(module, opened.data.test)
        kept, alive = masks.kept, probe.alive(masks).kept
        unpruned = Pruned(module, masks, kept, alive, masks.total, accuracy, accuracy, [])
        seconds = time.monotonic() - started
        report = _report(opened, unpruned, None, dense, small, delivered, command, seconds, told.warnings, {})
        report.save(folder / "report.json")
        _move(folder, out, [*_files(delivered), "report.json"])
    return report


def _save_pruned(path: Path, opened: Opened, pruned: Pruned, ratio: float) -> None:
    loaded = opened.loaded
    save_checkpoint(
        path,
        pruned.module,
        model=loaded.model_spec,
        model_args=loaded.model_args,
        input_shape=loaded.input_shape,
        preprocessing=opened.preprocessing,
        data=None if opened.data is None else opened.data.spec,
        masks=pruned.masks,
        meta={"ratio": ratio, "kept": pruned.kept, "accuracy": pruned.accuracy_after, "made_from": opened.name},
    )


def _files(delivered: Sequence[Delivered]) -> list[str]:
    """The names of all artifacts, with the files that belong to them."""
    built = [d.built.path.name for d in delivered if d.built]
    return [path.name for d in delivered for path in (d.path, *formats.companions(d.path))] + built


def _move(folder: Path, out: Path, names: Sequence[str]) -> None:
    for name in names:
        os.replace(folder / name, out / name)


def _report(
    opened: Opened,
    pruned: Pruned,
    ratio: float | None,
    dense: Graph,
    small: Graph,
    delivered: Sequence[Delivered],
    command: Sequence[str],
    seconds: float,
    warnings: Sequence[str],
    settings: Mapping[str, Any],
) -> Report:
    before, after = weight_counts(pruned.module)[1], stored_numbers(small)
    first = delivered[0]
    profile = first.profile
    return Report(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=tuple(command),
        versions=reports.versions(),
        seed=int(settings.get("seed", 0)),
        ratio=reports.Ratio(ratio, pruned.total / max(pruned.kept, 1), before / max(after, 1), first.dense_bytes / first.bytes),
        weights=reports.Weights(pruned.total, pruned.kept, pruned.alive),
        parameters=reports.Parameters(before, after),
        accuracy=reports.Accuracy(
            pruned.accuracy_before,
            pruned.accuracy_after,
            None if opened.data is None else len(opened.data.test),
            pruned.robust_before,
            pruned.robust_after,
        ),
        multiply_adds=reports.MultiplyAdds(dense.multiply_adds, small.multiply_adds, effective_multiply_adds(small)),
        layers=_layers(opened, pruned, small, delivered),
        artifacts=tuple(_artifact(d) for d in delivered),
        dense=tuple(_dense(d, dense) for d in delivered),
        rounds=tuple(reports.Round(**r.to_dict()) for r in pruned.rounds),
        settings={name: value for name, value in settings.items() if isinstance(value, str | int | float | bool)},
        device={} if profile is None else dict(profile.to_dict()["device"]),
        seconds=round(seconds, 1),
        warnings=tuple(warnings),
    )


def _layers(opened: Opened, pruned: Pruned, small: Graph, delivered: Sequence[Delivered]) -> tuple[reports.Layer, ...]:
    probe = Probe(pruned.module, opened.loaded.example_inputs)
    alive = probe.alive({**probe.full(), **pruned.masks})  # a head that was spared has no mask
    stored = {node.source: node.op for node in small.nodes if "weight" in node.op.arrays}
    layers = []
    for name, mask in pruned.masks.items():
        source = name.removesuffix(".weight")
        op = stored.get(source)
        kept = int(mask.sum())
        encoding = {d.format: e.encoding for d in delivered for e in d.encodings if e.source == source}
        place = {d.format: i for d in delivered for i, e in enumerate(d.encodings) if e.source == source}
        layers.append(
            reports.Layer(
                name=source,
                kind="linear" if mask.ndim == 2 else "conv",
                shape_before=tuple(mask.shape),
                shape_after=None if op is None else tuple(op.arrays["weight"].shape),
                weights=mask.numel(),
                kept=kept,
                alive=int(alive[name].sum()),
                density=None if op is None else float((op.arrays["weight"] != 0).mean()),
                encoding=encoding,
                place=place,
            )
        )
    return tuple(layers)


def _artifact(d: Delivered) -> reports.Artifact:
    ratio = d.measured.ratios[0] if d.measured and d.measured.ratios else None
    plain = reports.artifact_entry(d.path, profile=d.profile, compiled=d.built.bytes if d.built else None)
    worst = max(d.parity.values(), key=lambda parity: parity.max_relative_error)
    parity = reports.Parity(d.max_relative_error, d.top1_agreement, d.samples, worst.tolerance)
    speedup = None if ratio is None else reports.Speedup(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)
    return reports.Artifact(**{**vars(plain), "parity": parity, "speedup": speedup})


def _dense(d: Delivered, dense: Graph) -> reports.Dense:
    return reports.dense_entry(d.path.with_name(f"dense{d.path.suffix}"), dense.multiply_adds, profile=d.dense_profile)


def stored_numbers(graph: Graph) -> int:
    """How many numbers the graph holds when zeros of weights are not stored: kept weights, biases, scales and shifts."""
    arrays = [(name, a) for node in graph.nodes for name, a in node.op.arrays.items()]
    return sum(int((a != 0).sum()) if name == "weight" else a.size for name, a in arrays)


def effective_multiply_adds(graph: Graph) -> int:
    """Multiply-adds of one input when those with a zero weight are left out."""
    total = 0.0
    for node in graph.nodes:
        if dense := node.op.multiply_adds(graph.ins(node)):
            weight = node.op.arrays.get("weight")  # what attention multiplies are values
            total += dense if weight is None else dense * float((weight != 0).mean())
    return round(total)
