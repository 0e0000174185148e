"""Which layers are a network's head: what a task adds to a pre-trained encoder."""

from __future__ import annotations

import torch
from torch import nn

from .flow import Probe


def head_weights(module: nn.Module, probe: Probe) -> frozenset[str]:
    """The weights in the graph behind which no further weight stands on the way to an output.

    A network of Hugging Face says by itself what its encoder is (`base_model_prefix`); its head is everything else.
    """
    if encoder := _encoder(module):
        return frozenset(name for name in probe.names if not name.startswith(f"{encoder}."))
    found: set[str] = set()
    waiting = [node for node in probe.nodes if node.op == "output"]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        own = {name for before in node.all_input_nodes for name in _weights_alone(before, probe)}
        found |= own
        if not own:
            new = [before for before in node.all_input_nodes if before not in seen]
            seen.update(new)
            waiting += new
    return frozenset(found & set(probe.names))


def head_state(module: nn.Module, weights: frozenset[str]) -> frozenset[str]:
    """The names in the state dict of the layers of these weights, biases included, or of all outside the encoder."""
    if encoder := _encoder(module):
        return frozenset(name for name in module.state_dict() if not name.startswith(f"{encoder}."))
    layers = {name.rpartition(".")[0] for name in weights}
    return frozenset(name for name in module.state_dict() if name.rpartition(".")[0] in layers)


def _encoder(module: nn.Module) -> str:
    """What a network of Hugging Face calls its encoder; empty for any other."""
    prefix = getattr(module, "base_model_prefix", "")
    return prefix if prefix and isinstance(getattr(module, prefix, None), nn.Module) else ""


def _weights_alone(node: torch.fx.Node, probe: Probe) -> set[str]:
    """The prunable weights that a value is made of, where it is made of such alone: a weight, or one turned."""
    if (weight := probe.weight(node)) is not None:
        return {weight}
    parts = [_weights_alone(before, probe) for before in node.all_input_nodes]
    return set.union(*parts) if parts and all(parts) else set()
