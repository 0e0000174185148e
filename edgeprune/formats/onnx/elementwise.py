"""Activations, sums, products and softmax, as ONNX says them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...graph import Node
from ...ops import Activation, Add, Binary, Mul, PReLU, Softmax
from ...ops.elementwise import per_channel
from .writer import Writer, lower

Formula = Callable[["_Terms", str, float, float], str]


class _Terms:
    """Elementwise formulas."""

    def __init__(self, out: Writer) -> None:
        self.out = out

    def __call__(self, kind: str, *terms: str | float, **attributes: Any) -> str:
        inputs = [t if isinstance(t, str) else self.out.scalar(t) for t in terms]
        return self.out.op(kind, inputs, **attributes)

    def clip(self, x: str, low: float, high: float) -> str:
        bounds = [self.out.scalar(low) if low > -np.inf else "", self.out.scalar(high) if high < np.inf else ""]
        while bounds and not bounds[-1]:
            bounds.pop()
        return self("Clip", x, *bounds)

    def hard_sigmoid(self, x: str) -> str:
        return self("HardSigmoid", x, alpha=1 / 6, beta=0.5)

    def gelu(self, x: str) -> str:
        # In this order onnxruntime sees one op in it.
        return self("Mul", self("Mul", x, self("Add", self("Erf", self("Div", x, math.sqrt(2))), 1.0)), 0.5)

    def gelu_tanh(self, x: str) -> str:
        cube = self("Mul", self("Mul", self("Mul", x, x), x), 0.044715)
        bent = self("Tanh", self("Mul", self("Add", x, cube), math.sqrt(2 / math.pi)))
        return self("Mul", self("Mul", x, 0.5), self("Add", bent, 1.0))


# activation: what it makes of a value. `a` and `b` are its settings.
FORMULAS: dict[str, Formula] = {
    "relu": lambda t, x, a, b: t("Relu", x),
    "relu6": lambda t, x, a, b: t.clip(x, 0.0, 6.0),
    "clip": lambda t, x, a, b: t.clip(x, a, b),
    "leaky_relu": lambda t, x, a, b: t("LeakyRelu", x, alpha=float(a)),
    "elu": lambda t, x, a, b: t("Elu", x, alpha=float(a)),
    "sigmoid": lambda t, x, a, b: t("Sigmoid", x),
    "hard_sigmoid": lambda t, x, a, b: t.hard_sigmoid(x),
    "tanh": lambda t, x, a, b: t("Tanh", x),
    "silu": lambda t, x, a, b: t("Mul", x, t("Sigmoid", x)),
    "hard_swish": lambda t, x, a, b: t("Mul", x, t.hard_sigmoid(x)),
    "mish": lambda t, x, a, b: t("Mul", x, t("Tanh", t("Softplus", x))),
    "softplus": lambda t, x, a, b: t("Softplus", x),
    "gelu": lambda t, x, a, b: t.gelu(x),
    "gelu_tanh": lambda t, x, a, b: t.gelu_tanh(x),
    "abs": lambda t, x, a, b: t("Abs", x),
    "neg": lambda t, x, a, b: t("Neg", x),
    "exp": lambda t, x, a, b: t("Exp", x),
    "sqrt": lambda t, x, a, b: t("Sqrt", x),
    "reciprocal": lambda t, x, a, b: t("Reciprocal", x),
    "pow": lambda t, x, a, b: t("Pow", x, float(a)),
    "log": lambda t, x, a, b: t("Log", x),
    "erf": lambda t, x, a, b: t("Erf", x),
    "sin": lambda t, x, a, b: t("Sin", x),
    "cos": lambda t, x, a, b: t("Cos", x),
    "floor": lambda t, x, a, b: t("Floor", x),
    "round": lambda t, x, a, b: t("Round", x),
    "sign": lambda t, x, a, b: t("Sign", x),
    "threshold": lambda t, x, a, b: t("Where", t("Greater", x, float(a)), x, float(b)),
    "softsign": lambda t, x, a, b: t("Softsign", x),
    "hard_shrink": lambda t, x, a, b: t("Shrink", x, lambd=float(a), bias=0.0),
    "soft_shrink": lambda t, x, a, b: t("Shrink", x, lambd=float(a), bias=float(a)),
}


@lower(Activation)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    formula = FORMULAS.get(op.kind)
    if formula is None:
        raise lower.refusal(node, f"no formula for {op.kind!r}; it has: {', '.join(FORMULAS)}")
    out.finish_as(formula(_Terms(out), out.read(node.inputs[0]), op.a, op.b), node.name)


@lower(PReLU)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value = out.value(node.name)
    slope = out.numbers(node, "weight", per_channel(op.weight, len(value.shape), value.axis))
    out.op("PRelu", [out.read(node.inputs[0]), slope], node.name)


@lower(Add, Mul)
def _(out: Writer, node: Node) -> None:
    out.op(type(node.op).__name__, out.read_to_stretch(*node.inputs), node.name)


BINARY = {"div": "Div", "min": "Min", "max": "Max", "pow": "Pow"}


@lower(Binary)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    if op.kind not in BINARY:
        raise lower.refusal(node, f"no function for {op.kind!r}; it has: {', '.join(BINARY)}")
    out.op(BINARY[op.kind], out.read_to_stretch(*node.inputs), node.name)


@lower(Softmax)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    out.op("LogSoftmax" if op.log else "Softmax", [out.read(node.inputs[0])], node.name, axis=op.axis + 1)
