"""Filters that can leave a network as a whole: where they are, and how they go within a budget.

Nothing is cut out here. A filter goes by its mask and by a norm that is silent there; the removal passes make the layers small.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import EdgepruneError
from ..alive import Unholdable
from ..flow import Probe
from ..masks import Masks, prunable
from .readers import bound_weights, norms_behind

BatchNorm = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Filters:
    """The output filters of one layer; `norm` is the batch norm with scales that alone reads them, if there is one."""

    name: str
    weight: nn.Parameter
    bias: nn.Parameter | None
    norm: BatchNorm | None

    def __len__(self) -> int:
        return len(self.weight)

    def per_filter(self) -> list[nn.Parameter]:
        """The parameters with a number for every filter: the bias, and the norm's scale and shift."""
        found = [self.bias, *([] if self.norm is None else [self.norm.weight, self.norm.bias])]
        return [p for p in found if isinstance(p, nn.Parameter)]


def free_filters(module: nn.Module, probe: Probe) -> list[Filters]:
    """The layers whose filters take weights of other layers with them when they go, in the network's order.

    Those that end in a residual sum, in products with other signals or in an output take nothing along: no layer gets smaller for
    them. `module` is the probe's network. Raises EdgepruneError where there is no such layer.
    """
    full = probe.full()
    norms, bound = norms_behind(probe), bound_weights(probe)
    weights = prunable(module)
    found = []
    for name in probe.names:
        without = Masks(full)
        without[name] = full[name].clone()
        without[name][0] = False
        if name in bound or len(full[name]) < 2 or probe.alive(without).kept == without.kept:
            continue
        layer = module.get_submodule(name.rpartition(".")[0])
        bias = layer._parameters.get("bias")
        norm = module.get_submodule(norms[name]) if name in norms else None
        found.append(Filters(name, weights[name], bias, norm if isinstance(norm, BatchNorm) else None))
    if not found:
        raise EdgepruneError(
            "no filter of this network can leave as a whole: what its layers make ends in sums or outputs; "
            "prune single weights instead"
        )
    return found


Keep = Mapping[str, Tensor]  # by weight name, per filter whether it stays


def cut(masks: Masks, keep: Keep, probe: Probe) -> Masks:
    """`masks` without the filters that do not stay, and without what these leave dead."""
    fewer = Masks(masks)
    for name, stays in keep.items():
        fewer[name] = masks[name] & stays.view(-1, *[1] * (masks[name].dim() - 1))
    return probe.alive(fewer)


def fewest_cuts(steps: int, masks_after: Callable[[int], Masks], budget: int, total: int) -> int:
    """The smallest number of steps, of at most so many, after which at most `budget` weights are left.

    Raises Unholdable, naming the largest ratio that works, where all steps leave more than the budget.
    """
    found = bisect.bisect_left(range(steps + 1), True, key=lambda n: masks_after(n).kept <= budget)
    if found > steps:
        least = masks_after(steps).kept
        raise Unholdable(
            f"with one filter in every layer {least:,} weights are left, but {budget:,} were asked for; "
            f"the largest ratio that works for whole filters is {int(total / least * 100) / 100:g}"
        )
    return found


def same_share(layers: Sequence[Filters], scores: Mapping[str, Tensor], masks: Masks, probe: Probe, budget: int) -> Keep:
    """Takes the same share of every layer's filters, those with the smallest scores, one at least stays; to the budget."""
    orders = {layer.name: scores[layer.name].argsort(stable=True) for layer in layers}
    shares = sorted({n / len(order) for order in orders.values() for n in range(len(order))})

    def kept(step: int) -> Keep:
        stays = {}
        for name, order in orders.items():
            stays[name] = torch.ones(len(order), dtype=torch.bool)
            # The share was made as n / len; what is lost in the division must not cost a filter.
            stays[name][order[: min(int(shares[step] * len(order) + 1e-9), len(order) - 1)]] = False
        return stays

    return kept(fewest_cuts(len(shares) - 1, lambda step: cut(masks, kept(step), probe), budget, probe.total))


def smallest_first(scores: Mapping[str, Tensor], masks: Masks, probe: Probe, budget: int, start: Keep | None = None) -> Keep:
    """Takes filters with the smallest scores of all layers, one of every layer at least stays; to the budget.

    Those that do not stay in `start` go before all others.
    """
    names = list(scores)
    where = torch.cat([torch.full((len(scores[name]),), i) for i, name in enumerate(names)])
    index = torch.cat([torch.arange(len(scores[name])) for name in names])
    row = torch.cat([scores[name].float() for name in names])
    if start is not None:
        row = row.masked_fill(~torch.cat([start[name] for name in names]), -torch.inf)
    best = {i: int(scores[name].argmax()) for i, name in enumerate(names)}
    order = [j for j in row.argsort(stable=True).tolist() if int(index[j]) != best[int(where[j])]]

    def kept(step: int) -> Keep:
        stays = {name: torch.ones(len(scores[name]), dtype=torch.bool) for name in names}
        for j in order[:step]:
            stays[names[int(where[j])]][int(index[j])] = False
        return stays

    first = 0 if start is None else sum(int((~start[name]).sum()) for name in names)
    least = min(first, len(order))
    steps = fewest_cuts(len(order) - least, lambda n: cut(masks, kept(least + n), probe), budget, probe.total)
    return kept(least + steps)


@torch.no_grad()
def silence(layers: Sequence[Filters], keep: Keep) -> None:
    """Sets to zero what the filters that do not stay still say: weights, bias, and the norm's scale and shift."""
    for layer in layers:
        gone = ~keep[layer.name]
        for parameter in (layer.weight, *layer.per_filter()):
            parameter[gone.to(parameter.device)] = 0.0
