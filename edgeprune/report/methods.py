"""Pruning methods as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any

from rich.console import Group
from rich.text import Text

from .terminal import console_for, plain_table


def print_methods(methods: Sequence[Mapping[str, Any]], stream: IO[str] | None = None) -> None:
    """Writes what each method needs, where it comes from and when to use it."""
    table = plain_table("Methods")
    table.add_column("method", no_wrap=True)
    table.add_column("needs", no_wrap=True)
    table.add_column("cuts", no_wrap=True)
    table.add_column("removes", no_wrap=True)
    table.add_column("when to use it", overflow="fold")
    table.add_column("paper", overflow="fold")
    for each in methods:
        removes = "channels" if each["structured"] else "weights"
        table.add_row(each["name"], each["needs"], each["schedule"], removes, each["when"], each["paper"])
    explained = (
        "needs: inputs and labels are those of a few training samples, training is all of them over many epochs.",
        "cuts: when; by the data is in rounds with retraining where there is training data, else at once.",
        "Every method keeps only weights that are alive; --no-aap takes that away.",
    )
    console_for(stream).print(Group(table, *(Text(line) for line in explained)))
