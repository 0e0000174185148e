"""Polarization: the scales of batch norms are driven to 0 or away from it, and the gap says where to cut (Zhuang et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...errors import EdgepruneError
from ..run import Run
from ..training import Steering, snapshot
from .filters import BatchNorm, Filters, Keep, cut, free_filters, smallest_first
from .rounds import finish, take_out

T = 1.2
BINS = 100
TRIALS = 5
CLOSE = 0.05  # of the budget
FIRST_STRENGTH = 1e-3
LR = 0.01


def regularizer(scales: Tensor, t: float = T) -> Tensor:
    """t |γ|_1 - |γ - mean(γ)|_1 over all scales of the network; the mean carries gradient too."""
    return t * scales.abs().sum() - (scales - scales.mean()).abs().sum()


def slope(scales: Tensor, t: float = T) -> Tensor:
    """The regularizer's gradient."""
    apart = (scales - scales.mean()).sign()
    return t * scales.sign() - apart + apart.mean()


def gap(scales: Tensor, largest: float = 1.0) -> float:
    """Where the counts of `scales`, in 100 bins up to `largest`, stop falling: the threshold of a layer, in the paper's rule.

    Scales up to and including it go. A layer whose counts never turn has no gap; nothing goes then, and the answer is 0.
    """
    counts = torch.histc(scales.float(), BINS, 0.0, largest)
    steps = counts.diff()
    for n in range(1, len(steps)):
        if steps[n - 1] <= 0 <= steps[n]:
            return largest * n / BINS
    return 0.0


class Polarizing(Steering):
    """Adds `strength` times the regularizer's gradient, and keeps scales between 0 and `largest`."""

    def __init__(self, norms: Sequence[BatchNorm], strength: float, largest: float, t: float = T) -> None:
        self.norms, self.strength, self.largest, self.t = norms, strength, largest, t

    def before(self, step: int) -> None:
        self._clamp()

    @torch.no_grad()
    def update(self, step: int) -> bool:
        scales = [norm.weight for norm in self.norms]
        slopes = torch.split(slope(torch.cat([s.detach() for s in scales]), self.t), [len(s) for s in scales])
        for scale, own in zip(scales, slopes, strict=True):
            scale.grad = own * self.strength if scale.grad is None else scale.grad + self.strength * own
        return True

    def end(self) -> None:
        self._clamp()

    @torch.no_grad()
    def _clamp(self) -> None:
        for norm in self.norms:
            norm.weight.clamp_(0.0, self.largest)


@torch.no_grad()
def make_positive(layers: Sequence[Filters]) -> None:
    """Negative scales change their sign together with their filters and measured means: the same function."""
    for layer in layers:
        norm = _norm(layer)
        negative = norm.weight < 0
        layer.weight[negative] *= -1
        norm.weight[negative] *= -1
        if norm.running_mean is not None:
            norm.running_mean[negative] *= -1
        if layer.bias is not None:
            layer.bias[negative] *= -1


def polarization(run: Run) -> None:
    """Searches the strength that leaves the budget, a training a trial; then the cut at the gaps, and one retraining.

    The paper aims at multiply-adds, from a network with scales of 0.5; here the aim is the number of weights, and the box of the
    scales ends at the largest of the given network. What the search misses of the budget goes by the smallest scales.
    """
    if run.records:
        return
    layers = [layer for layer in free_filters(run.module, run.probe) if layer.norm is not None]
    if not layers:
        raise EdgepruneError(
            "polarization works on the scales of batch norms, and no free layer has one behind it; try l1-filters"
        )
    run.begin_round(run.budget, 1)
    make_positive(layers)
    norms = [_norm(layer) for layer in layers]
    largest = max(1.0, *(float(norm.weight.detach().max()) for norm in norms))
    start = snapshot(run.module)
    low, high, strength = 0.0, math.inf, FIRST_STRENGTH
    nearest, best = math.inf, start
    recipe = replace(run.plan.recipe, optimizer="sgd", curve="cosine", lr=LR)
    for _ in range(TRIALS):
        run.module.load_state_dict(start)
        run.train(recipe, Polarizing(norms, strength, largest))
        kept = cut(run.masks, at_gaps(layers, largest), run.probe).kept
        off = abs(math.log(max(kept, 1) / run.budget))
        if off < nearest:
            nearest, best = off, snapshot(run.module)
        if off < CLOSE:
            break
        low, high = (strength, high) if kept > run.budget else (low, strength)
        strength = strength * 4 if high == math.inf else strength / 4 if low == 0 else math.sqrt(low * high)
    run.module.load_state_dict(best)
    scales = {layer.name: _scales(layer) for layer in layers}
    keep = smallest_first(scales, run.masks, run.probe, run.budget, at_gaps(layers, largest))
    take_out(run, layers, keep)
    finish(run)


def at_gaps(layers: Sequence[Filters], largest: float) -> Keep:
    """The filters above their layer's gap; the largest of a layer always stays."""
    keep: dict[str, Tensor] = {}
    for layer in layers:
        scales = _scales(layer)
        keep[layer.name] = scales > gap(scales, largest)
        keep[layer.name][scales.argmax()] = True
    return keep


def _scales(layer: Filters) -> Tensor:
    return _norm(layer).weight.detach().cpu()


def _norm(layer: Filters) -> BatchNorm:
    if layer.norm is None:
        raise EdgepruneError(f"{layer.name} has no batch norm behind it")
    return layer.norm
