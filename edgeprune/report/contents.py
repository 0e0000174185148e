"""What a file holds: the record that inspection makes, and its table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, Any

from rich.console import Group, RenderableType
from rich.text import Text

from ..graph import Shape
from . import words
from .terminal import console_for, plain_table


@dataclass(frozen=True)
class Stored:
    """One weight and the operation that reads it."""

    name: str  # the user's layer in a graph, the operation's output in a file
    kind: str
    shape: Shape
    dtype: str
    encoding: str
    bytes: int
    total: int
    nonzeros: int | None  # None where the file's encoding is not understood
    dead: int | None  # None where it cannot be told
    reason: str = ""  # why it is stored so, or what that means when it runs

    @property
    def density(self) -> float | None:
        return None if self.nonzeros is None else self.nonzeros / max(self.total, 1)


@dataclass(frozen=True)
class Inspection:
    """What a file or a graph holds."""

    path: str
    format: str  # checkpoint, tflite, onnx
    bytes: int
    inputs: dict[str, Shape]  # in a file with the batch axis in front, -1 where any size will do; in a graph without it
    outputs: dict[str, Shape]
    layers: tuple[Stored, ...]
    parameters: int  # all stored numbers, biases included, zeros included
    operations: dict[str, int]  # how often each occurs
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(layer.total for layer in self.layers)

    @property
    def nonzeros(self) -> int | None:
        """None where one layer's is not known."""
        return _sum([layer.nonzeros for layer in self.layers])

    @property
    def dead(self) -> int | None:
        """None where one layer's is not known."""
        return _sum([layer.dead for layer in self.layers])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "path": self.path,
            "format": self.format,
            "bytes": self.bytes,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "outputs": {name: list(shape) for name, shape in self.outputs.items()},
            "weights": {"total": self.total, "nonzeros": self.nonzeros, "dead": self.dead},
            "parameters": self.parameters,
            "layers": [{**vars(layer), "shape": list(layer.shape), "density": layer.density} for layer in self.layers],
            "operations": self.operations,
            "metadata": self.metadata,
        }


def print_inspection(found: Inspection, stream: IO[str] | None = None) -> None:
    """Writes the table to `stream`, the standard output by default."""
    console_for(stream).print(_contents(found))


def _contents(found: Inspection) -> RenderableType:
    table = plain_table(found.path or "Graph")
    table.add_column("layer", overflow="fold")
    table.add_column("op", overflow="fold")
    for name in ("shape", "nonzero", "of", "density"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("stored as", no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("dead", justify="right", no_wrap=True)
    for layer in found.layers:
        table.add_row(
            Text(layer.name),
            Text(layer.kind),
            words.shape(layer.shape),
            words.count(layer.nonzeros),
            words.count(layer.total),
            words.density(layer.density),
            Text(layer.encoding),
            words.count(layer.bytes),
            Text(words.count(layer.dead), style="red" if layer.dead else ""),
        )
    parts: list[RenderableType] = [table]
    if any(layer.reason for layer in found.layers):
        parts.append(_reasons(found))
    density = None if found.nonzeros is None else found.nonzeros / max(found.total, 1)
    stored = sum(layer.bytes for layer in found.layers)
    totals = [words.count(found.nonzeros), words.count(found.total), words.density(density), "", words.count(stored)]
    table.add_section()
    table.add_row("all", "", "", *totals, words.count(found.dead))
    lines = [f"{found.format}, {found.bytes:,} bytes, {found.parameters:,} numbers in weights, biases and scales"]
    lines += [f"{side}: {_values(values)}" for side, values in (("in", found.inputs), ("out", found.outputs))]
    lines.append("ops: " + ", ".join(f"{name} {count}" for name, count in found.operations.items()))
    lines += [f"{name}: {value}" for name, value in found.metadata.items()]
    return Group(*parts, *(Text(line) for line in lines))


def _reasons(found: Inspection) -> RenderableType:
    table = plain_table("Why they are stored so")
    table.add_column("layer", overflow="fold")
    table.add_column("stored as", no_wrap=True)
    table.add_column("because", overflow="fold")
    for layer in found.layers:
        if layer.reason:
            table.add_row(Text(layer.name), Text(layer.encoding), Text(layer.reason))
    return table


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _values(values: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {words.shape(['batch' if n == -1 else n for n in shape])}" for name, shape in values.items())
