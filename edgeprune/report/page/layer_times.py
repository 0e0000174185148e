"""How long each layer of a report takes, from a profile of one of its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...profiling.documents import Record
from ...profiling.result import Profile
from ...profiling.tool_result import ToolProfile
from ..schema import Report


def layer_times(report: Report, records: Sequence[Record]) -> dict[str, tuple[str, Mapping[str, float]]]:
    """By artifact and device: (how it was timed, milliseconds by layer), where a profile timed the ops of that very file."""
    found: dict[str, tuple[str, Mapping[str, float]]] = {}
    for record in records:
        if not isinstance(record, Profile | ToolProfile) or not record.ops:
            continue
        name = Path(record.path).name
        artifact = next((each for each in report.artifacts if each.path == name and each.bytes == record.bytes), None)
        if artifact is None:
            continue
        layer_at = {layer.place[artifact.format]: layer.name for layer in report.layers if artifact.format in layer.place}
        times = {op.weight: op.ms for op in record.ops if op.weight is not None}
        # Where a file has weights of no layer, or a layer of several ops, nobody knows which is which.
        if layer_at.keys() == times.keys():
            label = artifact.format if record.target == "host" else f"{artifact.format} on {record.target}"
            found[label] = (f"by {record.ops_by}", {layer_at[at]: ms for at, ms in times.items()})
    return found
