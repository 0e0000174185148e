"""What a command works on: a checkpoint, opened with what the user says of it, and the data it is judged by."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from . import formats
from .capturing import capture
from .checkpoint import Loaded, load
from .checkpoint.pretrained import SPEC
from .data import Data, Preprocessing, load_data
from .errors import CheckFailed, EdgepruneError, MissingExtra
from .formats import Metadata, Runner
from .graph import Array, Graph
from .importing import import_onnx
from .naming import free_name
from .parity import TOLERANCE, random_inputs
from .parity import verify as compare_outputs
from .pruning import prunable
from .rebuilding import to_module

# Verification stops at about this many dense multiply-adds of the network: all test images of a small one, some of a large one.
VERIFY_WORK = 2e10
RANDOM_SAMPLES = 64
# The graph read from an .onnx file is compared with the file on at most so many inputs.
IMPORT_SAMPLES = 16
LARGEST_INPUT = 2**28  # elements; a shape beyond it is a mistake, and would fill the memory

log = logging.getLogger("edgeprune")


@dataclass(frozen=True)
class Source:
    """A checkpoint or .onnx file and what the user adds to what it says; see `edgeprune.load` and `edgeprune.load_data`."""

    path: str | os.PathLike[str]
    model: str | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict)
    input_shape: tuple[int, ...] | None = None
    data: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    allow_pickle: bool = False
    stored_masks: str = "apply"

    def open(self, *, with_data: bool = True) -> Opened:
        """Loads the checkpoint and its data. Raises EdgepruneError when either cannot be read or they do not fit."""
        if Path(self.path).suffix.lower() == ".onnx":
            loaded, stored = _from_onnx(Path(self.path), self.model, self.input_shape)
            return self._judged(loaded, stored, with_data)
        new_head = str(self.model).startswith(SPEC)
        # A state dict does not say what its network takes, nor a pre-trained one how many classes there are; its data does.
        asked = self.data if self.model and (new_head or self.input_shape is None) else None
        said = load_data(asked, input_shape=self.input_shape) if asked else None
        args = dict(self.model_args)
        if new_head and said is not None and said.classes:
            args.setdefault("num_labels", len(said.classes))
        shape = self.input_shape or (None if said is None else said.input_shape)
        loaded = load(
            Path(self.path),
            model=self.model,
            model_args=args,
            input_shape=shape,
            allow_pickle=self.allow_pickle,
            stored_masks=self.stored_masks,
        )
        return self._judged(loaded, None, with_data)

    def _judged(self, loaded: Loaded, stored: Stored | None, with_data: bool) -> Opened:
        spec = self.data or loaded.data_spec
        if spec is None or not with_data:
            return Opened(self, loaded, None, stored)
        data = load_data(spec, input_shape=loaded.input_shape, preprocessing=loaded.preprocessing)
        if self.mean or self.std:
            said = replace(data.preprocessing, mean=self.mean or data.preprocessing.mean, std=self.std or data.preprocessing.std)
            data = load_data(spec, input_shape=loaded.input_shape, preprocessing=said)
        return Opened(self, loaded, data, stored)


@dataclass(frozen=True)
class Stored:
    """What an .onnx file says beside its network."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metadata: Metadata


@dataclass(frozen=True)
class Opened:
    """A loaded checkpoint with its data."""

    source: Source
    loaded: Loaded
    data: Data | None
    stored: Stored | None = None

    @property
    def preprocessing(self) -> Preprocessing | None:
        return self.data.preprocessing if self.data is not None else self.loaded.preprocessing

    @property
    def name(self) -> str:
        return Path(self.source.path).name

    def graph(self, module: nn.Module | None = None) -> Graph:
        """The graph of the checkpoint's network, or of another module that takes the same inputs."""
        graph = capture(self.loaded.module if module is None else module, self.loaded.example_inputs)
        return graph if self.stored is None else _named(graph, self.stored.inputs, self.stored.outputs)

    def metadata(self, **extra: Any) -> Metadata:
        """What the artifact tells an app developer: what to feed, what comes out, what made it."""
        said = None if self.preprocessing is None else self.preprocessing.to_dict()
        classes = None if self.stored is None else self.stored.metadata.classes
        if self.data is not None and self.data.classes:
            classes = self.data.classes
        return Metadata(preprocessing=said, classes=classes, extra=extra)

    def inputs(self, graph: Graph, samples: int | None = None) -> dict[str, tuple[Array, ...]]:
        """Inputs for verification by kind: "real" test inputs where there is data, and "random" ones, `[samples, *shape]`."""
        kinds: dict[str, tuple[Array, ...]] = {}
        if self.data is not None and len(graph.inputs) == 1:
            affordable = int(VERIFY_WORK // max(graph.multiply_adds, 1))
            count = samples or max(min(affordable, len(self.data.test)), RANDOM_SAMPLES)
            kinds["real"] = (self.data.test.first(count)[0].numpy(),)
        takes = [x.numpy().dtype for x in self.loaded.example_inputs]  # a module looks up by integers alone
        drawn = random_inputs(graph, RANDOM_SAMPLES)
        kinds["random"] = tuple(array.astype(dtype) for array, dtype in zip(drawn, takes, strict=True))
        return kinds


def _from_onnx(path: Path, model: str | None, shape: tuple[int, ...] | None) -> tuple[Loaded, Stored]:
    """The network of an .onnx file as a torch module, once its graph was seen to compute what the file does."""
    if model is not None:
        raise EdgepruneError(f"{path} says how its network is built; leave out --model")
    graph = import_onnx(path, None if shape is None else [shape])
    if any(value.positions * value.channels > LARGEST_INPUT for value in graph.inputs.values()):
        raise EdgepruneError(f"{path}: its input is larger than any network takes; check the file")
    artifact = formats.read(path)
    _check_import(path, graph, next(iter(artifact.inputs.values()))[0])
    said = artifact.metadata.preprocessing
    try:
        preprocessing = None if said is None else Preprocessing.from_dict(said)
    except EdgepruneError as error:
        raise EdgepruneError(f"{path}: {error}; write the file again") from None
    shapes = [value.shape for value in graph.inputs.values()]
    draw = torch.Generator().manual_seed(0)
    examples = tuple(torch.randn(1, *each, generator=draw) for each in shapes)
    loaded = Loaded(to_module(graph), examples, shapes[0], preprocessing)
    return loaded, Stored(tuple(graph.inputs), graph.outputs, artifact.metadata)


def _check_import(path: Path, graph: Graph, batch: int) -> None:
    """Raises CheckFailed when the graph read from the file does not compute what onnxruntime makes of it."""
    try:
        runner = formats.load(path)
    except MissingExtra as error:
        log.warning("%s; without it nobody checks that %s was understood", error, path)
        return
    samples = int(min(max(VERIFY_WORK // max(graph.multiply_adds, 1) // 10, 2), IMPORT_SAMPLES))
    parity = compare_outputs(_Batches(runner, batch), graph, random_inputs(graph, samples))
    # Deep networks round more than the tolerance; what rounding makes of them is measured beside.
    if not parity.max_relative_error <= max(TOLERANCE, 10 * parity.rounding):
        raise CheckFailed(
            f"{path}: the graph read from it is off by {parity.max_relative_error:.3g} of the largest magnitude from what "
            f"{runner.runtime} makes of the file; report it with the file"
        )


@dataclass(frozen=True)
class _Batches:
    """A runner whose file fixes its batch, fed so many samples at a time; -1 is any number."""

    runner: Runner
    batch: int

    def run(self, *arrays: Array) -> list[Array]:
        if self.batch < 1:
            return self.runner.run(*arrays)
        made: list[list[Array]] = []
        count = len(arrays[0])
        for start in range(0, count, self.batch):
            rows = np.minimum(np.arange(start, start + self.batch), count - 1)
            made.append(self.runner.run(*(a[rows] for a in arrays)))
        return [np.concatenate(parts)[:count] for parts in zip(*made, strict=True)]


def _named(graph: Graph, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
    """The graph with other names of its inputs and outputs."""
    names = dict(zip((*graph.inputs, *graph.outputs), (*inputs, *outputs), strict=True))
    taken = {*names.values(), *graph.values}
    for name in graph.values:
        if name not in names and name in names.values():
            names[name] = free_name(name, taken.__contains__)
            taken.add(names[name])
    nodes = tuple(
        replace(node, name=names.get(node.name, node.name), inputs=tuple(names.get(name, name) for name in node.inputs))
        for node in graph.nodes
    )
    return Graph({names[name]: value for name, value in graph.inputs.items()}, outputs, nodes)


def outputs_of(module: nn.Module, inputs: tuple[Array, ...], batch: int = 256) -> list[Array]:
    """What the module makes of the inputs, one array per output, in the order of the graph's outputs."""
    parts: list[list[Array]] = []
    with torch.no_grad():
        for start in range(0, len(inputs[0]), batch):
            made = module(*(torch.from_numpy(a[start : start + batch]) for a in inputs))
            parts.append([t.detach().numpy() for t in torch.utils._pytree.tree_leaves(made)])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def weight_counts(module: nn.Module) -> tuple[int, int]:
    """(prunable weights, parameters of any kind), zeros included; what a graph shares counts once."""
    return sum(p.numel() for p in prunable(module).values()), sum(p.numel() for p in module.parameters())
