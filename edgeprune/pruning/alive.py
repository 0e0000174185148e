"""All-alive pruning: the budget is spent on connections that carry signal, to the last one (Kim, Shim and Lee 2021)."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from ..errors import EdgepruneError
from .flow import Probe
from .masks import Masks

log = logging.getLogger("edgeprune")

P = ParamSpec("P")
R = TypeVar("R")


def _on_few_threads(choose: Callable[P, R]) -> Callable[P, R]:
    """`choose`, whose first argument is a probe, run on as many threads as that probe is worth."""

    @functools.wraps(choose)
    def chosen(*args: P.args, **kwargs: P.kwargs) -> R:
        with cast(Probe, args[0]).threads():
            return choose(*args, **kwargs)

    return chosen


class Unholdable(EdgepruneError):
    """The network cannot spend exactly this budget on alive weights; the message names a ratio that works."""


@dataclass(frozen=True)
class _Flat:
    """All weights in one row, in the order of the probe's names: what rankings and budgets speak of."""

    probe: Probe

    def row(self, masks: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([masks[name].detach().cpu().reshape(-1) for name in self.probe.names])

    def masks(self, row: Tensor) -> Masks:
        shapes = self.probe.shapes
        parts = torch.split(row, [shape.numel() for shape in shapes.values()])
        return Masks({name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)})

    def could(self, row: Tensor) -> Tensor:
        """Where a weight carries signal, or would if it alone were brought back."""
        return self.row(self.probe.gradient(self.masks(row))) > 0.5

    def alive(self, row: Tensor) -> Tensor:
        return row & self.could(row)

    def reached(self, row: Tensor) -> Tensor:
        """Per output whether a path arrives."""
        return self.probe.outputs_reached(self.masks(row))


def ranked(scores: Mapping[str, Tensor], eligible: Tensor, flat: _Flat) -> Tensor:
    """The places of the eligible weights, best score first, equal scores in the order of the places."""
    row = flat.row(scores)
    if not torch.isfinite(row[eligible]).all():
        raise EdgepruneError("the criterion gave scores that are not finite; check the weights for NaN or infinity")
    places = eligible.nonzero().squeeze(1)
    return places[row[places].sort(descending=True, stable=True).indices]


def top(probe: Probe, scores: Mapping[str, Tensor], budget: int, eligible: Mapping[str, Tensor] | None = None) -> Masks:
    """The `budget` best eligible weights, alive or not: the plain selection that all-alive pruning improves on."""
    flat = _Flat(probe)
    order = ranked(scores, flat.row(eligible if eligible is not None else probe.full()), flat)
    if budget > len(order):
        raise Unholdable(
            f"{budget:,} weights were asked for, but only {len(order):,} are not masked yet; {_ratio_hint(probe, len(order))}"
        )
    return flat.masks(_chosen(order, budget, probe.total))


@_on_few_threads
def all_alive(
    probe: Probe,
    scores: Mapping[str, Tensor],
    budget: int,
    *,
    eligible: Mapping[str, Tensor] | None = None,
    reserve: bool | Mapping[str, Tensor] = True,
    variant: str = "exact",
) -> Masks:
    """Masks that keep exactly `budget` weights, every one alive, the best by `scores` that way.

    `eligible` (bool per weight) says which weights may be kept: those not masked by an earlier round. With `reserve` one
    best path into every output is kept first, so that no class is lost; masks, such as `reserved` makes, are kept first
    instead. `variant` is "exact" (threshold search, then filling),
    or "loop" (remove the dead, refill from the ranking, repeat), nearer to the paper's words; it may end below the budget.
    Raises Unholdable where the network cannot spend the budget that way.
    """
    if variant not in ("exact", "loop"):
        raise EdgepruneError(f"variant={variant!r} is not known; choose exact or loop")
    flat = _Flat(probe)
    allowed = flat.row(eligible if eligible is not None else probe.full())
    most = int(flat.alive(allowed).sum())
    if most < budget:
        raise Unholdable(
            f"{budget:,} weights were asked for, but only {most:,} of the {probe.total:,} can carry signal; "
            f"{_ratio_hint(probe, most)}"
        )
    order = ranked(scores, allowed, flat)
    held = torch.zeros_like(allowed)
    if reserve is not False:
        held = flat.row(reserved(probe, scores, budget, eligible)) if reserve is True else flat.alive(flat.row(reserve) & allowed)
        order = torch.cat([order[held[order]], order[~held[order]]])
    row = _loop(flat, order, budget) if variant == "loop" else _exact(flat, order, budget, held)
    alive = flat.alive(row)
    if not torch.equal(alive, row) or (variant == "exact" and int(row.sum()) != budget):
        raise Unholdable(
            f"no set of exactly {budget:,} alive weights was found (nearest: {int(alive.sum()):,}); try a ratio close by, "
            f"for example {_shown(probe.total / max(1, int(alive.sum())))}"
        )
    lost = int((flat.reached(held) & ~flat.reached(row)).sum()) if (held & ~row).any() else 0
    if lost:
        log.warning("exactly %d alive weights are to be had only without a path into %d of the outputs", budget, lost)
    return flat.masks(row)


@_on_few_threads
def reserved(
    probe: Probe,
    scores: Mapping[str, Tensor],
    budget: int,
    eligible: Mapping[str, Tensor] | None = None,
    known: Mapping[str, Tensor] | None = None,
) -> Masks:
    """At most `budget` eligible weights with a path into every output: the best paths by `scores` that fit.

    `known` are eligible weights known to be such a set, the answer where the search finds none. Raises Unholdable, naming
    the largest ratio that works, where `budget` is too small to connect every output.
    """
    flat = _Flat(probe)
    order = ranked(scores, flat.row(eligible if eligible is not None else probe.full()), flat)
    paths = _paths(flat, order)
    if int(paths.sum()) > budget:
        paths = _compact(flat, order, paths)
        if int(paths.sum()) > budget and known is not None:
            paths = flat.alive(flat.row(known) & flat.row(eligible or probe.full()))
    needed = int(paths.sum())
    if needed > budget:
        largest = _largest(probe.total, needed)
        raise Unholdable(
            f"{budget:,} weights cannot connect every output: one path into each needs {needed:,} of {probe.total:,}; "
            + (f"the largest ratio that works is {largest:g}" if largest > 1 else "this network is too small to be pruned")
        )
    return flat.masks(paths)


def _chosen(order: Tensor, count: int, total: int) -> Tensor:
    row = torch.zeros(total, dtype=torch.bool)
    row[order[:count]] = True
    return row


def _exact(flat: _Flat, order: Tensor, budget: int, held: Tensor) -> Tensor:
    total = flat.probe.total
    low, high = budget, len(order)
    best = flat.alive(_chosen(order, low, total))
    over = best
    # Where few are dead the answer is near: steps that double find it sooner than halves of all there is.
    step = budget - int(best.sum())
    while low < high and int(best.sum()) != budget:
        middle = min(low + step, (low + high + 1) // 2)
        alive = flat.alive(_chosen(order, middle, total))
        if int(alive.sum()) <= budget:
            low, best, step = middle, alive, 2 * step
        else:
            high, over = middle - 1, alive
    filled = _filled(flat, order, best, budget)
    if int(filled.sum()) == budget or int(over.sum()) < budget:
        return filled
    # Chains that come alive together skip over the budget: take some off a larger set, giving up as little as possible.
    reached = flat.reached(over)
    pool = flat.alive(_chosen(order, len(order), total))
    for start, good in (
        (over, lambda row: not (held & ~row).any()),
        (pool, lambda row: not (held & ~row).any()),
        (pool, lambda row: not (reached & ~flat.reached(row)).any()),
        (over, lambda row: True),
    ):
        row = _peeled(flat, order, start, budget, good)
        if int(row.sum()) == budget:
            break
    return row


def _filled(flat: _Flat, order: Tensor, row: Tensor, budget: int) -> Tensor:
    """Adds the best weights that are alive the moment they are added. A new one may open the way for more: hence the loop."""
    while (missing := budget - int(row.sum())) > 0:
        could = flat.could(row) & ~row
        candidates = order[could[order]][:missing]
        if not len(candidates):
            break
        row = row.clone()
        row[candidates] = True
    return row


def _peeled(flat: _Flat, order: Tensor, row: Tensor, budget: int, good: Callable[[Tensor], bool]) -> Tensor:
    """Takes the weakest weights off a set that is too large, so that exactly the budget stays alive and what is left is `good`.

    Needed where whole chains come alive together and no single weight can be added: a chain goes as a whole, so a removal
    counts with everything that dies of it.
    """
    for run in (1 << k for k in range(12, -1, -1)):
        weakest = order[row[order]].flip(0)
        start = 0
        while (excess := int(row.sum()) - budget) > 0 and start < len(weakest) and start < 400 * run:
            fewer = row.clone()
            fewer[weakest[start : start + min(run, excess)]] = False
            fewer = flat.alive(fewer)
            if int(fewer.sum()) >= budget and good(fewer):
                row = fewer
            start += min(run, excess)
    return row


def _loop(flat: _Flat, order: Tensor, budget: int) -> Tensor:
    row = _chosen(order, budget, flat.probe.total)
    banned = torch.zeros_like(row)
    while True:
        alive = flat.alive(row)
        dead = row & ~alive
        if not dead.any():
            return row
        # Without the ban the weight just removed would be the best one to bring back, for ever.
        banned |= dead
        free = order[~(alive | banned)[order]]
        row = alive.clone()
        row[free[: budget - int(alive.sum())]] = True


def _paths(flat: _Flat, order: Tensor) -> Tensor:
    """The union of one best path into every output that the eligible weights reach."""
    ranks = torch.zeros(flat.probe.total)
    ranks[order] = torch.arange(len(order), 0, -1, dtype=torch.float32)
    paths, widths = flat.probe.widest_paths(flat.masks(ranks))
    row = flat.row(paths)
    lost = int((widths <= 0).sum())
    if lost:
        log.warning("%d of %d outputs have no path from the input among the eligible weights", lost, len(widths))
    return flat.alive(row)


def _compact(flat: _Flat, order: Tensor, paths: Tensor) -> Tensor:
    """Fewer weights into the same outputs: one path is shared, the other outputs branch off it by one weight each."""
    probe = flat.probe
    outputs = flat.reached(paths)
    best: Tensor | None = None
    for start in outputs.nonzero().squeeze(1).tolist()[:10]:
        only = torch.zeros_like(outputs)
        only[start] = True
        row = paths & (flat.row(probe.gradient(flat.masks(paths), only)) > 0.5)
        for output in (outputs & ~flat.reached(row)).nonzero().squeeze(1).tolist():
            only = torch.zeros_like(outputs)
            only[output] = True
            could = flat.row(probe.gradient(flat.masks(row), only)) > 0.5
            branch = order[(could & ~row)[order]][:1]
            if len(branch):
                row[branch] = True
            else:
                row |= paths & (flat.row(probe.gradient(flat.masks(paths), only)) > 0.5)
        if best is None or int(row.sum()) < int(best.sum()):
            best = row
    return paths if best is None or int(best.sum()) >= int(paths.sum()) else best


def _largest(total: int, needed: int) -> float:
    ratio = total / max(1, needed)
    return math.floor(ratio) if ratio >= 10 else math.floor(ratio * 100) / 100


def _shown(ratio: float) -> str:
    return f"{math.ceil(ratio * 100) / 100:g}"


def _ratio_hint(probe: Probe, most: int) -> str:
    if most == 0:
        return "nothing is left to prune"
    return f"the smallest ratio that works is {_shown(probe.total / most)}"
