"""Optimal brain compression: weights removed one by one, the rest of the row adjusted each time (Frantar and Alistarh 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...errors import EdgepruneError
from .calibration import input_moments, rows_of
from .context import Context
from .quotas import uniform_shares, whole_numbers, within_quotas

DAMP = 1e-2  # of the mean of the diagonal: inputs that are always zero would make the matrix singular
WIDEST = 2048  # columns; the work grows with their cube, for every row
ROWS = 32  # at a time


def obc(module: nn.Module, context: Context) -> dict[str, Tensor]:
    """By the order in which the optimal brain surgeon removes weights, rows of a layer merged; the same share of every layer.

    Needs calibration samples, no labels. Raises EdgepruneError for layers too wide for it.
    """
    weights = context.weights(module)
    for name, weight in weights.items():
        if weight[0].numel() > WIDEST:
            raise EdgepruneError(f"{name} has {weight[0].numel():,} inputs, too many for obc (at most {WIDEST:,}); try sparsegpt")
    moments = input_moments(module, context)
    values = {name: _values(weight, context.masks[name], moments[name]) for name, weight in weights.items()}
    shapes = {name: weight.shape for name, weight in weights.items()}
    wanted = {name: share * shapes[name].numel() for name, share in uniform_shares(shapes, context.budget).items()}
    counts = whole_numbers(wanted, {name: int(mask.sum()) for name, mask in context.masks.items()}, context.budget)
    return within_quotas(values, context.masks, counts)


def least_squares(module: nn.Module, context: Context) -> None:
    """Gives the kept weights of every row the values for which the layer's outputs change least over the calibration samples.

    It is where removing one by one arrives as well, for any set of kept weights.
    """
    moments = input_moments(module, context)
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for name, mask in context.masks.items():
        weight, groups = parameters[name].detach().cpu().double(), len(moments[name])
        kept, rows = rows_of(mask, groups), rows_of(weight, groups).clone()
        for group, moment in enumerate(moments[name]):
            matrix = damped(moment)
            aims = rows[group] @ matrix
            for row in kept[group].any(1).nonzero().squeeze(1).tolist():
                live = kept[group, row].nonzero().squeeze(1)
                rows[group, row, live] = torch.linalg.solve(matrix[live][:, live], aims[row, live])
        with torch.no_grad():
            parameters[name].copy_((rows.reshape(weight.shape) * mask).to(parameters[name].dtype))


def damped(moment: Tensor, damp: float = DAMP) -> Tensor:
    """The moments with a little more on the diagonal, so that they can be inverted."""
    mean = float(moment.diagonal().mean())
    return moment + torch.eye(len(moment), dtype=moment.dtype) * (damp * mean or 1.0)


def removals(rows: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """(which column goes at each step, what its going adds to ‖(w - w')X‖²), both [rows, d]; `inverse` is that of X Xᵀ, [d, d].

    Every step takes the cheapest weight of each row, w_p² / inverse_pp, and moves the others to make up for it.
    """
    count, d = rows.shape
    w, h = rows.clone(), inverse.expand(count, d, d).clone()
    gone = torch.zeros(count, d, dtype=torch.bool)
    order, added = torch.empty(count, d, dtype=torch.int64), torch.empty(count, d, dtype=rows.dtype)
    each, left = torch.arange(count), torch.arange(d).expand(count, d)
    for step in range(d):
        diagonal = h.diagonal(dim1=1, dim2=2)
        cost = (w.square() / diagonal).masked_fill(gone, torch.inf)
        p = cost.argmin(1)
        order[:, step], added[:, step] = left[each, p], cost[each, p]
        column, pivot = h[each, :, p], diagonal[each, p].clone()
        w = w - column * (w[each, p] / pivot)[:, None]
        h.baddbmm_(column[:, :, None], column[:, None, :] / -pivot[:, None, None])
        gone[each, p] = True
        h[each, p, p] = 1.0  # its row and column are zero now
        if (step + 1) % 64 == 0 and step + 1 < d:
            stay = (~gone).nonzero()[:, 1].view(count, -1)
            w, left = w.gather(1, stay), left.gather(1, stay)
            h = h[each[:, None, None], stay[:, :, None], stay[:, None, :]]
            gone = torch.zeros_like(stay, dtype=torch.bool)
    return order, added


def _values(weight: Tensor, mask: Tensor, moments: Tensor) -> Tensor:
    """A place for every weight, larger for what goes later; rows of one layer are merged by what their next removal costs."""
    result = torch.zeros(weight.shape, dtype=torch.float64)
    matrices, places = rows_of(weight.double() * mask, len(moments)), rows_of(result, len(moments))
    order, added = torch.empty(matrices.shape, dtype=torch.int64), torch.empty(matrices.shape, dtype=torch.float64)
    for group, moment in enumerate(moments):
        inverse = torch.linalg.inv(damped(moment))
        for start in range(0, matrices.shape[1], ROWS):
            part = slice(start, start + ROWS)
            order[group, part], added[group, part] = removals(matrices[group, part], inverse)
    # A row's next removal waits for its turn: what comes after a dear one cannot go before it.
    turns = added.cummax(2).values
    steps_first = turns.permute(2, 0, 1).reshape(-1).sort(stable=True).indices
    rank = torch.empty(len(steps_first), dtype=torch.float64)
    rank[steps_first] = torch.arange(1, len(steps_first) + 1, dtype=torch.float64)
    places.scatter_(2, order, rank.view(turns.shape[2], *turns.shape[:2]).permute(1, 2, 0))
    return result
