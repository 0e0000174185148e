"""Training a sparse network at the size of what is left of it.

While a network is trained under masks, a layer need only multiply the rows and columns that still hold weights. The layers are
swapped for such small ones and back; in between the parameters and masks are the small ones, the function is the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from .masks import Masks

# Below this share of rows times columns the smaller product pays for picking its inputs.
WORTH_IT = 0.5


class _Small:
    """One layer with its live rows and columns only; inputs are picked, outputs put where they belong."""

    def __init__(self, layer: nn.Linear | nn.Conv1d | nn.Conv2d, mask: Tensor, device: torch.device) -> None:
        matrix = mask.flatten(2).any(2) if mask.dim() > 2 else mask
        self.rows = matrix.any(1).nonzero().squeeze(1).to(device)
        self.columns = matrix.any(0).nonzero().squeeze(1).to(device)
        self.layer = layer
        self.whole = cast(nn.Parameter, layer.weight)
        self.axis = -1 if isinstance(layer, nn.Linear) else 1
        self.weight = nn.Parameter(self._part(self.whole.detach()), requires_grad=self.whole.requires_grad)
        self.mask = self._part(mask.to(device)).cpu()

    @staticmethod
    def pays(layer: nn.Module, mask: Tensor) -> bool:
        """Whether `layer` can be swapped, and has few enough rows and columns left to gain by it."""
        if type(layer) not in (nn.Linear, nn.Conv1d, nn.Conv2d) or "forward" in vars(layer):
            return False
        if getattr(layer, "groups", 1) != 1 or getattr(layer, "padding_mode", "zeros") != "zeros":
            return False
        matrix = mask.flatten(2).any(2) if mask.dim() > 2 else mask
        live = int(matrix.any(1).sum()) * int(matrix.any(0).sum())
        return 0 < live < WORTH_IT * matrix.numel()

    def _part(self, whole: Tensor) -> Tensor:
        return whole.index_select(0, self.rows).index_select(1, self.columns)

    def __call__(self, x: Tensor) -> Tensor:
        layer = self.layer
        picked = x.index_select(self.axis, self.columns)
        if isinstance(layer, nn.Linear):
            some = nn.functional.linear(picked, self.weight)
        else:
            some = layer._conv_forward(picked, self.weight, None)
        shape = list(some.shape)
        shape[self.axis] = self.whole.shape[0]
        out = some.new_zeros(shape).index_copy(self.axis, self.rows, some)
        if layer.bias is None:
            return out
        return out + (layer.bias if self.axis == -1 else layer.bias.view(-1, *[1] * (some.dim() - 2)))

    def enter(self) -> None:
        self.layer._parameters["weight"] = self.weight
        self.layer.forward = self  # type: ignore[method-assign, assignment]

    def leave(self) -> None:
        del self.layer.forward
        self.layer._parameters["weight"] = self.whole
        with torch.no_grad():
            rows = torch.zeros_like(self.whole.index_select(0, self.rows))
            rows.index_copy_(1, self.columns, self.weight.detach().to(rows.dtype))
            self.whole.index_copy_(0, self.rows, rows)  # the other rows are masked as a whole


@contextlib.contextmanager
def compacted(module: nn.Module, masks: Masks, sample: Tensor) -> Iterator[Masks]:
    """`module` with small layers inside the block, and the masks that hold there; written back at the end.

    `sample` is a batch for checking that the function stayed the same: a network that reads a layer's weight without calling the
    layer is left as it is.
    """
    masks.apply(module)
    owners: dict[int, int] = {}
    for layer in module.modules():
        for weight in layer._parameters.values():
            if weight is not None:
                owners[id(weight)] = owners.get(id(weight), 0) + 1
    small = {}
    for name, mask in masks.items():
        path, _, last = name.rpartition(".")
        try:
            layer = module.get_submodule(path)
        except AttributeError:
            continue
        if last == "weight" and _Small.pays(layer, mask) and owners[id(layer.weight)] == 1:
            small[name] = _Small(layer, mask, sample.device)  # type: ignore[arg-type]
    if not small or not _same_function(module, list(small.values()), sample):
        yield masks
        return
    for layer_in_small in small.values():
        layer_in_small.enter()
    try:
        yield Masks({name: small[name].mask if name in small else mask for name, mask in masks.items()})
    finally:
        for layer_in_small in small.values():
            layer_in_small.leave()


def _same_function(module: nn.Module, small: list[_Small], sample: Tensor) -> bool:
    with torch.no_grad():
        expected = module(sample)
        for layer in small:
            layer.enter()
        try:
            found = module(sample)
        except RuntimeError:
            return False
        finally:
            for layer in small:
                layer.leave()
    return bool((found - expected).abs().max() <= 1e-3 * expected.abs().max())
