"""Commands over artifacts and devices: profile, report, calibrate; and the lists of what there is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .group import main
from .options import JSON, QUIET


@main.command()
@click.argument("artifact", type=click.Path())
@click.option("--target", metavar="NAME|FOLDER", help="A device that `edgeprune targets` lists.  [default: this machine]")
@click.option("--host", metavar="WHERE", help="Where the device is: an ssh destination, or its serial number for adb.")
@click.option("--workdir", metavar="DIR", help="Folder on the device for what is sent there and removed again.")
@click.option("--emulate", is_flag=True, help="Run a .c model on the target's processor by qemu: results, no times.")
@click.option("--estimate", is_flag=True, help="Do not measure: say what the target's figures and the file's ops lead to expect.")
@click.option("--compare", "others", multiple=True, type=click.Path(), help="Another artifact, measured in turns; repeatable.")
@click.option(
    "--accelerator",
    metavar="NAME",
    help="Run it there: gpu, gpu-f32 (.tflite); cuda, tensorrt, coreml, xnnpack, webgpu (.onnx); cuda (.pt2). [default: the CPU]",
)
@click.option(
    "--binary", metavar="PROGRAM",
    help="Measure with it: benchmark_model or a kin of it (.tflite), onnxruntime_perf_test (.onnx), a Chromium (.c, --target "
    "wasm); a file here, which is sent, or a program on the device.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--runs", type=click.IntRange(1), default=100, show_default=True, help="At least so many timed runs.")
@click.option("--min-seconds", type=float, default=1.0, show_default=True, help="At least so long.")
@click.option("--warmup", type=click.IntRange(0), default=10, show_default=True)
@click.option("--runtime", help="ai-edge-litert, tflite-runtime, onnxruntime or torch.  [default: the first installed]")
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
    binary: str | None,
    **given: Any,
) -> None:
    """Measure ARTIFACT on this machine or on a device: load, first run, latency, memory."""
    from ..files import write_atomic
    from ..profiling import compare, profile_on, profile_with_tool
    from ..profiling import profile as measure
    from ..profiling.emulation import emulate as emulated
    from ..profiling.estimate import estimate as estimated
    from ..report import print_comparison, print_profile
    from ..report.devices import print_emulation, print_estimate, print_measured
    from ..report.measurements import print_tool_profile

    if binary is not None and (
        others or emulate or estimate or any(given[name] for name in ("accelerator", "runtime", "python"))
    ):
        raise click.UsageError(
            "--binary names what measures one file on the CPU; leave out --compare, --emulate, --estimate, --accelerator, "
            "--runtime and --python"
        )
    if binary is not None and target is None:
        target = "host"
    if target is None and (host or workdir or emulate or estimate):
        raise click.UsageError("--host, --workdir, --emulate and --estimate are about a device; name it with --target")
    if given["accelerator"] and (emulate or estimate):
        raise click.UsageError("--accelerator is about a measurement; leave out --emulate and --estimate")
    if given["ops"] and (others or emulate or estimate):
        raise click.UsageError("--ops is about one measured artifact; leave out --compare, --emulate and --estimate")
    if others:
        del given["ops"]
    if target is not None and others:
        raise click.UsageError("--compare measures on this machine; leave out --target, or profile one file at a time")
    found: Any
    show: Callable[[Any], None]
    if target is not None and binary is not None and not artifact.lower().endswith(".c"):
        asked = {name: given[name] for name in ("threads", "runs", "min_seconds", "warmup", "timeout", "ops")}
        found = profile_with_tool(binary, artifact, target=target, host=host, workdir=workdir, **asked)
        show = print_tool_profile
    elif target is not None and estimate:
        found, show = estimated(target, artifact, threads=given["threads"]), print_estimate
    elif target is not None and emulate:
        found, show = emulated(target, artifact, timeout=given["timeout"]), print_emulation
    elif target is not None:
        found, show = profile_on(target, artifact, host=host, workdir=workdir, browser=binary, **given), print_measured
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
    from ..report.page import write_page

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
    from ..profiling.calibration import calibrate as fitted
    from ..profiling.records import to_plain

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
    from ..formats.tflite.delegate import build

    made = build(out)
    click.echo(f"{made}: {made.stat().st_size:,} bytes; give it to load_delegate, or to edgeprune.formats.load as delegate=")


@main.command()
@JSON
def targets(as_json: bool) -> None:
    """List the devices: what they are, what measuring on them takes, which can be reached now."""
    from ..profiling.reachable import all_targets
    from ..profiling.records import to_plain
    from ..report.devices import print_targets

    found = all_targets()
    click.echo(json.dumps(to_plain(found), indent=1)) if as_json else print_targets(found)


@main.command()
@JSON
def methods(as_json: bool) -> None:
    """List the pruning methods: what they need, where they come from, when to use which."""
    from ..pruning import METHODS
    from ..report.methods import print_methods

    found = [method.to_dict() for method in METHODS.values()]
    click.echo(json.dumps(found, indent=1)) if as_json else print_methods(found)
