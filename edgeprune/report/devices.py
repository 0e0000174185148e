"""Devices as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from rich.console import Group
from rich.text import Text

from ..profiling.emulation import Emulation
from ..profiling.reachable import Reach
from ..profiling.result import Profile
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
        f"  against this machine       {run.largest_relative_error:.2g} largest relative error, "
        f"{'the same' if run.same_class else 'ANOTHER'} class",
        f"  instructions of one run    {counted}",
        f"  program                    {run.program_bytes:,} bytes",
        "an emulator's time says nothing of the device's, so none is told",
    ]
    console_for(stream).print(Text("\n".join(lines)))
