"""Training a sparse network at the size of what is left of it.

While a network is trained under masks, a layer need only multiply the rows and columns that still hold weights. Layers are
swapped for such small ones and back; in between the parameters and masks are the small ones, the function is the same. Where a
chain of layers hands its channels on, those that nothing reads are left out of all that lies between: norms, activations, pools.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .chains import Chain, chains
from .flow import Probe
from .masks import Masks
from .trial import Incomparable, answers

# Below this share of rows times columns the smaller product pays for picking its inputs.
WORTH_IT = 0.5
# Kernels work on so many channels at once: a few dead ones more cost nothing.
TOGETHER = 8


class _Swapped:
    """A parameter or buffer of which only some rows, and of these only some columns, are in its module."""

    def __init__(self, layer: nn.Module, name: str, rows: Tensor, columns: Tensor | None = None) -> None:
        self.slot = cast(dict[str, Tensor], layer._parameters if name in layer._parameters else layer._buffers)
        self.name, self.whole = name, self.slot[name]
        self.index = (rows,) if columns is None else (rows[:, None], columns)
        part = self.whole.detach()[self.index]
        self.small = nn.Parameter(part, self.whole.requires_grad) if isinstance(self.whole, nn.Parameter) else part

    def enter(self) -> None:
        self.slot[self.name] = self.small

    def leave(self) -> None:
        self.small = self.slot[self.name]  # a buffer that moved to another device is another tensor
        self.slot[self.name] = self.whole
        with torch.no_grad():
            self.whole[self.index] = self.small.detach().to(self.whole)  # what is not in the index is masked, or never read


class _Small:
    """One layer with its live rows and columns only.

    `arriving` and `leaving` are the inputs and outputs that there are, in a chain; elsewhere inputs are picked, and outputs put
    where they belong, if that pays.
    """

    def __init__(
        self, layer: nn.Linear | nn.Conv1d | nn.Conv2d, mask: Tensor, arriving: Tensor | None, leaving: Tensor | None
    ) -> None:
        matrix = mask.flatten(2).any(2) if mask.dim() > 2 else mask
        every_row, every_column = torch.arange(matrix.shape[0]), torch.arange(matrix.shape[1])
        there = (every_row if leaving is None else leaving), (every_column if arriving is None else arriving)
        live = (matrix.any(1).nonzero().squeeze(1) if leaving is None else leaving), matrix.any(0).nonzero().squeeze(1)
        pays = 0 < len(live[0]) * len(live[1]) < WORTH_IT * len(there[0]) * len(there[1])
        rows, columns = live if pays else there
        self.smaller = len(rows) < len(every_row) or len(columns) < len(every_column)
        self.layer, self.outputs, self.axis = layer, len(every_row), -1 if isinstance(layer, nn.Linear) else 1
        self.picked = torch.searchsorted(there[1], columns) if len(columns) < len(there[1]) else None
        self.put = rows if leaving is None and len(rows) < len(every_row) else None
        device = layer.weight.device
        self.swapped = [_Swapped(layer, "weight", rows.to(device), columns.to(device))]
        if leaving is not None and layer.bias is not None:
            self.swapped.append(_Swapped(layer, "bias", rows.to(device)))
        self.mask = mask[rows][:, columns]

    def __call__(self, x: Tensor) -> Tensor:
        layer = self.layer
        if self.picked is not None:
            picked = self.picked.to(x.device)
            x = _over_channels(x, self.axis, lambda values, axis: values.index_select(axis, picked))
        bias = layer.bias if self.put is None else None
        if isinstance(layer, nn.Linear):
            some = nn.functional.linear(x, layer.weight, bias)
        else:
            some = layer._conv_forward(x, layer.weight, bias)
        if self.put is None:
            return some
        out = _over_channels(some, self.axis, self._whole_width)
        if layer.bias is None:
            return out
        return out + (layer.bias if self.axis == -1 else layer.bias.view(-1, *[1] * (some.dim() - 2)))

    def _whole_width(self, some: Tensor, axis: int) -> Tensor:
        shape = list(some.shape)
        shape[axis] = self.outputs
        return some.new_zeros(shape).index_copy(axis, cast(Tensor, self.put).to(some.device), some)

    def enter(self) -> None:
        for swapped in self.swapped:
            swapped.enter()
        if self.picked is not None or self.put is not None:
            self.layer.forward = self  # type: ignore[method-assign, assignment]

    def leave(self) -> None:
        vars(self.layer).pop("forward", None)
        for swapped in self.swapped:
            swapped.leave()


def _over_channels(maps: Tensor, axis: int, change: Callable[[Tensor, int], Tensor]) -> Tensor:
    """`change` at the axis of the channels; maps that have it last in memory keep it there."""
    if maps.dim() == 4 and axis == 1 and maps.is_contiguous(memory_format=torch.channels_last):
        return change(maps.movedim(1, -1), -1).movedim(-1, 1)
    return change(maps, axis)


class _SmallNorm:
    """A batch norm of the channels that are there."""

    def __init__(self, norm: nn.Module, channels: Tensor) -> None:
        names = ("weight", "bias", "running_mean", "running_var")
        self.swapped = [_Swapped(norm, name, channels.to(t.device)) for name in names if (t := getattr(norm, name)) is not None]

    def enter(self) -> None:
        for swapped in self.swapped:
            swapped.enter()

    def leave(self) -> None:
        for swapped in self.swapped:
            swapped.leave()


@contextlib.contextmanager
def compacted(module: nn.Module, masks: Masks, sample: Tensor, probe: Probe | None = None) -> Iterator[Masks]:
    """`module` with small layers inside the block, and the masks that hold there; written back at the end.

    `probe`, of this network, tells which channels may be missing between layers. `sample` is a batch for checking that the
    function stayed the same: a network that reads a layer's weight without calling the layer is left as it is.
    """
    masks.apply(module)
    layers = _layers(module, masks)
    known = chains(probe) if probe is not None else []
    # Code may have the number of channels written in it, most often where maps become rows.
    attempts = [known, [chain for chain in known if not chain.flattened], []]
    tried: list[list[Chain]] = []
    for attempt in attempts:
        if attempt in tried:
            continue
        tried.append(attempt)
        small, norms = _smaller(module, layers, masks, attempt)
        parts: list[_Small | _SmallNorm] = [*small.values(), *norms]
        if parts and _same_function(module, parts, sample):
            break
    else:
        yield masks
        return
    for part in parts:
        part.enter()
    try:
        yield Masks({name: small[name].mask if name in small else mask for name, mask in masks.items()})
    finally:
        for part in parts:
            part.leave()


def _layers(module: nn.Module, masks: Masks) -> dict[str, nn.Module]:
    """The layers that can be swapped, by their weight's name: plain ones that own their weights alone."""
    owners: dict[int, int] = {}
    for layer in module.modules():
        for weight in layer._parameters.values():
            if weight is not None:
                owners[id(weight)] = owners.get(id(weight), 0) + 1
    found = {}
    for name in masks:
        path, _, last = name.rpartition(".")
        try:
            layer = module.get_submodule(path)
        except AttributeError:
            continue
        plain = type(layer) in (nn.Linear, nn.Conv1d, nn.Conv2d) and "forward" not in vars(layer)
        plain &= getattr(layer, "groups", 1) == 1 and getattr(layer, "padding_mode", "zeros") == "zeros"
        if plain and last == "weight" and all(owners[id(p)] == 1 for p in layer.parameters(recurse=False)):
            found[name] = layer
    return found


def _smaller(
    module: nn.Module, layers: Mapping[str, nn.Module], masks: Masks, known: Sequence[Chain]
) -> tuple[dict[str, _Small], list[_SmallNorm]]:
    arriving: dict[str, Tensor] = {}
    leaving: dict[str, Tensor] = {}
    norms = []
    for chain in known:
        readers = chain.readers
        passed = {path: module.get_submodule(path) for path in chain.norms}
        usual = all(type(n) in (nn.BatchNorm1d, nn.BatchNorm2d) and "forward" not in vars(n) for n in passed.values())
        if not usual or not all(name in layers for name in (chain.maker, *readers)):
            continue
        kept = _kept(chain, masks)
        if not 0 < len(kept) < len(masks[chain.maker]):
            continue
        leaving[chain.maker] = kept
        arriving |= {name: _spread(kept, each) for name, each in readers.items()}
        norms += [_SmallNorm(norm, _spread(kept, chain.norms[path])) for path, norm in passed.items()]
    small = {name: _Small(layer, masks[name], arriving.get(name), leaving.get(name)) for name, layer in layers.items()}  # type: ignore[arg-type]
    return {name: layer for name, layer in small.items() if layer.smaller}, norms


def _kept(chain: Chain, masks: Masks) -> Tensor:
    """The channels of a chain that hold a weight of a layer before or behind them, and some more to make the number even."""
    live = masks[chain.maker].flatten(1).any(1)
    for name, each in chain.readers.items():
        live = live | masks[name].transpose(0, 1).flatten(1).any(1).view(-1, each).any(1)
    missing = -int(live.sum()) % TOGETHER
    if live.any() and missing:
        live[(~live).nonzero().squeeze(1)[:missing]] = True
    return live.nonzero().squeeze(1)


def _spread(channels: Tensor, each: int) -> Tensor:
    return (channels[:, None] * each + torch.arange(each)).reshape(-1)


def _same_function(module: nn.Module, parts: Sequence[_Small | _SmallNorm], sample: Tensor) -> bool:
    """Whether the network does with `parts` what it does without, in use and in training."""
    expected = answers(module, sample)
    for part in parts:
        part.enter()
    try:
        found = answers(module, sample)
    except Incomparable:  # its own code may count on all channels
        return False
    finally:
        for part in parts:
            part.leave()
    return len(found) == len(expected) and all(
        a.shape == b.shape and bool((a - b).abs().max() <= 1e-3 * b.abs().max()) for a, b in zip(found, expected, strict=True)
    )
