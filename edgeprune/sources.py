"""What a command works on: a checkpoint, opened with what the user says of it, and the data it is judged by."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .capturing import capture
from .checkpoint import Loaded, load
from .data import Data, Preprocessing, load_data
from .formats import Metadata
from .graph import Array, Graph
from .parity import random_inputs
from .pruning import prunable

# Verification stops at about this many dense multiply-adds of the network: all test images of a small one, some of a large one.
VERIFY_WORK = 2e10
RANDOM_SAMPLES = 64


@dataclass(frozen=True)
class Source:
    """A checkpoint file and what the user adds to what it says of itself; see `edgeprune.load` and `edgeprune.load_data`."""

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
        # A state dict does not say what its network takes; its data does.
        shape = self.input_shape or (load_data(self.data).input_shape if self.data and self.model else None)
        loaded = load(
            Path(self.path),
            model=self.model,
            model_args=self.model_args,
            input_shape=shape,
            allow_pickle=self.allow_pickle,
            stored_masks=self.stored_masks,
        )
        spec = self.data or loaded.data_spec
        if spec is None or not with_data:
            return Opened(self, loaded, None)
        data = load_data(spec, input_shape=loaded.input_shape, preprocessing=loaded.preprocessing)
        if self.mean or self.std:
            said = replace(data.preprocessing, mean=self.mean or data.preprocessing.mean, std=self.std or data.preprocessing.std)
            data = load_data(spec, input_shape=loaded.input_shape, preprocessing=said)
        return Opened(self, loaded, data)


@dataclass(frozen=True)
class Opened:
    """A loaded checkpoint with its data."""

    source: Source
    loaded: Loaded
    data: Data | None

    @property
    def preprocessing(self) -> Preprocessing | None:
        return self.data.preprocessing if self.data is not None else self.loaded.preprocessing

    @property
    def name(self) -> str:
        return Path(self.source.path).name

    def graph(self, module: nn.Module | None = None) -> Graph:
        """The graph of the checkpoint's network, or of another module that takes the same inputs."""
        return capture(self.loaded.module if module is None else module, self.loaded.example_inputs)

    def metadata(self, **extra: Any) -> Metadata:
        """What the artifact tells an app developer: what to feed, what comes out, what made it."""
        said = None if self.preprocessing is None else self.preprocessing.to_dict()
        classes = self.data.classes if self.data is not None and self.data.classes else None
        return Metadata(preprocessing=said, classes=classes, extra=extra)

    def inputs(self, graph: Graph, samples: int | None = None) -> dict[str, tuple[Array, ...]]:
        """Inputs for verification by kind: "real" test inputs where there is data, and "random" ones, `[samples, *shape]`."""
        kinds: dict[str, tuple[Array, ...]] = {}
        if self.data is not None and len(graph.inputs) == 1:
            affordable = int(VERIFY_WORK // max(graph.multiply_adds, 1))
            count = samples or max(min(affordable, len(self.data.test)), RANDOM_SAMPLES)
            kinds["real"] = (self.data.test.first(count)[0].numpy(),)
        kinds["random"] = random_inputs(graph, RANDOM_SAMPLES)
        return kinds


def outputs_of(module: nn.Module, inputs: tuple[Array, ...], batch: int = 256) -> list[Array]:
    """What the module makes of the inputs, one array per output, in the order of the graph's outputs."""
    parts: list[list[Array]] = []
    with torch.no_grad():
        for start in range(0, len(inputs[0]), batch):
            made = module(*(torch.from_numpy(a[start : start + batch]) for a in inputs))
            parts.append([t.numpy() for t in torch.utils._pytree.tree_leaves(made)])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def weight_counts(module: nn.Module) -> tuple[int, int]:
    """(prunable weights, parameters of any kind), zeros included; what a graph shares counts once."""
    return sum(p.numel() for p in prunable(module).values()), sum(p.numel() for p in module.parameters())
