"""Builds a TFLite model op by op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...graph import Array, Graph, Node, Shape, Value
from ...sparse import Costs, Option, Sparse, choose
from ..artifact import LayerEncoding, Metadata
from ..lowering import Lowerings
from ..patterns import integer_inputs
from .flat import pack
from .forms import expanding, multiplied, packed
from .layout import flat_order, stored_shape
from .schema import ACTIVATIONS, OPS, TYPES

lower = Lowerings("TFLite")

# The opcode version of a FULLY_CONNECTED with sparse weights: with any other, exactly, a runtime takes them for dense ones.
SPARSE = 8

FUSABLE = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "AVERAGE_POOL_2D", "MAX_POOL_2D"}
_WIDTHS = {"int32": "Int32Vector", "uint16": "Uint16Vector", "uint8": "Uint8Vector"}


class Writer:
    """Tensors and operators of one model. Tensors are numbers here; shapes leave the batch axis out."""

    def __init__(self, graph: Graph, optimize: str, costs: Costs) -> None:
        self.graph, self.optimize, self.costs = graph, optimize, costs
        self.readers = graph.readers
        self.tensors: list[dict[str, Any]] = []
        self.operators: list[dict[str, Any]] = []
        self.buffers: list[bytes] = [b""]
        self.codes: list[tuple[str, int]] = []
        self.encodings: list[LayerEncoding] = []
        self._constants: dict[Any, int] = {}
        self._maker: dict[int, dict[str, Any]] = {}  # the operator that makes a tensor
        # Each value's tensor, and the order of its features where it is not the graph's.
        self._made: dict[str, tuple[int, Array | None]] = {}
        # Values that are the same for every input, and what tells the batch: constants with a batch of one.
        self._held: dict[str, tuple[int, str]] = {}
        for name, value in graph.inputs.items():
            dtype = "int32" if name in integer_inputs(graph) else "float32"
            self._made[name] = (self.tensor(stored_shape(value), name, dtype=dtype), None)

    # Tensors

    def tensor(self, shape: Shape, name: str = "", rows: int = 1, dtype: str = "float32") -> int:
        """A new tensor; its first axis has `rows` for each example of the batch."""
        self.tensors.append({"shape": (rows, *shape), "type": TYPES[dtype], "name": name or None})
        return len(self.tensors) - 1

    def constant(self, array: Array, name: str = "") -> int:
        """A constant of its own when it has a name; otherwise equal ones are one tensor."""
        array = np.ascontiguousarray(array)
        key = (array.dtype.name, array.shape, array.tobytes())
        if name or key not in self._constants:
            self.buffers.append(array.tobytes())
            code = TYPES[array.dtype.name]
            tensor = {"shape": array.shape, "type": code, "buffer": len(self.buffers) - 1, "name": name or None}
            self.tensors.append(tensor)
            if name:
                return len(self.tensors) - 1
            self._constants[key] = len(self.tensors) - 1
        return self._constants[key]

    def integers(self, *numbers: int) -> int:
        return self.constant(np.array(numbers, np.int32))

    def scalar(self, number: float) -> int:
        return self.constant(np.array(number, np.float32))

    def bias(self, node: Node, bias: Array | None, channels: int) -> int:
        """The bias, zeros where there is none: the fast kernels insist on one."""
        if bias is None:
            return self.constant(np.zeros(channels, np.float32))
        return self.constant(bias, f"{node.source or node.name}.bias")

    def matrix(self, node: Node, array: Array, places: int, what: str = "weight") -> tuple[int, bool]:
        """A matrix multiplied with `places` vectors, in the form that pays; (tensor, whether it is still sparse there)."""
        sparse = packed(array)
        options = expanding(array, sparse, "pointwise", array.size * places, self.costs)
        if sparse is not None:
            options.append(multiplied(sparse, places, self.costs))
        encoding = self.choose(node, array, options)
        if sparse is not None and encoding == "csr":
            return self.sparse_constant(sparse, f"{node.source or node.name}.{what}"), True
        return self.stored(node, array, None if encoding == "dense" else sparse, what), False

    def table(self, node: Node, array: Array) -> int:
        """A weight that no kernel multiplies: it is looked up."""
        sparse = packed(array)
        encoding = self.choose(node, array, expanding(array, sparse, "pointwise", 0, self.costs))
        return self.stored(node, array, None if encoding == "dense" else sparse)

    def choose(self, node: Node, array: Array, options: Sequence[Option]) -> str:
        """The encoding that pays, of a layer's forms."""
        choice = choose(options, optimize=self.optimize)
        nonzeros = int(np.count_nonzero(array))
        stored = next(option.bytes for option in options if option.encoding == choice.encoding)
        self.encodings.append(
            LayerEncoding(node.name, node.source, array.shape, choice.encoding, nonzeros, array.size, stored, choice.reason)
        )
        return choice.encoding

    def stored(self, node: Node, array: Array, sparse: Sparse | None, what: str = "weight") -> int:
        """A weight for a dense op: as it is, or in `sparse` form and expanded at load."""
        name = f"{node.source or node.name}.{what}"
        if sparse is None:
            return self.constant(array, name)
        self.tensors.append({"shape": array.shape})
        dense = len(self.tensors) - 1
        self._operator("DENSIFY", [self.sparse_constant(sparse, name)], dense, {}, 1)
        return dense

    def sparse_constant(self, packed: Sparse, name: str) -> int:
        """A constant that only an op for sparse weights may read."""
        self.buffers.append(packed.values.tobytes())
        levels: list[dict[str, Any]] = []
        for level in packed.levels:
            if level.segments is None or level.indices is None:
                levels.append({"dense_size": level.size})
                continue
            vectors = {"array_segments": level.segments, "array_indices": level.indices}
            levels.append({"format": 1, **{k: (_WIDTHS[v.dtype.name], {"values": v}) for k, v in vectors.items()}})
        sparsity = {"traversal_order": packed.order, "dim_metadata": levels}
        self.tensors.append({"shape": packed.shape, "buffer": len(self.buffers) - 1, "name": name, "sparsity": sparsity})
        return len(self.tensors) - 1

    # Operators

    def op(
        self, code: str, inputs: Sequence[int], shape: Shape, *, rows: int = 1, version: int = 1, dtype: str = "", **options: Any
    ) -> int:
        """Writes an operator; returns the tensor it makes, of `shape` with `rows` for each example in front."""
        made = self.tensor(shape, rows=rows, dtype=dtype or "float32")
        self._operator(code, inputs, made, options, version)
        return made

    def _operator(self, code: str, inputs: Sequence[int], made: int, options: dict[str, Any], version: int) -> None:
        if (code, version) not in self.codes:
            self.codes.append((code, version))
        number = self.codes.index((code, version))
        operator = {"code": code, "opcode_index": number, "inputs": inputs, "outputs": [made], "options": options}
        self.operators.append(operator)
        self._maker[made] = operator

    def fuse(self, name: str, activation: str) -> bool:
        """Lets the operator that makes the value apply the activation itself, where it can and nobody else sees the value."""
        made = self._made[name][0]
        alone = len(self.readers[name]) == 1 and name not in self.graph.outputs
        alone = alone and sum(tensor == made for tensor, _ in self._made.values()) == 1
        maker = self._maker.get(made)
        while maker is not None and maker["code"] == "RESHAPE" and self._passing(maker["inputs"][0]):
            maker = self._maker.get(maker["inputs"][0])
        if not alone or maker is None or maker["code"] not in FUSABLE or maker["options"].get("activation"):
            return False
        maker["options"]["activation"] = ACTIVATIONS[activation]
        return True

    def _passing(self, tensor: int) -> bool:
        """Whether one operator reads the tensor, which is no value of the graph."""
        reads = sum(list(each["inputs"]).count(tensor) for each in self.operators)
        return reads == 1 and all(made != tensor for made, _ in self._made.values())

    # Values

    def value(self, name: str) -> Value:
        return self.graph.values[name]

    def bind(self, name: str, tensor: int, order: Array | None = None) -> None:
        """Says which tensor holds a value, and in which order its features lie there."""
        self._made[name] = (tensor, order)

    def hold(self, name: str, constant: int, like: str) -> None:
        """Says that a value is a constant, repeated for every example of the value `like` where a reader needs that."""
        self._held[name] = (constant, like)

    def held_to_stretch(self, names: Sequence[str]) -> dict[str, int]:
        """Those of an op's inputs that are constants with a batch of one, for an op that stretches: at most all but one."""
        held = {name: self._held[name][0] for name in names if name in self._held}
        if len(held) == len(set(names)):
            first = next(iter(held))
            self.read_in_order(first)
            del held[first]
        return held

    def _repeated(self, constant: int, like: str) -> int:
        """The constant plus a zero of every example."""
        x, _ = self.read_in_order(like)
        inner = len(self.tensors[x]["shape"]) - 1
        ones = (1,) * inner
        bounds = ((0,) * (inner + 1), (0, *ones), (1, *ones))
        one = self.op("STRIDED_SLICE", [x, *(self.integers(*b) for b in bounds)], ones, begin_mask=1, end_mask=1)
        # Bounded first: zero times infinity is no zero.
        zero = self.op("MUL", [self.op("RELU6", [one], ones), self.scalar(0.0)], ones)
        shape = tuple(self.tensors[constant]["shape"][1:])
        return self.op("ADD", [self.reshape(zero, (1,) * len(shape)), constant], shape)

    def read_in_order(self, name: str) -> tuple[int, Array | None]:
        """The value's tensor, and the order of its features when that is not the graph's."""
        if name in self._held:
            self._made[name] = (self._repeated(*self._held.pop(name)), None)
        return self._made[name]

    def read(self, name: str) -> int:
        """The value's tensor with its features in the graph's order."""
        tensor, order = self.read_in_order(name)
        if order is not None:
            tensor = self._sorted(name, tensor, order)
            # Later readers share it; `bind` would hide the original from those that can use its order.
            self._made[name] = (tensor, None)
        return tensor

    def _sorted(self, name: str, tensor: int, order: Array) -> int:
        shape = stored_shape(self.value(name))
        channels = len(order) // int(order[1] - order[0]) if order[1] > order[0] else 0
        spatial = len(order) // max(channels, 1)
        plain = flat_order(Value((channels, spatial))) if channels else None
        if plain is not None and len(shape) == 1 and np.array_equal(order, plain):
            return self.reshape(self.transpose(self.reshape(tensor, (spatial, channels)), (0, 2, 1)), shape)
        return self.gather(tensor, np.argsort(order), shape, len(shape) - 1)

    def reshape(self, tensor: int, shape: Shape, rows: int = 1) -> int:
        maker = self._maker.get(tensor)
        if maker is not None and maker["code"] == "RESHAPE":
            tensor = maker["inputs"][0]
        if tuple(self.tensors[tensor]["shape"]) == (rows, *shape):
            return tensor
        return self.op("RESHAPE", [tensor, self.integers(-1, *shape)], shape, rows=rows)

    def transpose(self, tensor: int, order: Sequence[int]) -> int:
        """The tensor with its axes, that of the batch counted, in another order."""
        rows, *shape = (self.tensors[tensor]["shape"][i] for i in order)
        return self.op("TRANSPOSE", [tensor, self.integers(*order)], tuple(shape), rows=rows)

    def gather(self, tensor: int, index: Array, shape: Shape, axis: int) -> int:
        """Places of the tensor along a stored axis; `shape` is the result's."""
        return self.op("GATHER", [tensor, self.constant(index.astype(np.int32))], shape, axis=axis + 1)

    # The file

    def _leave_out_unread(self, ends: Sequence[int]) -> dict[int, int]:
        """Drops operators whose result nobody reads, and tensors left without a reader; returns the new numbers of the others."""
        read = set(ends)
        kept: list[dict[str, Any]] = []
        for operator in reversed(self.operators):
            if read.intersection(operator["outputs"]):
                read.update(operator["inputs"])
                kept.insert(0, operator)
        number = {old: new for new, old in enumerate(sorted(read))}
        self.tensors = [self.tensors[i] for i in number]
        self.operators = [{**each, **{end: [number[i] for i in each[end]] for end in ("inputs", "outputs")}} for each in kept]
        return number

    def finish(self, metadata: Metadata) -> bytes:
        outputs: dict[str, int] = {}
        for name in self.graph.outputs:
            if name in outputs:
                continue
            tensor = self.read(name)
            shape = stored_shape(self.value(name))
            if tensor in outputs.values() or self.tensors[tensor].get("name"):
                tensor = self.op("RESHAPE", [tensor, self.integers(-1, *shape)], shape)
            self.tensors[tensor]["name"] = name
            outputs[name] = tensor
        inputs = {name: number for number, name in enumerate(self.graph.inputs)}
        for number in (*inputs.values(), *outputs.values()):
            self.tensors[number]["shape_signature"] = (-1, *self.tensors[number]["shape"][1:])
        renumbered = self._leave_out_unread([*inputs.values(), *outputs.values()])
        inputs, outputs = ({name: renumbered[i] for name, i in ends.items()} for ends in (inputs, outputs))
        subgraph = {
            "tensors": self.tensors,
            "inputs": list(inputs.values()),
            "outputs": [outputs[name] for name in self.graph.outputs],
            "operators": [_packed(each) for each in self.operators],
        }
        text = metadata.to_json(inputs=_described(self.graph, inputs), outputs=_described(self.graph, outputs))
        signature = {"inputs": _named(inputs), "outputs": _named(outputs), "signature_key": "serving_default"}
        size = sum(map(len, self.buffers))
        lower.check_size(self.graph, size)
        model = {
            "version": 3,
            "operator_codes": [_code(code, version) for code, version in self.codes],
            "subgraphs": [subgraph],
            "description": "edgeprune",
            "buffers": [{"data": data} if data else {} for data in [*self.buffers, text.encode()]],
            "metadata": [{"name": "edgeprune", "buffer": len(self.buffers)}],
            "signature_defs": [signature],
        }
        return pack("Model", model, size + 4096)


def _packed(operator: dict[str, Any]) -> dict[str, Any]:
    table = OPS[operator["code"]][1]
    packed = {key: operator[key] for key in ("opcode_index", "inputs", "outputs")}
    return {**packed, "builtin_options": (table, operator["options"])} if table else packed


def _code(code: str, version: int) -> dict[str, int]:
    number = OPS[code][0]
    # Old runtimes read the one-byte field, where 127 stands for "see the other".
    return {"deprecated_builtin_code": min(number, 127), "version": version, "builtin_code": number}


def _named(tensors: dict[str, int]) -> list[dict[str, Any]]:
    return [{"name": name, "tensor_index": number} for name, number in tensors.items()]


def _described(graph: Graph, names: dict[str, int]) -> list[list[Any]]:
    """[name, shape without batch, channel axis] each: what a reader needs to turn channels-last tensors back."""
    return [[name, list(graph.values[name].shape), graph.values[name].axis] for name in names]
