"""Who reads what a layer makes, on the network's exported graph."""

from __future__ import annotations

import torch

from ..flow import Probe

# Where several signals meet place by place or in products, a channel is not one layer's alone.
SUMS = ("aten.add", "aten.sub", "aten.matmul", "aten.bmm", "aten.baddbmm", "aten.einsum", "aten.scaled_dot_product_attention")


def norms_behind(probe: Probe) -> dict[str, str]:
    """By weight, the path of the batch norm that reads what the weight's layer makes, where nothing else does."""
    found = {}
    for node, weight in _layers(probe):
        readers = list(node.users)
        if len(readers) == 1 and "batch_norm" in str(readers[0].target) and readers[0].args[0] is node:
            scale = readers[0].args[1]
            name = probe.stored(scale) if isinstance(scale, torch.fx.Node) else None
            if name is not None:
                found[weight] = name.rpartition(".")[0]
    return found


def bound_weights(probe: Probe) -> set[str]:
    """The weights of layers whose output meets other signals in a sum or a product of matrices, or leaves the network.

    What another weight reads first is that layer's matter.
    """
    signals: set[str] = set()
    for node in probe.nodes:
        given = node.op == "placeholder" and probe.stored(node) is None
        if given or any(n.name in signals for n in node.all_input_nodes):
            signals.add(node.name)
    bound = set()
    for layer, weight in _layers(probe):
        waiting, seen = list(layer.users), set()
        while waiting:
            node = waiting.pop()
            if node.name in seen:
                continue
            seen.add(node.name)
            meeting = sum(n.name in signals for n in node.all_input_nodes) > 1
            if node.op == "output" or (meeting and str(node.target).startswith(SUMS)):
                bound.add(weight)
                break
            if not any(probe.weight(n) for n in node.all_input_nodes):
                waiting += list(node.users)
    return bound


def _layers(probe: Probe) -> list[tuple[torch.fx.Node, str]]:
    found = []
    for node in probe.nodes:
        weights = [weight for n in node.all_input_nodes if (weight := probe.weight(n)) is not None]
        if len(weights) == 1:
            found.append((node, weights[0]))
    return found
