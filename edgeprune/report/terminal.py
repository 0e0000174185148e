"""A report as tables for a terminal, or as plain text of a fixed width where there is none."""

from __future__ import annotations

import io
from typing import IO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import words
from .schema import Report

PLAIN_WIDTH = 100

EXPANDED = ("csr+densify", "stripes+densify")
EXPANDED_MEANS = "small in the file, expanded when the model loads: it then runs as fast as dense and takes as much memory."


def console_for(stream: IO[str] | None = None) -> Console:
    """A console on `stream`, the standard output by default; of a fixed width and without escape codes when it is no terminal."""
    console = Console(file=stream, highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(file=stream, highlight=False, width=PLAIN_WIDTH)


def show(report: Report, stream: IO[str] | None = None) -> None:
    """Writes the tables to `stream`, the standard output by default."""
    console_for(stream).print(summary(report))


def to_text(report: Report, width: int = PLAIN_WIDTH) -> str:
    """The tables as plain text."""
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=False, color_system=None, highlight=False).print(summary(report))
    return stream.getvalue()


def summary(report: Report) -> RenderableType:
    """The layers, the totals before and after, the files with their proof, and the warnings."""
    parts: list[RenderableType] = [_layers(report)]
    stored = {each for layer in report.layers for each in layer.encoding.values()}
    parts += [Text(f"{each}: {EXPANDED_MEANS}", style="dim") for each in EXPANDED if each in stored]
    parts.append(_totals(report))
    parts += [_file(report, i) for i in range(len(report.artifacts))]
    parts += [Text.assemble(("warning: ", "yellow"), each) for each in report.warnings]
    return Group(*parts)


def plain_table(title: str) -> Table:
    """A table in the house look: no lines but one under the head."""
    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="dim"
    )


def _layers(report: Report) -> Table:
    table = plain_table("Layers")
    table.add_column("layer", overflow="fold")
    table.add_column("kind")
    for name in ("weights", "kept", "alive"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("shape before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("density", justify="right", no_wrap=True)
    table.add_column("stored as", no_wrap=True)
    for layer in report.layers:
        dead = layer.alive < layer.kept
        table.add_row(
            Text(layer.name),
            Text(layer.kind),
            words.count(layer.weights),
            words.count(layer.kept),
            Text(words.count(layer.alive), style="red" if dead else ""),
            words.shape(layer.shape_before),
            words.shape(layer.shape_after),
            words.density(layer.density),
            Text(_stored(layer.encoding)),
        )
    return table


def _stored(encoding: dict[str, str]) -> str:
    """One word where all formats agree."""
    if len(set(encoding.values())) == 1 and len(encoding) > 1:
        return next(iter(encoding.values()))
    if len(encoding) == 1:
        return next(iter(encoding.values()))
    return ", ".join(f"{name} {how}" for name, how in encoding.items())


def _points(before: float | None, after: float | None) -> str:
    return words.NOTHING if before is None or after is None else f"{100 * (after - before):+.2f} points"


def _of(what: str) -> str:
    return "" if what == "file" else f" of {what}"


def _totals(report: Report) -> Table:
    table = plain_table("Before and after")
    table.add_column("")
    for name in ("before", "after", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    w, p, m = report.weights, report.parameters, report.multiply_adds
    table.add_row("weights", words.count(w.total), words.count(w.kept), words.times(report.ratio.weights))
    table.add_row("weights alive", "", words.count(w.alive), "")
    table.add_row("parameters", words.count(p.before), words.count(p.after), words.times(report.ratio.parameters))
    table.add_row("multiply-adds", words.operations(m.before), words.operations(m.after), words.gain(m.before, m.after))
    table.add_row("  with zeros skipped", "", words.operations(m.effective), words.gain(m.before, m.effective))
    a = report.accuracy
    table.add_row("accuracy", words.share(a.before), words.share(a.after), _points(a.before, a.after))
    if a.robust_after is not None:
        change = _points(a.robust_before, a.robust_after)
        table.add_row("  under attack", words.share(a.robust_before), words.share(a.robust_after), change)
    for artifact in report.artifacts:
        dense = report.dense_of(artifact.format)
        before = dense.bytes if dense else None
        size = f"{artifact.format} {artifact.bytes_of}"
        table.add_row(size, words.size(before), words.size(artifact.bytes), words.gain(before, artifact.bytes))
        zipped = dense.gzip_bytes if dense else None
        table.add_row("  gzipped", words.size(zipped), words.size(artifact.gzip_bytes), words.gain(zipped, artifact.gzip_bytes))
        if artifact.latency_ms is not None:
            was = dense.latency_ms.p50 if dense and dense.latency_ms else None
            ours = artifact.latency_ms.p50
            factor = words.gain(was, ours) if artifact.speedup is None else words.times(artifact.speedup.value)
            table.add_row("  latency (p50)", words.milliseconds(was), words.milliseconds(ours), factor)
        if artifact.peak_memory_bytes is not None:
            was_peak, peak = (dense.peak_memory_bytes if dense else None), artifact.peak_memory_bytes
            table.add_row("  peak memory", words.size(was_peak), words.size(peak), words.gain(was_peak, peak))
    return table


def _file(report: Report, i: int) -> Text:
    artifact = report.artifacts[i]
    line = Text.assemble((artifact.path, "bold"), f": {artifact.bytes:,} bytes{_of(artifact.bytes_of)}")
    parity = artifact.parity
    if parity is None:
        return line.append("; not verified", "red")
    line.append(f"; verified on {parity.samples:,} samples: relative error {parity.max_relative_error:.1g}")
    if parity.top1_agreement is not None:
        line.append(f", top-1 {words.share(parity.top1_agreement)}")
    return line
