"""The smaller verbs: verify an artifact against a checkpoint, look into a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from . import formats
from .delivery import costs_on, targets_of
from .inspection import Inspection, inspect_artifact, inspect_graph, with_choices
from .parity import TOLERANCE, Parity
from .parity import verify as compare_outputs
from .passes import shrink
from .sources import Source, outputs_of


def verify(
    artifact: str | os.PathLike[str], checkpoint: str | os.PathLike[str], *, samples: int | None = None,
    tolerance: float = TOLERANCE, **source: Any,
) -> dict[str, Parity]:  # fmt: skip
    """How far `artifact`, in its real runtime, agrees with the network in `checkpoint`, by kind of input: "real" and "random".

    `samples` test inputs are compared (by default as many as are quick); `source` holds further fields of
    `edgeprune.sources.Source` (data, model, ...). `.check()` of a result raises CheckFailed when it is beyond `tolerance`.
    """
    return verify_source(artifact, Source(checkpoint, **source), samples=samples, tolerance=tolerance)


def verify_source(
    artifact: str | os.PathLike[str], source: Source, *, samples: int | None = None, tolerance: float = TOLERANCE
) -> dict[str, Parity]:
    """`verify` for a Source."""
    runner = formats.load(Path(artifact))
    opened = source.open()
    graph = opened.graph()
    inputs = opened.inputs(graph, samples)
    return {
        kind: compare_outputs(runner, graph, arrays, reference=outputs_of(opened.loaded.module, arrays), tolerance=tolerance)
        for kind, arrays in inputs.items()
    }


def inspect_file(
    source: Source, *, target: str | None = None, optimize: str = "size", target_device: str | os.PathLike[str] | None = None
) -> Inspection:
    """What `source.path` holds, layer by layer: an artifact as it is stored, a checkpoint as the network it builds.

    With a `target` ("tflite", "onnx", "c") a checkpoint is shown as `export` would write it: shrunk, with each layer's form in
    that file, chosen by `optimize` for `target_device`, and the reason.
    """
    path = Path(source.path)
    # A .pt2 is an artifact and a checkpoint; its network says more than its tensors.
    if path.suffix.lower() in formats.FORMATS and path.suffix.lower() != ".pt2":
        return inspect_artifact(path)
    opened = source.open(with_data=False)
    if target is None:
        return inspect_graph(opened.graph(), path, bytes=path.stat().st_size)
    (suffix,) = targets_of(target)
    small = shrink(opened.graph())
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / f"model{suffix}"
        encodings = formats.write(small, model, optimize=optimize, costs=costs_on(target_device))
        return with_choices(inspect_graph(small, path, bytes=model.stat().st_size), encodings)
