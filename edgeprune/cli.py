"""The command line: one command per public verb, each thin.

Exit codes: 0 done, 1 a check failed, 2 wrong usage or input, 130 interrupted.
"""

from __future__ import annotations

import ast
import functools
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ._version import __version__
from .errors import EdgepruneError

Command = Callable[..., Any]


class OneLineErrors(click.Group):
    """Errors as one line on stderr with their exit code; with --debug as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgepruneError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted; a finished round is kept: run the same command with --resume", err=True)
            ctx.exit(130)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            said = " ".join(str(error).split()) or "no message"
            click.echo(f"Internal error ({type(error).__name__}: {said}); --debug before the command shows where", err=True)
            ctx.exit(101)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edgeprune")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """Compress a trained PyTorch network for an edge device: prune, shrink, export, prove."""
    log = logging.getLogger("edgeprune")
    if not any(isinstance(handler, _ToTerminal) for handler in log.handlers):
        log.addHandler(_ToTerminal(logging.WARNING))


class _ToTerminal(logging.Handler):
    """Warnings as plain lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"{record.levelname.capitalize()}: {record.getMessage()}", err=True)


def options(*given: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, shown in the order given."""
    return lambda command: functools.reduce(lambda made, option: option(made), reversed(given), command)


def shape_of(ctx: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise click.BadParameter(f"{text!r} is no shape; give sizes without the batch, like 3,224,224")
    return shape


def numbers_of(ctx: click.Context, parameter: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers; give one per channel, like 0.485,0.456,0.406") from None


def arguments_of(ctx: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise click.BadParameter(f"{pair!r} is not key=value")
        try:
            found[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[key] = text
    return found


SOURCE = options(
    click.option("--model", metavar="SPEC", help="The network: torchvision:resnet18, package.module:factory, file.py:factory."),
    click.option("--model-arg", "model_args", multiple=True, metavar="KEY=VALUE", callback=arguments_of, help="Repeatable."),
    click.option("--input-shape", metavar="C,H,W", callback=shape_of, help="Without the batch, when the file does not say."),
    click.option("--data", metavar="SPEC", help="mnist:DIR, cifar10:DIR, imagefolder:DIR, file.npz, file.py:function, ..."),
    click.option("--mean", metavar="NUMBERS", callback=numbers_of, help="What is subtracted from each channel after scaling."),
    click.option("--std", metavar="NUMBERS", callback=numbers_of, help="What each channel is divided by."),
    click.option("--stored-masks", type=click.Choice(["apply", "ignore"]), default="apply", help="Masks in the file."),
    click.option("--allow-pickle", is_flag=True, help="Load pickled objects: runs code that the checkpoint names."),
)  # fmt: skip

SOURCE_NAMES = ("model", "model_args", "input_shape", "data", "mean", "std", "stored_masks", "allow_pickle")


def source_from(checkpoint: str, given: dict[str, Any]) -> Any:
    """Takes the source options out of `given`."""
    from .sources import Source

    return Source(checkpoint, **{name: given.pop(name) for name in SOURCE_NAMES})


OPTIMIZE = click.option(
    "--optimize", type=click.Choice(["size", "latency", "memory"]), default="size", show_default=True,
    help="What forms of sparse layers are chosen by; size: the smallest file in which no layer is slower than dense.",
)  # fmt: skip
TARGET_DEVICE = click.option(
    "--target-device", metavar="NAME|FOLDER", help="The device they are chosen for: see targets and calibrate.  [default: x86]"
)
BUILD = click.option(
    "--build", is_flag=False, flag_value="host", metavar="[TARGET]",
    help="Also compile the C model: for this machine, or aarch64, armv7, riscv64, wasm32, x86-64, cortex-m4.",
)  # fmt: skip
QUIET = click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")


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
    from .delivery import check_build, targets_of
    from .pipeline import compress_source, help_to_prune
    from .profiling.wherever import wanted_of
    from .pruning import leads
    from .report import show, show_progress
    from .report.everywhere import profile_everywhere

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
    from .pipeline import export_source
    from .report import show, show_progress

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
    from .commands import verify_source
    from .errors import CheckFailed

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
    from .commands import inspect_file
    from .report import print_inspection

    found = inspect_file(source_from(file, given), target=target, optimize=optimize, target_device=target_device)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=1))
    else:
        print_inspection(found)


@main.command()
@click.argument("artifact", type=click.Path())
@click.option("--target", metavar="NAME|FOLDER", help="A device that `edgeprune targets` lists.  [default: this machine]")
@click.option("--host", metavar="WHERE", help="Where the device is: an ssh destination, or its serial number for adb.")
@click.option("--workdir", metavar="DIR", help="Folder on the device for what is sent there and removed again.")
@click.option("--emulate", is_flag=True, help="Run a .c model on the target's processor by qemu: results, no times.")
@click.option("--estimate", is_flag=True, help="Do not measure: say what the target's figures and the file's ops lead to expect.")
@click.option("--compare", "others", multiple=True, type=click.Path(), help="Another artifact, measured in turns; repeatable.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--runs", type=click.IntRange(1), default=100, show_default=True, help="At least so many timed runs.")
@click.option("--min-seconds", type=float, default=1.0, show_default=True, help="At least so long.")
@click.option("--warmup", type=click.IntRange(0), default=10, show_default=True)
@click.option("--runtime", help="ai-edge-litert, tflite-runtime or onnxruntime.  [default: the first installed]")
@click.option("--python", type=click.Path(), help="Another Python interpreter, which needs numpy and a runtime only.")
@click.option("--timeout", type=float, default=600.0, show_default=True, help="Seconds after which to give up.")
@click.option("--ops", is_flag=True, help="Time op by op too, by the runtime's own profiler or counters in the C code.")
@click.option("-o", "--out", type=click.Path(), help="Write the profile there as JSON, for `edgeprune report`.")
@JSON
def profile(
    artifact: str,
    others: tuple[str, ...],
    as_json: bool,
    target: str | None,
    host: str | None,
    workdir: str | None,
    emulate: bool,
    estimate: bool,
    out: str | None,
    **given: Any,
) -> None:
    """Measure ARTIFACT on this machine's CPU or on a device: load, first run, latency, memory."""
    from .files import write_atomic
    from .profiling import compare, profile_on
    from .profiling import profile as measure
    from .profiling.emulation import emulate as emulated
    from .profiling.estimate import estimate as estimated
    from .report import print_comparison, print_profile
    from .report.devices import print_emulation, print_estimate, print_measured

    if target is None and (host or workdir or emulate or estimate):
        raise click.UsageError("--host, --workdir, --emulate and --estimate are about a device; name it with --target")
    if given["ops"] and (others or emulate or estimate):
        raise click.UsageError("--ops is about one measured artifact; leave out --compare, --emulate and --estimate")
    if others:
        del given["ops"]
    if target is not None and others:
        raise click.UsageError("--compare measures on this machine; leave out --target, or profile one file at a time")
    found: Any
    show: Callable[[Any], None]
    if target is not None and estimate:
        found, show = estimated(target, artifact, threads=given["threads"]), print_estimate
    elif target is not None and emulate:
        found, show = emulated(target, artifact, timeout=given["timeout"]), print_emulation
    elif target is not None:
        found, show = profile_on(target, artifact, host=host, workdir=workdir, **given), print_measured
    elif others:
        found, show = compare([artifact, *others], **given), print_comparison
    else:
        found, show = measure(artifact, **given), print_profile
    text = json.dumps(found.to_dict(), indent=1)
    if out is not None:
        write_atomic(out, (text + "\n").encode())
    click.echo(text) if as_json else show(found)


@main.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--out", type=click.Path(), default="report.html", show_default=True, help="The page.")
@click.option("--compare", is_flag=True, help="Side by side; several sources always are.")
def report(sources: tuple[str, ...], out: str, compare: bool) -> None:
    """Write one self-contained HTML page of SOURCES: a folder that compress wrote, a report.json, a profile."""
    from .report.page import write_page

    write_page(sources, out, compare=compare)
    click.echo(f"{out}: {Path(out).stat().st_size:,} bytes")


@main.command()
@click.option("-o", "--out", type=click.Path(), required=True, help="Folder for the target, which --target-device takes.")
@click.option("--target", metavar="NAME|FOLDER", default="host", show_default=True, help="The device; other figures stay.")
@click.option("--host", metavar="WHERE", help="Where the device is: an ssh destination.  [default: this machine]")
@QUIET
@JSON
def calibrate(out: str, target: str, host: str | None, quiet: bool, as_json: bool) -> None:
    """Fit what LiteRT's kernels take on this machine, or on a device, so that forms of layers are chosen for it."""
    from .profiling.calibration import calibrate as fitted
    from .profiling.records import to_plain

    if target != "host" and host is None:
        raise click.UsageError(f"--target {target} is measured where it is; say where with --host")
    made = fitted(out, target=target, host=host, progress=(lambda text: None) if quiet else _told)
    if as_json:
        click.echo(json.dumps(to_plain(made.kernels), indent=1))
    elif not quiet:
        for name, value in to_plain(made.kernels["litert"]).items():
            click.echo(f"{name.removesuffix('_ns')}: {value:g} ns")


def _told(text: str) -> None:
    click.echo(f"timing {text}", err=True)


@main.command()
@click.option("-o", "--out", type=click.Path(), default="libedgeprune_delegate.so", show_default=True, help="The library.")
def delegate(out: str) -> None:
    """Build the LiteRT delegate for this machine: it runs the sparse layers of .tflite files, stock files as they are."""
    from .formats.tflite.delegate import build

    made = build(out)
    click.echo(f"{made}: {made.stat().st_size:,} bytes; give it to load_delegate, or to edgeprune.formats.load as delegate=")


@main.command()
@JSON
def targets(as_json: bool) -> None:
    """List the devices: what they are, what measuring on them takes, which can be reached now."""
    from .profiling.reachable import all_targets
    from .profiling.records import to_plain
    from .report.devices import print_targets

    found = all_targets()
    click.echo(json.dumps(to_plain(found), indent=1)) if as_json else print_targets(found)


@main.command()
@JSON
def methods(as_json: bool) -> None:
    """List the pruning methods: what they need, where they come from, when to use which."""
    from .pruning import METHODS
    from .report.methods import print_methods

    found = [method.to_dict() for method in METHODS.values()]
    click.echo(json.dumps(found, indent=1)) if as_json else print_methods(found)


if __name__ == "__main__":
    main()
