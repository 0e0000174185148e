"""Commands over a checkpoint: compress it, export it, prove it, look into it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from .group import main
from .options import BUILD, JSON, OPTIMIZE, QUIET, SOURCE, TARGET_DEVICE, source_from


@main.command()
@click.argument("checkpoint", type=click.Path())
@click.option("--ratio", type=float, required=True, help="Prunable weights divided by kept ones, like 1024.")
@click.option("--target", default="tflite", show_default=True, help="Formats to write, comma-separated: tflite, onnx, c.")
@click.option("-o", "--out", type=click.Path(), help="Folder for the results.  [default: CHECKPOINT-RATIOx]")
@SOURCE
@click.option("--method", default="magnitude", show_default=True, help="What `edgeprune methods` lists, or file.py:function.")
@click.option("--criterion", help="Another criterion for that method: which weights matter.")
@click.option("--schedule", help="Another schedule for that method: iterative, one-shot, gradual, ...")
@click.option("--retrain", default="lr-rewind", show_default=True, help="lr-rewind, fine-tune, weight-rewind or none.")
@click.option("--rewind-to", type=click.Path(), help="An earlier checkpoint, for weight-rewind.  [default: CHECKPOINT]")
@click.option("--masks", type=click.Path(), help="Begin with the masks of another run: its folder, or the pruned.pt in it.")
@click.option("--distill", type=float, default=0.0, show_default=True, help="Share of the loss from imitating CHECKPOINT.")
@click.option("--robust", help="Train against attacks: trades or adversarial.  [default: do not]")
@click.option("--epsilon", type=float, default=8 / 255, show_default="8/255", help="How far it moves a pixel, of 0 to 1.")
@click.option("--aap/--no-aap", default=True, help="All-alive pruning: no budget for dead connections.", show_default=True)
@click.option("--rounds", type=click.IntRange(1), help="Prune-and-retrain rounds.  [default: by the ratio]")
@click.option("--epochs", type=click.IntRange(0), help="Epochs of retraining per round.  [default: by the data]")
@click.option("--lr", type=float, help="Peak learning rate.")
@click.option("--batch-size", type=click.IntRange(1))
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="Where to train: cpu, cuda, mps, ...")
@click.option("--precision", default="32-true", show_default=True, help="32-true, bf16-mixed, 16-mixed.")
@OPTIMIZE
@TARGET_DEVICE
@BUILD
@click.option("--measure/--no-measure", default=True, help="Latency and memory against the dense network.", show_default=True)
@click.option("--resume", is_flag=True, help="Go on with a killed run in the same folder.")
@click.option("--profile-on", metavar="DEVICES", help="Then profile there, and write report.html: host,raspberry-pi-5=pi@pi.")
@QUIET
@JSON
def compress(
    checkpoint: str,
    ratio: float,
    target: str,
    out: str | None,
    profile_on: str | None,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Prune CHECKPOINT to 1/RATIO of its weights, all of them alive; shrink, export, verify and measure it."""
    from ..delivery import check_build, targets_of
    from ..pipeline import compress_source, help_to_prune
    from ..profiling.wherever import wanted_of
    from ..pruning import leads
    from ..report import show, show_progress
    from ..report.everywhere import profile_everywhere

    source = source_from(checkpoint, given)
    suffixes = targets_of(target)
    check_build(given["build"], suffixes)
    devices = wanted_of(profile_on, [suffix.removeprefix(".") for suffix in suffixes]) if profile_on else []
    folder = Path(out) if out else Path(f"{Path(checkpoint).stem}-{ratio:g}x")
    if not leads():
        given = {name: value for name, value in given.items() if name not in ("optimize", "measure", "build")}
        help_to_prune(source, ratio, out=folder, **given)
        return
    with show_progress(quiet=quiet) as progress:
        report = compress_source(source, ratio, targets=target, out=folder, progress=progress, command=sys.argv[1:], **given)
        if devices:
            progress.phase("profiling on devices")
            written = profile_everywhere(folder, report, devices)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=1))
    elif not quiet:
        show(report)
        if devices:
            click.echo("profiled on devices: " + ", ".join(map(str, written)))


@main.command()
@click.argument("checkpoint", type=click.Path())
@click.option("--target", default="tflite", show_default=True, help="Formats to write, comma-separated: tflite, onnx, c.")
@click.option("-o", "--out", type=click.Path(), help="Folder for the results.  [default: CHECKPOINT-export]")
@SOURCE
@OPTIMIZE
@TARGET_DEVICE
@click.option("--shrink/--no-shrink", "removal", default=True, help="Remove dead channels first.", show_default=True)
@BUILD
@click.option("--measure/--no-measure", default=False, help="Latency and memory.", show_default=True)
@QUIET
@JSON
def export(checkpoint: str, target: str, out: str | None, quiet: bool, as_json: bool, **given: Any) -> None:
    """Write CHECKPOINT as it is, without pruning: dead channels removed, verified in the real runtime."""
    from ..pipeline import export_source
    from ..report import show, show_progress

    source = source_from(checkpoint, given)
    folder = Path(out) if out else Path(f"{Path(checkpoint).stem}-export")
    with show_progress(quiet=quiet) as progress:
        report = export_source(source, targets=target, out=folder, progress=progress, command=sys.argv[1:], **given)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=1))
    elif not quiet:
        show(report)


@main.command()
@click.argument("artifact", type=click.Path())
@click.argument("checkpoint", type=click.Path())
@SOURCE
@click.option("--samples", type=click.IntRange(1), help="Test inputs to compare on.  [default: as many as are quick]")
@click.option("--tolerance", type=float, default=1e-5, show_default=True, help="Largest error over largest magnitude.")
@JSON
def verify(artifact: str, checkpoint: str, samples: int | None, tolerance: float, as_json: bool, **given: Any) -> None:
    """Compare ARTIFACT, in its real runtime, with the network in CHECKPOINT on the same inputs."""
    from ..commands import verify_source
    from ..errors import CheckFailed

    results = verify_source(artifact, source_from(checkpoint, given), samples=samples, tolerance=tolerance)
    if as_json:
        click.echo(json.dumps({kind: parity.to_dict() for kind, parity in results.items()}, indent=1))
    for kind, parity in results.items():
        if not as_json:
            agreement = "" if parity.top1_agreement is None else f", top-1 agreement {parity.top1_agreement:.2%}"
            click.echo(f"{kind}: {parity.samples:,} samples, largest relative error {parity.max_relative_error:.2g}{agreement}")
    failed = [parity for parity in results.values() if not parity.passed]
    if failed:
        failed[0].check()
        raise CheckFailed("the artifact does not compute what the network does")


@main.command()
@click.argument("file", type=click.Path())
@SOURCE
@click.option("--target", type=click.Choice(["tflite", "onnx", "c"]), help="Show a checkpoint as it would be written, and why.")
@OPTIMIZE
@TARGET_DEVICE
@JSON
def inspect(file: str, as_json: bool, target: str | None, optimize: str, target_device: str | None, **given: Any) -> None:
    """Show what FILE (a checkpoint, .tflite, .onnx or .c) holds: layers, density, dead connections, bytes."""
    from ..commands import inspect_file
    from ..report import print_inspection

    found = inspect_file(source_from(file, given), target=target, optimize=optimize, target_device=target_device)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=1))
    else:
        print_inspection(found)
