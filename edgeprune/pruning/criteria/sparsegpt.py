"""SparseGPT: one pass over a layer's columns; those to the right make up for what goes (Frantar and Alistarh 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..masks import Masks
from .calibration import input_moments, rows_of
from .context import Context
from .obc import damped
from .quotas import uniform_shares, within_quotas

BLOCK = 128


def sparsegpt(module: nn.Module, context: Context) -> dict[str, Tensor]:
    """w² over the squared Cholesky diagonal of the inverse input moments, chosen in blocks of 128 columns.

    The same share of every block. Needs calibration samples, no labels.
    """
    weights, moments = context.weights(module), input_moments(module, context)
    share = uniform_shares({name: weight.shape for name, weight in weights.items()}, context.budget)
    scores = {}
    for name, weight in weights.items():
        groups = len(moments[name])
        rows, allowed = rows_of(weight.double(), groups), rows_of(context.masks[name], groups)
        scores[name] = torch.stack(
            [swept(*each, share=share[name])[1] for each in zip(rows, moments[name], allowed, strict=True)]
        ).view(weight.shape)
    blocks, masks = _in_blocks(scores), _in_blocks(context.masks)
    counts = {key: share[key.rpartition("/")[0]] * part.numel() for key, part in blocks.items()}
    ranked = within_quotas(blocks, Masks(masks), counts)
    return {
        name: torch.cat([ranked[key] for key in blocks if key.rpartition("/")[0] == name], 1).view(weight.shape)
        for name, weight in weights.items()
    }


def _in_blocks(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every layer's blocks of columns, as `name/number`."""
    return {
        f"{name}/{i}": part for name, value in values.items() for i, part in enumerate(torch.split(value.flatten(1), BLOCK, 1))
    }


def compensated(module: nn.Module, context: Context) -> None:
    """The same pass with the kept weights given: every column is cleared of what goes, and those to its right take it over."""
    moments = input_moments(module, context)
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for name, mask in context.masks.items():
        groups = len(moments[name])
        rows = rows_of(parameters[name].detach().cpu().double(), groups)
        new = [swept(*each, choose=False)[0] for each in zip(rows, moments[name], rows_of(mask, groups), strict=True)]
        with torch.no_grad():
            parameters[name].copy_(torch.stack(new).view(mask.shape).to(parameters[name].dtype))


def swept(rows: Tensor, moment: Tensor, allowed: Tensor, share: float = 1.0, choose: bool = True) -> tuple[Tensor, Tensor]:
    """(the weights after the pass, what each was worth when its block came up), both [rows, d].

    With `choose` the best `share` of the weights of each block stay; otherwise all `allowed` ones do.
    """
    w = rows * allowed if choose else rows.clone()
    inverse = torch.linalg.inv(damped(moment))
    upper = torch.linalg.cholesky((inverse + inverse.t()) / 2, upper=True)
    worth = torch.zeros_like(w)
    for start in range(0, w.shape[1], BLOCK):
        end = min(start + BLOCK, w.shape[1])
        inside = upper[start:end, start:end]
        worth[:, start:end] = (w[:, start:end] / inside.diagonal()).square()
        keep = allowed[:, start:end]
        if choose:
            keep = torch.zeros_like(keep)
            best = (
                worth[:, start:end].masked_fill(~allowed[:, start:end], -1).reshape(-1).sort(descending=True, stable=True).indices
            )
            keep.view(-1)[best[: round(share * keep.numel())]] = True
            keep &= allowed[:, start:end]
        errors = torch.zeros_like(w[:, start:end])
        for i in range(end - start):
            errors[:, i] = w[:, start + i] * ~keep[:, i] / inside[i, i]
            w[:, start + i : end] -= errors[:, i : i + 1] * inside[i, i:]
        w[:, start:end] *= keep
        w[:, end:] -= errors @ upper[start:end, end:]
    return w, worth
