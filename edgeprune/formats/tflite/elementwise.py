"""Activations, sums, products and softmax, as TFLite says them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...graph import Array, Node, Shape
from ...ops import Activation, Add, Binary, Mul, PReLU, Softmax
from ...ops.elementwise import _ERF_FLOAT
from .layout import stored_axis, stored_shape
from .writer import Writer, lower

Formula = Callable[["_Terms", int, float, float], int]


class _Terms:
    """Elementwise formulas over one shape."""

    def __init__(self, out: Writer, shape: Shape) -> None:
        self.out, self.shape = out, shape

    def __call__(self, code: str, *terms: int | float, **options: Any) -> int:
        inputs = [t if isinstance(t, int) else self.out.scalar(t) for t in terms]
        return self.out.op(code, inputs, self.shape, **options)

    def clip(self, x: int, low: float, high: float) -> int:
        x = x if low == -np.inf else self("MAXIMUM", x, float(low))
        return x if high == np.inf else self("MINIMUM", x, float(high))

    def hard_sigmoid(self, x: int) -> int:
        return self("MUL", self("ADD", x, 3.0, activation=3), 1 / 6)

    def elu(self, x: int, a: float) -> int:
        if a == 1:
            return self("ELU", x)
        below = self("MUL", self("ELU", self("MINIMUM", x, 0.0)), float(a))
        return self("ADD", self("RELU", x), below)

    def softplus(self, x: int) -> int:
        # max(x, 0) + log(1 + exp(-|x|)): nothing overflows.
        small = self("LOG", self("ADD", self("EXP", self("NEG", self("ABS", x))), 1.0))
        return self("ADD", self("RELU", x), small)

    def choose(self, x: int, above: float, yes: int, no: float) -> int:
        """`yes` where x is above a number, else `no`."""
        flags = self.out.op("GREATER", [x, self.out.scalar(above)], self.shape, dtype="bool")
        return self("SELECT_V2", flags, yes, float(no))

    def erf(self, x: int) -> int:
        # The quotient of polynomials that the graph runs in float32: there is no op for it.
        y = self.clip(x, -4.0, 4.0)
        square = self("MUL", y, y)
        above, below = (self.polynomial(square, coefficients) for coefficients in _ERF_FLOAT)
        return self("DIV", self("MUL", y, above), below)

    def polynomial(self, x: int, coefficients: Sequence[float]) -> int:
        """Highest power first."""
        first, second, *rest = coefficients
        y = self("ADD", self("MUL", x, float(first)), float(second))
        for c in rest:
            y = self("ADD", self("MUL", y, x), float(c))
        return y


# activation: the tensor it makes of a tensor. `a` and `b` are its settings.
FORMULAS: dict[str, Formula] = {
    "relu": lambda t, x, a, b: t("RELU", x),
    "relu6": lambda t, x, a, b: t("RELU6", x),
    "clip": lambda t, x, a, b: t.clip(x, a, b),
    "leaky_relu": lambda t, x, a, b: t("LEAKY_RELU", x, alpha=float(a)),
    "elu": lambda t, x, a, b: t.elu(x, a),
    "sigmoid": lambda t, x, a, b: t("LOGISTIC", x),
    "hard_sigmoid": lambda t, x, a, b: t.hard_sigmoid(x),
    "tanh": lambda t, x, a, b: t("TANH", x),
    "silu": lambda t, x, a, b: t("MUL", x, t("LOGISTIC", x)),
    "hard_swish": lambda t, x, a, b: t("HARD_SWISH", x),
    "mish": lambda t, x, a, b: t("MUL", x, t("TANH", t.softplus(x))),
    "softplus": lambda t, x, a, b: t.softplus(x),
    "gelu": lambda t, x, a, b: t("GELU", x),
    "gelu_tanh": lambda t, x, a, b: t("GELU", x, approximate=True),
    "abs": lambda t, x, a, b: t("ABS", x),
    "neg": lambda t, x, a, b: t("NEG", x),
    "exp": lambda t, x, a, b: t("EXP", x),
    "sqrt": lambda t, x, a, b: t("SQRT", x),
    "reciprocal": lambda t, x, a, b: t("DIV", 1.0, x),
    "pow": lambda t, x, a, b: t("POW", x, float(a)),
    "log": lambda t, x, a, b: t("LOG", x),
    "erf": lambda t, x, a, b: t.erf(x),
    "sin": lambda t, x, a, b: t("SIN", x),
    "cos": lambda t, x, a, b: t("COS", x),
    "floor": lambda t, x, a, b: t("FLOOR", x),
    "round": lambda t, x, a, b: t("ROUND", x),
    "sign": lambda t, x, a, b: t("SIGN", x),
    "threshold": lambda t, x, a, b: t.choose(x, a, x, b),
    "softsign": lambda t, x, a, b: t("DIV", x, t("ADD", t("ABS", x), 1.0)),
    "hard_shrink": lambda t, x, a, b: t.choose(t("ABS", x), a, x, 0.0),
    "soft_shrink": lambda t, x, a, b: t("SUB", x, t.clip(x, -a, a)),
}

# (kind, a, b): what an operator can apply to its own output
FUSED = {
    ("relu", 0.0, 0.0): "RELU",
    ("relu6", 0.0, 0.0): "RELU6",
    ("clip", 0.0, 6.0): "RELU6",
    ("clip", -1.0, 1.0): "RELU_N1_TO_1",
}


@lower(Activation)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x, order = out.read_in_order(node.inputs[0])
    fused = FUSED.get((op.kind, op.a, op.b))
    if fused and out.fuse(node.inputs[0], fused):
        out.bind(node.name, x, order)
        return
    formula = FORMULAS.get(op.kind)
    if formula is None:
        raise lower.refusal(node, f"no formula for {op.kind!r}; it has: {', '.join(FORMULAS)}")
    terms = _Terms(out, stored_shape(out.value(node.name)))
    out.bind(node.name, terms(fused, x) if fused else formula(terms, x, op.a, op.b), order)


@lower(PReLU)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x, shape = out.read(node.inputs[0]), stored_shape(out.value(node.name))
    # The slope has an axis for every one of the value's but the batch.
    slope = out.constant(op.weight.reshape((1,) * (len(shape) - 1) + (-1,)), f"{node.source or node.name}.weight")
    out.bind(node.name, out.op("PRELU", [x, slope], shape))


BINARY = {"div": "DIV", "min": "MINIMUM", "max": "MAXIMUM", "pow": "POW"}


@lower(Add, Mul, Binary)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    code = "ADD" if isinstance(op, Add) else "MUL" if isinstance(op, Mul) else BINARY.get(op.kind)
    if code is None:
        raise lower.refusal(node, f"no function for {op.kind!r}; it has: {', '.join(BINARY)}")
    held = out.held_to_stretch(node.inputs)
    read = [(held[name], None) if name in held else out.read_in_order(name) for name in node.inputs]
    order = read[0][1] if _equal(read[0][1], read[1][1]) else None
    terms = [tensor for tensor, _ in read]
    if not _equal(read[0][1], read[1][1]):
        terms = [held[name] if name in held else out.read(name) for name in node.inputs]
    out.bind(node.name, out.op(code, terms, stored_shape(out.value(node.name))), order)


def _equal(a: Array | None, b: Array | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


@lower(Softmax)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value = out.value(node.name)
    shape = stored_shape(value)
    # Softmax does not mind the order of its elements.
    x, order = out.read_in_order(node.inputs[0])
    axis, last = stored_axis(value, op.axis), len(shape) - 1
    swap = list(range(len(shape)))
    swap[axis], swap[last] = last, axis
    swapped = tuple(shape[i] for i in swap)
    if axis != last:
        x = out.transpose(x, (0, *(i + 1 for i in swap)))
    x = out.op("LOG_SOFTMAX", [x], swapped) if op.log else out.op("SOFTMAX", [x], swapped, beta=1.0)
    if axis != last:
        x = out.transpose(x, (0, *(i + 1 for i in swap)))
    out.bind(node.name, x, order)
