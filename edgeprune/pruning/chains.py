"""Where the channels that one layer makes go straight to other layers, and nothing in between mixes them.

Such channels can be left out of everything between the layers, not only of the layers themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from .flow import Probe

# Each output value depends on the one input value at its place, in training as in use.
POINTWISE = frozenset({
    "relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "mish", "elu", "selu", "celu", "leaky_relu", "tanh",
    "sigmoid", "softplus", "softsign", "abs", "neg", "square", "exp", "clamp", "clamp_min", "clamp_max", "mul", "div", "add",
    "sub", "clone", "contiguous", "detach", "alias",
})  # fmt: skip
POOLS = frozenset(f"{kind}_pool{n}d" for kind in ("max", "avg", "adaptive_avg") for n in (1, 2, 3))
RESHAPES = frozenset({"view", "reshape", "flatten", "squeeze", "_unsafe_view"})
LAYERS = frozenset({"linear", "conv1d", "conv2d"})


@dataclass(frozen=True)
class Chain:
    """All that happens to the channels of the layer whose weight is `maker`.

    `readers` are the weights of the layers that read them, `norms` the paths of the batch norms on the way; each with the number
    of values in a row that one channel has become there.
    """

    maker: str
    readers: dict[str, int] = field(default_factory=dict)
    norms: dict[str, int] = field(default_factory=dict)

    @property
    def flattened(self) -> bool:
        """Whether places became channels on the way, so that code may have the number of them written in it."""
        return any(each > 1 for each in self.readers.values())


@dataclass(frozen=True)
class _Value:
    """A value on the way: the axis of its channels, and how many of them came from one channel of the maker."""

    node: torch.fx.Node
    axis: int
    each: int = 1


def chains(probe: Probe) -> list[Chain]:
    """The chains of the probe's network, in its order; layers that are called more than once are in none."""
    found = []
    for node in probe.nodes:
        if (maker := _layer(node, probe)) is not None:
            chain = Chain(maker)
            axis = 1 if _name(node) != "linear" else _dim(node) - 1
            if _followed(_Value(node, axis), chain, probe) and chain.readers:
                found.append(chain)
    return found


def _followed(value: _Value, chain: Chain, probe: Probe) -> bool:
    """Enters in `chain` what reads `value`, and what reads that; False where something else than a layer ends the way."""
    for user in value.node.users:
        if not user.args or user.args[0] is not value.node:
            return False
        reader = _layer(user, probe)
        if reader is not None:
            if value.axis != (_dim(value.node) - 1 if _name(user) == "linear" else 1):
                return False
            chain.readers[reader] = value.each
        else:
            after = _after(value, user, chain.norms, probe)
            if after is None or not _followed(after, chain, probe):
                return False
    return bool(value.node.users)


def _after(value: _Value, user: torch.fx.Node, norms: dict[str, int], probe: Probe) -> _Value | None:
    """What `user` makes of `value`, None where the channels do not stay apart."""
    name, axis, each = _name(user), value.axis, value.each
    before, after = value.node.meta["val"].shape, getattr(user.meta.get("val"), "shape", None)
    alone = len(user.all_input_nodes) == 1
    if after is None:
        return None
    if name == "batch_norm" and axis == 1:
        path = _norm_path(user, probe)
        if path is None:
            return None
        norms[path] = each
        return _Value(user, axis, each)
    if not alone:
        return None
    if name in POINTWISE or (name == "dropout" and user.args[1] == 0):
        return _Value(user, axis, each) if after == before else None
    if name in POOLS and axis == 1 and len(before) == int(name[-2]) + 2:
        return _Value(user, axis, each)
    if name == "mean" and axis == 1 and len(user.args) > 1:
        dims: Any = user.args[1]
        return _Value(user, axis, each) if dims and all(dim % len(before) > 1 for dim in dims) else None
    if name in RESHAPES and axis == 1 and tuple(after) == (before[0], math.prod(before[1:])):
        return _Value(user, axis, each * math.prod(before[2:]))
    return None


def _layer(node: torch.fx.Node, probe: Probe) -> str | None:
    """The weight of the layer that `node` is, if it connects every input with every output and is called once."""
    if _name(node) not in LAYERS or len(node.args) < 2 or not isinstance(weight := node.args[1], torch.fx.Node):
        return None
    name, given = probe.weight(weight), node.args[0]
    own = node.all_input_nodes[1:]
    if name is None or not isinstance(given, torch.fx.Node) or any(len(n.users) > 1 or probe.stored(n) is None for n in own):
        return None
    channels = given.meta["val"].shape[-1 if _name(node) == "linear" else 1]
    return name if probe.shapes.get(name, (0, 0))[1] == channels else None


def _norm_path(node: torch.fx.Node, probe: Probe) -> str | None:
    stored = [probe.stored(n) for n in node.all_input_nodes[1:]]
    paths = {name.rpartition(".")[0] for name in stored if name is not None}
    called_once = all(len(n.users) == 1 for n in node.all_input_nodes[1:])
    return paths.pop() if None not in stored and called_once and len(paths) == 1 else None


def _name(node: torch.fx.Node) -> str:
    schema: Any = getattr(node.target, "_schema", None)
    return str(schema.name).removeprefix("aten::").removesuffix("_") if schema is not None else ""


def _dim(node: torch.fx.Node) -> int:
    return len(node.meta["val"].shape)
