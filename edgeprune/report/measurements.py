"""Profiles as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from rich.console import Group, RenderableType
from rich.text import Text

from ..profiling import Comparison, Profile, ToolProfile
from . import words
from .terminal import console_for, plain_table


def print_profile(profile: Profile, stream: IO[str] | None = None) -> None:
    """Writes one file's figures to `stream`, the standard output by default."""
    console_for(stream).print(_table([profile]))
    if profile.ops:
        console_for(stream).print(_ops(profile))
    elif profile.ops_by:
        console_for(stream).print(Text(f"ops: {profile.ops_by}"))


def print_tool_profile(profile: ToolProfile, stream: IO[str] | None = None) -> None:
    """Writes what a benchmark program said; what it did not say is left out."""
    ms, t = words.milliseconds, profile.latency_ms
    table = plain_table("Profile")
    table.add_column("")
    table.add_column(Text(profile.path), justify="right", overflow="fold")
    figures = {"p5": t.p5, "p50": t.p50, "p90": t.p90, "p95": t.p95, "p99": t.p99, "mean": t.mean, "std": t.std}
    spread = f"{ms(t.min)} to {ms(t.max)}" if t.min is not None else None
    memory = {
        "peak memory": profile.memory.peak_bytes,
        "memory more than at start, loaded": profile.memory.load_bytes,
        "  in the end": profile.memory.increase_bytes,
    }
    rows = {
        "threads": words.count(profile.threads),
        "file": words.size(profile.bytes),
        **{name: ms(each) for name, each in (("load", profile.load_ms), ("first run", profile.first_run_ms)) if each is not None},
        **{name: ms(each) for name, each in figures.items() if each is not None},
        **({"min to max": spread} if spread else {}),
        "runs": words.count(t.n),
        **{name: words.size(each) for name, each in memory.items() if each is not None},
    }
    for name, cell in rows.items():
        table.add_row(name, cell)
    head = Text(f"{profile.provenance} on {profile.target}, {profile.reached}, by {profile.tool}", style="bold")
    unsaid = [name for name in ("p50", "p90", "p99") if figures[name] is None]
    lines: list[RenderableType] = [Text(profile.command), Text(f"{profile.device.cpu}, {profile.device.os}")]
    lines += [Text(f"{profile.tool} does not say: {', '.join(unsaid)}")] if unsaid else []
    lines += [Text.assemble(("warning: ", "yellow"), each) for each in profile.warnings]
    timed = [_ops(profile)] if profile.ops else [Text(f"ops: {profile.ops_by}")] if profile.ops_by else []
    console_for(stream).print(Group(head, table, *lines, *timed))


def print_comparison(comparison: Comparison, stream: IO[str] | None = None) -> None:
    """Writes several files' figures side by side, and how they stand to the first."""
    lines: list[RenderableType] = [_table(comparison.profiles)]
    for ratio in comparison.ratios:
        fast, low, high = (f"{each:.3g}" for each in (ratio.speedup, 1 / ratio.high, 1 / ratio.low))
        lines.append(
            Text(f"{ratio.path} is {fast} times as fast as {ratio.baseline} ({low} to {high}, {ratio.turns} pairs of turns)")
        )
    console_for(stream).print(Group(*lines))


def _ops(profile: Profile | ToolProfile) -> RenderableType:
    total = sum(op.ms for op in profile.ops) or 1.0
    table = plain_table(f"The ops that take the most, of {len(profile.ops)}")
    table.add_column("op", overflow="fold")
    table.add_column("kind", overflow="fold")
    for name in ("time", "share", "multiply-adds", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    for op in sorted(profile.ops, key=lambda each: -each.ms)[:10]:
        cells = (words.milliseconds(op.ms), f"{op.ms / total:.0%}", words.operations(op.multiply_adds), words.count(op.bytes))
        table.add_row(Text(op.name), Text(op.kind), *cells)
    return Group(table, Text(f"timed by {profile.ops_by}"))


def _table(profiles: Sequence[Profile]) -> RenderableType:
    table = plain_table("Profile" if len(profiles) == 1 else "Profiles")
    table.add_column("")
    for profile in profiles:
        table.add_column(Text(profile.path), justify="right", overflow="fold")
    for name, cells in _rows(profiles):
        table.add_row(name, *cells)
    first = profiles[0]
    cores = f"{first.device.usable_cores} cores"
    lines = [Text(f"{first.device.cpu}, {cores}, {first.device.os}")]
    if any(not profile.runtime.startswith("C (") for profile in profiles):
        lines.append(Text("resident memory holds Python, numpy and the runtime too"))
    for profile in profiles:
        lines += [Text.assemble((f"warning: {profile.path}: ", "yellow"), each) for each in profile.warnings]
    return Group(table, *lines)


def _rows(profiles: Sequence[Profile]) -> list[tuple[str, list[str]]]:
    ms = words.milliseconds
    times = [profile.latency_ms for profile in profiles]
    memories = [profile.memory for profile in profiles]
    on = [("runs on", [words.runs_on(p) for p in profiles])] if any(p.accelerator or p.browser for p in profiles) else []
    modules = [("module and its memory", [words.module(p.browser) for p in profiles])] if any(p.browser for p in profiles) else []
    several = any(len(p.processes_ms) > 1 for p in profiles)
    return [
        ("runtime", [p.runtime for p in profiles]),
        *on,
        ("threads", [words.count(p.threads) for p in profiles]),
        ("file", [words.size(p.bytes) for p in profiles]),
        ("load", [ms(p.load_ms) for p in profiles]),
        ("first run", [ms(p.first_run_ms) for p in profiles]),
        ("p50", [ms(t.p50) for t in times]),
        ("p90", [ms(t.p90) for t in times]),
        ("p95", [ms(t.p95) for t in times]),
        ("p99", [ms(t.p99) for t in times]),
        ("mean ± std", [f"{ms(t.mean)} ± {ms(t.std)}" for t in times]),
        ("min to max", [f"{ms(t.min)} to {ms(t.max)}" for t in times]),
        ("runs", [words.count(t.n) for t in times]),
        *([("medians of fresh processes", [_range(p.processes_ms) for p in profiles])] if several else []),
        ("runs per second", [f"{t.throughput:,.0f}" if t.throughput >= 10 else f"{t.throughput:.3g}" for t in times]),
        *([("energy of a run", [words.energy(p.energy_mj) for p in profiles])] if any(p.energy_mj for p in profiles) else []),
        *modules,
        ("peak memory", [words.size(m.peak_bytes if m else None) for m in memories]),
        ("  more than before loading", [words.size(m.increase_bytes if m else None) for m in memories]),
        ("  of that not mapped from files", [words.size(m.anonymous_increase_bytes if m else None) for m in memories]),
    ]


def _range(medians: Sequence[float]) -> str:
    if len(medians) < 2:
        return "one process"
    return f"{words.milliseconds(min(medians))} to {words.milliseconds(max(medians))} of {len(medians)}"
