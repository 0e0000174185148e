"""GraSP: keeps what the gradient flow needs after pruning (Wang, Zhang and Grosse 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .context import Context
from .gradients import Gradients, enough_samples

TEMPERATURE = 200.0


def grasp(module: nn.Module, context: Context, temperature: float = TEMPERATURE) -> dict[str, Tensor]:
    """w · Hg: removing a weight lowers the squared norm of the gradient g by about twice this. Signed. Needs labels.

    The paper removes the largest -w · Hg; these scores are their negatives, for here larger is worth more.
    """
    gradients = Gradients(module, context)
    weights = list(gradients.weights.values())
    batches = context.samples(enough_samples(context))
    samples = sum(len(y) for _, y in batches)
    halves = [half for x, y in batches for half in zip(x.chunk(2), y.chunk(2), strict=True)]

    def gradient(x: Tensor, y: Tensor, graph: bool) -> list[Tensor]:
        loss = gradients.loss(x, y, temperature) * (len(y) / samples)
        found = torch.autograd.grad(loss, weights, create_graph=graph, allow_unused=True)
        return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]

    whole = [torch.zeros_like(weight) for weight in weights]
    for x, y in halves:
        for total, part in zip(whole, gradient(x, y, graph=False), strict=True):
            total += part
    products = [torch.zeros_like(weight) for weight in weights]
    for x, y in halves:
        along = torch.stack([(g * part).sum() for g, part in zip(whole, gradient(x, y, graph=True), strict=True)]).sum()
        for total, found in zip(products, torch.autograd.grad(along, weights, allow_unused=True), strict=True):
            if found is not None:
                total += found
    return {name: (w.detach() * hg).cpu() for name, w, hg in zip(gradients.weights, weights, products, strict=True)}
