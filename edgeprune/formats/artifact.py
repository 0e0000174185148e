"""What a written model says about itself, and how it is run: the words every format shares."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import EdgepruneError
from ..graph import Array, Graph, Shape
from ..sparse import Sparse, decode


@dataclass(frozen=True)
class Metadata:
    """What an app developer needs beside the model. Plain JSON types only."""

    preprocessing: dict[str, Any] | None = None
    classes: tuple[str, ...] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self, **more: Any) -> str:
        """Compact, and the same text for the same content. `more` is stored beside it. "" when there is nothing to say."""
        said: dict[str, Any] = dict(more)
        if self.preprocessing is not None:
            said["preprocessing"] = self.preprocessing
        if self.classes is not None:
            said["classes"] = list(self.classes)
        if self.extra:
            said["extra"] = self.extra
        try:
            return json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False) if said else ""
        except (TypeError, ValueError) as error:
            raise EdgepruneError(f"the metadata is not JSON: {error}; use plain numbers, texts, lists and dicts") from None

    @classmethod
    def from_json(cls, text: str | bytes) -> tuple[Metadata, dict[str, Any]]:
        """The metadata, and what was stored beside it. Raises ValueError when the text is not what `to_json` writes."""
        said = json.loads(text) if text else {}
        if not isinstance(said, dict):
            raise ValueError("the edgeprune metadata is not an object")
        classes = said.pop("classes", None)
        known = cls(said.pop("preprocessing", None), None if classes is None else tuple(classes), said.pop("extra", {}))
        return known, said


@dataclass(frozen=True)
class LayerEncoding:
    """How one weight was stored, and why."""

    layer: str  # the node's name
    source: str  # the user's layer
    shape: Shape
    encoding: str  # "dense", "csr", "stripes", "csr+densify", "stripes+densify" or "coo"
    nonzeros: int
    total: int
    bytes: int
    reason: str


@dataclass(frozen=True, eq=False)
class Tensor:
    """A constant of an artifact, `held` as it is stored; None where this package cannot decode it."""

    name: str
    shape: Shape
    dtype: str
    encoding: str
    bytes: int
    held: Array | Sparse | None = None

    @property
    def array(self) -> Array | None:
        """Decoded, anew every time: a sparse matrix may be far larger than its file."""
        return decode(self.held) if isinstance(self.held, Sparse) else self.held

    @property
    def total(self) -> int:
        total = 1
        for n in self.shape:
            total *= n
        return total

    @property
    def nonzeros(self) -> int | None:
        values = self.held.values if isinstance(self.held, Sparse) else self.held
        return None if values is None else int((values != 0).sum())


@dataclass(frozen=True)
class Operation:
    """One op of an artifact, in running order. Inputs and outputs are names; "" is an input left out.

    `attributes`: its settings by the format's own names, those at their default left out; None where they are not known.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class Artifact:
    """What a file holds, read without running it."""

    format: str
    bytes: int
    inputs: Mapping[str, Shape]  # as stored, the batch axis in front; -1 where any size will do
    outputs: Mapping[str, Shape]
    tensors: tuple[Tensor, ...]
    operations: tuple[Operation, ...]
    metadata: Metadata

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of op occurs, the most frequent first."""
        return dict(Counter(op.kind for op in self.operations).most_common())


class Runner(ABC):
    """A loaded artifact in its real runtime. Shapes leave the batch axis out and follow the graph: channels first."""

    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    runtime: str  # name and version

    @abstractmethod
    def feed(self, *arrays: Array) -> None:
        """Sets the inputs, `[batch, *shape]` each, in the graph's order. Any batch size."""

    @abstractmethod
    def invoke(self) -> None:
        """Runs the model on what was fed: the part to time."""

    @abstractmethod
    def fetch(self) -> list[Array]:
        """Copies of the outputs, `[batch, *shape]` each, in the graph's order."""

    def run(self, *arrays: Array) -> list[Array]:
        """The outputs for these inputs. Raises EdgepruneError when they do not fit."""
        self.feed(*arrays)
        self.invoke()
        return self.fetch()

    def check(self, arrays: tuple[Array, ...]) -> int:
        """The batch size of arrays that fit the inputs."""
        if len(arrays) != len(self.inputs):
            raise EdgepruneError(f"the model has {len(self.inputs)} inputs ({', '.join(self.inputs)}), not {len(arrays)}")
        for (name, shape), array in zip(self.inputs.items(), arrays, strict=True):
            fits = array.ndim == len(shape) + 1 and all(n in (-1, m) for n, m in zip(shape, array.shape[1:], strict=True))
            if not fits or len(array) != len(arrays[0]) or not len(array):
                raise EdgepruneError(f"input {name!r} is [batch, {', '.join(map(str, shape))}], not {list(array.shape)}")
        return len(arrays[0]) if arrays else 1


def check_float(graph: Graph) -> Graph:
    """The graph with float32 weights: what every format stores."""
    return graph.astype("float32")
