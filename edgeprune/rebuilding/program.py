"""The .pt2 artifact: the rebuilt module as torch.export saves it. Opens wherever PyTorch does, without edgeprune."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import torch

from ..errors import EdgepruneError
from ..formats.artifact import LayerEncoding, Metadata, Runner, check_float
from ..formats.patterns import integer_inputs
from ..graph import Array, Graph
from ..plain_programs import require_plain
from . import to_module


def encode(graph: Graph, metadata: Metadata, optimize: str) -> tuple[bytes, list[LayerEncoding]]:
    """The file's bytes, and how each weight is stored: dense, because torch.export keeps no sparse tensors."""
    graph = check_float(graph)
    module = to_module(graph)
    # Two samples, so that the batch is not taken for a constant 1.
    looked_up = integer_inputs(graph)
    kinds = {name: torch.int64 if name in looked_up else torch.float32 for name in graph.inputs}
    examples = tuple(torch.zeros(2, *value.shape, dtype=kinds[name]) for name, value in graph.inputs.items())
    batch = tuple({0: torch.export.Dim("batch")} for _ in examples)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, examples, dynamic_shapes=batch)
        torch.export.save(program, buffer, extra_files={"edgeprune.json": metadata.to_json() or "{}"})
    encodings = []
    for node in graph.nodes:
        weight = node.op.arrays.get("weight")
        if weight is not None:
            facts = (weight.shape, "dense", int((weight != 0).sum()), weight.size, weight.nbytes)
            encodings.append(LayerEncoding(node.name, node.source, *facts, "torch.export stores zeros"))
    return buffer.getvalue(), encodings


class ProgramRunner(Runner):
    """An exported program run by PyTorch itself."""

    def __init__(self, path: Path, threads: int) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program = torch.export.load(str(path))
        except Exception as error:
            raise EdgepruneError(f"{path} is no program that torch.export saved: {' '.join(str(error).split())[:200]}") from None
        self.runtime = f"torch {torch.__version__}"
        self._module = program.module()
        users = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in program.graph_signature.user_inputs]
        self.inputs = {n.name: tuple(int(s) for s in n.meta["val"].shape[1:]) for n in users}
        results = program.graph.output_node().args[0]
        shapes = [tuple(int(s) for s in n.meta["val"].shape[1:]) for n in results]
        self.outputs = {f"output_{i}" if len(shapes) > 1 else "output": shape for i, shape in enumerate(shapes)}
        self._types = [n.meta["val"].dtype for n in users]
        self._fed: tuple[torch.Tensor, ...] = ()
        self._made: list[Array] = []

    def feed(self, *arrays: Array) -> None:
        self.check(tuple(np.asarray(a) for a in arrays))
        pairs = zip(arrays, self._types, strict=True)
        self._fed = tuple(torch.from_numpy(np.ascontiguousarray(a)).to(dtype) for a, dtype in pairs)

    def invoke(self) -> None:
        with torch.no_grad():
            made = self._module(*self._fed)
        self._made = [t.detach().numpy().copy() for t in (made if isinstance(made, tuple | list) else (made,))]

    def fetch(self) -> list[Array]:
        return list(self._made)


def require_safe(path: Path) -> None:
    """Refuses a file that could run code when it is read."""
    remedy = f"read it as a checkpoint and write it anew: edgeprune export {path} --allow-pickle --target pt2"
    require_plain(str(path), path.read_bytes(), remedy)


def load(path: Path, threads: int, runtime: str | None) -> Runner:
    """The program, ready to run in PyTorch."""
    if runtime not in (None, "torch"):
        raise EdgepruneError(f"runtime={runtime!r} cannot run .pt2; choose: torch")
    require_safe(path)
    return ProgramRunner(path, threads)
