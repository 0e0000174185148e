"""Devices as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from rich.console import Group
from rich.text import Text

from ..profiling.emulation import Emulation
from ..profiling.estimate import Estimate
from ..profiling.reachable import Reach
from ..profiling.result import Profile
from . import words
from .measurements import print_profile
from .terminal import console_for, plain_table


def print_targets(reaches: Sequence[Reach], stream: IO[str] | None = None) -> None:
    """Writes what there is, what it takes, and what can be reached now."""
    table = plain_table("Targets")
    table.add_column("target", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    table.add_column("files", overflow="fold")
    table.add_column("now", overflow="fold")
    for each in reaches:
        style = "green" if each.reachable else ""
        table.add_row(each.target.name, each.target.title, " ".join(each.target.formats), Text(each.now, style=style))
    needs: dict[str, list[str]] = {}
    for each in reaches:
        if not each.reachable:
            needs.setdefault(each.target.needs, []).append(each.target.name)
    lines = [Text(f"{', '.join(names)}: {need}") for need, names in needs.items()]
    console_for(stream).print(Group(table, Text("To measure it takes:"), *lines))


def print_measured(profile: Profile, stream: IO[str] | None = None) -> None:
    """Writes a profile, and which device it is of."""
    console = console_for(stream)
    console.print(Text(f"{profile.provenance} on {profile.target}, {profile.reached}", style="bold"))
    print_profile(profile, stream)
    moments = [(name, moment) for name, moment in (("before", profile.before), ("after", profile.after)) if moment]
    for name, moment in moments:
        said = []
        if moment.clock_mhz is not None:
            said.append(f"{moment.clock_mhz:,.0f} MHz")
        if moment.temperature_c is not None:
            said.append(f"{moment.temperature_c:.0f} °C")
        if said:
            console.print(Text(f"{name}: {', '.join(said)}"))


def print_emulation(run: Emulation, stream: IO[str] | None = None) -> None:
    """Writes what an emulated run computed and how many instructions it took."""
    counted = f"{run.instructions:,}" if run.instructions is not None else f"not counted: {run.why_not_counted}"
    lines = [
        f"emulated on {run.target} by {run.emulator}: {run.path}, {run.runtime}",
        f"  against this machine       {run.largest_relative_error:.2g} largest relative error of {run.samples:,}, "
        f"{'the same' if run.same_class else 'ANOTHER'} class",
        f"  instructions of one run    {counted}",
        f"  program                    {run.program_bytes:,} bytes",
        "an emulator's time says nothing of the device's, so none is told",
    ]
    console_for(stream).print(Text("\n".join(lines)))


def print_estimate(found: Estimate, stream: IO[str] | None = None) -> None:
    """Writes the estimate with its band, and the ops that take the most."""
    ms = words.milliseconds
    table = plain_table(f"{found.path} on {found.target}: the ops that would take the most")
    table.add_column("op", overflow="fold")
    table.add_column("kind", no_wrap=True)
    for name in ("time", "share", "multiply-adds", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("waits for", no_wrap=True)
    for op in sorted(found.ops, key=lambda each: -each.ms)[:10]:
        share = f"{op.ms / found.ms:.0%}"
        table.add_row(Text(op.name), op.kind, ms(op.ms), share, words.count(op.multiply_adds), words.count(op.bytes), op.bound)
    head = (
        f"estimated, nothing was run: {ms(found.ms)} a run, between {ms(found.low_ms)} and {ms(found.high_ms)} "
        f"({found.engine}, {found.threads} thread{'s' if found.threads > 1 else ''})"
    )
    console_for(stream).print(Group(Text(head, style="bold"), table, Text(f"the runtime's costs: {found.how}")))
