"""Builds an ONNX model node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import MissingExtra
from ...graph import Array, Graph, Node, Shape
from ...sparse import Option, choose
from ..artifact import LayerEncoding, Metadata
from ..lowering import Lowerings
from ..patterns import integer_inputs
from .package import TensorProto, helper, numpy_helper, onnx

lower = Lowerings("ONNX")

# What an array costs beside its contents: name, shape, type, lengths.
DESCRIPTION = 24
# The two nodes that look a weight up, and two arrays for one.
LOOK_UP = 150

# The oldest that say everything written here: what onnxruntime 1.10 (2021) already loads.
OPSET, IR_VERSION = 13, 8


class Writer:
    """Nodes and initializers of one model. Values are names; the batch axis stays open."""

    def __init__(self, graph: Graph, optimize: str) -> None:
        if onnx is None:
            raise MissingExtra("onnx", "onnx", "writing an .onnx file")
        self.graph = graph
        self.optimize = optimize
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.sparse: list[Any] = []
        self.encodings: list[LayerEncoding] = []
        self._taken = set(graph.values)
        self._constants: dict[Any, str] = {}
        self._made = {name: name for name in graph.inputs}
        # Values that are the same for every input, and what tells the batch: initializers without a batch axis.
        self._held: dict[str, tuple[str, str]] = {}

    def value(self, name: str) -> Any:
        return self.graph.values[name]

    def read(self, name: str) -> str:
        """What a value of the graph is called in the file."""
        if name in self._held:
            self._made[name] = self._repeated(*self._held.pop(name), len(self.value(name).shape))
        return self._made[name]

    def read_to_stretch(self, *names: str) -> list[str]:
        """The same, for an op that stretches axes of size 1: at most all but one may have no batch axis."""
        held = [name for name in names if name in self._held]
        if len(set(held)) == len(set(names)):
            self.read(held[0])
        return [self._held[name][0] if name in self._held else self.read(name) for name in names]

    def hold(self, name: str, constant: str, like: str) -> None:
        """Says that a value is a constant, repeated for every example of the value `like` where a reader needs that."""
        self._held[name] = (constant, like)

    def _repeated(self, constant: str, like: str, axes: int) -> str:
        batch = self.op("Slice", [self.op("Shape", [self.read(like)]), self.integers(0), self.integers(1)])
        shape = self.op("Concat", [batch, self.integers(*(1,) * axes)], axis=0)
        return self.op("Expand", [constant, shape])

    def reshape(self, made: str, *sizes: int) -> str:
        """`made` with other axes behind the batch; -1 in front of `sizes` lets them join it."""
        return self.op("Reshape", [made, self.integers(*(sizes if sizes[:1] == (-1,) else (0, *sizes)))])

    def bind(self, name: str, made: str) -> None:
        """Says that a value is another one under a second name."""
        self._made[name] = made

    def op(self, kind: str, inputs: Sequence[str], to: str = "", /, **attributes: Any) -> str:
        """Writes a node; returns the name of what it makes: the graph's value `to`, or a new one."""
        made = to or self._name("t")
        self.nodes.append(helper.make_node(kind, list(inputs), [made], **attributes))
        if to:
            self._made[to] = to
        return made

    def finish_as(self, made: str, name: str) -> None:
        """Says that the value `name` of the graph is `made`; renames it where it was made for this alone."""
        if made in self._taken and self.nodes and self.nodes[-1].output[0] == made and made not in self.graph.values:
            self.nodes[-1].output[0] = made = name
        self.bind(name, made)

    def _name(self, wish: str) -> str:
        name, n = wish, 0
        while name in self._taken:
            n += 1
            name = f"{wish}{n}"
        self._taken.add(name)
        return name

    def constant(self, array: Array) -> str:
        """An initializer without a layer of its own; equal ones are stored once."""
        array = np.ascontiguousarray(array)
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self._name("c")
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def integers(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64))

    def scalar(self, number: float) -> str:
        return self.constant(np.array(number, np.float32))

    def numbers(self, node: Node, what: str, array: Array) -> str:
        """A layer's own numbers that no encoding is chosen for: its bias, its scale."""
        name = self._name(f"{node.source or node.name}.{what}")
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def bias(self, node: Node, bias: Array) -> str:
        return self.numbers(node, "bias", bias)

    def weight(self, node: Node, array: Array, what: str = "weight") -> str:
        """A layer's weight in the encoding that pays."""
        return self.stored(node, array, self.choose(node, array, weight_options(array)), what)

    def choose(self, node: Node, array: Array, options: Sequence[Option]) -> str:
        """The encoding that pays, of a layer's forms."""
        choice = choose(options, optimize=self.optimize)
        nonzeros = int(np.count_nonzero(array))
        stored = next(option.bytes for option in options if option.encoding == choice.encoding)
        self.encodings.append(
            LayerEncoding(node.name, node.source, array.shape, choice.encoding, nonzeros, array.size, stored, choice.reason)
        )
        return choice.encoding

    def stored(self, node: Node, array: Array, encoding: str, what: str = "weight") -> str:
        """An initializer, "dense" or as coordinates ("coo")."""
        if encoding == "dense":
            return self.numbers(node, what, array)
        name = self._name(f"{node.source or node.name}.{what}")
        self.sparse.append(_coordinates(array, name))
        return name

    def looked_up(self, node: Node, table: Array, index: Array) -> str:
        """A weight [filters, channels, *kernel] that the runtime makes when it loads the model: `index` says which row of `table`
        each tap of each filter is, counted from 1; 0 is a row of zeros."""
        rows = self.numbers(node, "stripes", np.concatenate([np.zeros_like(table[:1]), table]))
        # Varints: one or two bytes each.
        which = TensorProto(data_type=TensorProto.INT32, dims=index.shape, int32_data=index.ravel().tolist())
        which.name = self._name(f"{node.source or node.name}.index")
        self.initializers.append(which)
        laid = self.op("Gather", [rows, which.name], axis=0)
        made = self._name(f"{node.source or node.name}.weight")
        order = (0, index.ndim, *range(1, index.ndim))
        self.nodes.append(helper.make_node("Transpose", [laid], [made], perm=order))
        return made

    def finish(self, metadata: Metadata) -> bytes:
        for name in dict.fromkeys(self.graph.outputs):
            if self.read(name) != name:
                self.op("Identity", [self._made[name]], name)
        integers = integer_inputs(self.graph)
        inputs = [_open(name, self.value(name).shape, integer=name in integers) for name in self.graph.inputs]
        outputs = [_open(name, self.value(name).shape) for name in self.graph.outputs]
        graph = helper.make_graph(self.nodes, "edgeprune", inputs, outputs, self.initializers, sparse_initializer=self.sparse)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name = "edgeprune"
        text = metadata.to_json()
        if text:
            helper.set_model_props(model, {"edgeprune": text})
        lower.check_size(self.graph, model.ByteSize())
        # Not the full check: its type inference knows no op that reads a sparse initializer, although the standard allows it.
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString(deterministic=True)
        return data


def _open(name: str, shape: Shape, *, integer: bool = False) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.INT64 if integer else TensorProto.FLOAT, ["batch", *shape])


def weight_options(array: Array, us: float = 0.0) -> list[Option]:
    """The forms of a weight that are all dense once the model is loaded; `us` is what its layer then takes."""
    options = [Option("dense", array.nbytes + DESCRIPTION, us, 2 * array.nbytes)]
    sparse = _coordinate_bytes(array) + 2 * DESCRIPTION
    return [*options, Option("coo", sparse, us, sparse + 2 * array.nbytes, expanded=True)]


def look_up_bytes(table: Array, index: Array) -> int:
    """Bytes of what `Writer.looked_up` writes."""
    return int(table.nbytes + table[:1].nbytes + index.size + np.count_nonzero(index >> 7)) + LOOK_UP


def _coordinate_bytes(array: Array) -> int:
    """Bytes of the nonzeros and their places in the coordinate form."""
    places = np.flatnonzero(array)
    return 5 * len(places) + sum(int(np.count_nonzero(places >> bits)) for bits in (7, 14, 21, 28))


def _coordinates(array: Array, name: str) -> Any:
    """The nonzeros and their flat places. Places are stored as varints: one to four bytes each instead of eight."""
    places = np.flatnonzero(array)
    values = numpy_helper.from_array(array.reshape(-1)[places], name)
    indices = TensorProto(data_type=TensorProto.INT64, dims=[len(places)], int64_data=places.tolist())
    return onnx.SparseTensorProto(values=values, indices=indices, dims=array.shape)
