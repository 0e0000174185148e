"""Which weights exist, and how the missing ones stay missing while the rest is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import EdgepruneError

# The projections of torch's attention are linear maps that are not modules of their own.
ATTENTION_WEIGHTS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
LINEAR_CALLS = ("aten.linear", "aten.conv")


def prunable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that may be pruned, by parameter name: those of every convolution and linear layer, each tensor once.

    Biases, normalisation and embeddings are not among them. A module made by torch.export has no layers any more; there
    the weights are those that its graph hands to a convolution or a linear call. One that torch.fx traced has both.
    Raises EdgepruneError for a weight that is computed from others (weight norm and its like).
    """
    graph = getattr(module, "graph", None)
    found = {name for name, _ in _layer_weights(module)}
    if isinstance(graph, torch.fx.Graph):
        found |= _called_with(graph)
    named = [(name, weight) for name, weight in module.named_parameters(remove_duplicate=False) if name in found]
    seen: set[int] = set()
    weights = {}
    for name, weight in named:
        if id(weight) not in seen:
            seen.add(id(weight))
            weights[name] = weight
    return weights


def _layer_weights(module: nn.Module) -> Iterable[tuple[str, nn.Parameter]]:
    for path, layer in module.named_modules():
        prefix = path + "." if path else ""
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
            weight = layer._parameters.get("weight")
            if weight is None or parametrize.is_parametrized(layer, "weight"):
                raise EdgepruneError(
                    f"{path or type(layer).__name__}: its weight is computed from other parameters; "
                    "make it plain first (torch.nn.utils.parametrize.remove_parametrizations)"
                )
            yield prefix + "weight", weight
        elif isinstance(layer, nn.MultiheadAttention):
            for name in ATTENTION_WEIGHTS:
                weight = layer._parameters.get(name)
                if weight is not None:
                    yield prefix + name, weight


def _called_with(graph: torch.fx.Graph) -> set[str]:
    found = set()
    for node in graph.nodes:
        if node.op == "call_function" and str(node.target).startswith(LINEAR_CALLS):
            weight = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
            if isinstance(weight, torch.fx.Node) and weight.op == "get_attr":
                found.add(str(weight.target))
    return found


@dataclass(frozen=True)
class _Zeroed:
    dropped: Tensor

    def __call__(self, gradient: Tensor) -> Tensor:
        return gradient.masked_fill(self.dropped, 0.0)


@dataclass(frozen=True)
class Silence:
    """Hooks on the gradients of several weights."""

    handles: Sequence[torch.utils.hooks.RemovableHandle]

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


class Masks(dict[str, Tensor]):
    """For each prunable weight a bool tensor of its shape: True where the weight exists."""

    @classmethod
    def of(cls, masks: Mapping[str, Tensor]) -> Masks:
        return cls({name: mask.bool() for name, mask in masks.items()})

    @classmethod
    def full(cls, weights: Mapping[str, Tensor]) -> Masks:
        return cls({name: torch.ones(weight.shape, dtype=torch.bool) for name, weight in weights.items()})

    @property
    def kept(self) -> int:
        return sum(int(mask.sum()) for mask in self.values())

    @property
    def total(self) -> int:
        return sum(mask.numel() for mask in self.values())

    def same(self, other: Mapping[str, Tensor]) -> bool:
        return self.keys() == other.keys() and all(torch.equal(mask, other[name]) for name, mask in self.items())

    def apply(self, module: nn.Module) -> None:
        """Sets the masked weights of `module` to zero. Raises EdgepruneError where names or shapes do not fit."""
        for weight, dropped in self._dropped(module):
            weight.data.masked_fill_(dropped, 0.0)

    def hold(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> torch.utils.hooks.RemovableHandle:
        """From now on every step of `optimizer` leaves the masked weights of `module` at exactly zero.

        The optimizer's memory of a masked weight (momentum, Adam moments) is zeroed as well: a stored velocity would move
        the weight without any gradient. Nothing is added to the state dict; `remove()` on the result ends it.
        """
        held = self._dropped(module)

        def after_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            with torch.no_grad():
                for weight, dropped in held:
                    weight.masked_fill_(dropped, 0.0)
                    for memory in optimizer.state.get(weight, {}).values():
                        if isinstance(memory, Tensor) and memory.shape == weight.shape:
                            memory.masked_fill_(dropped, 0.0)

        self.apply(module)
        return optimizer.register_step_post_hook(after_step)

    def silence(self, module: nn.Module) -> Silence:
        """From now on the gradients of masked weights are zero, so that they do not count in its norm; `remove()` ends it."""
        hooks = [weight.register_hook(_Zeroed(dropped)) for weight, dropped in self._dropped(module)]  # type: ignore[no-untyped-call]
        return Silence(hooks)

    def _dropped(self, module: nn.Module) -> list[tuple[nn.Parameter, Tensor]]:
        parameters = dict(module.named_parameters(remove_duplicate=False))
        held = []
        for name, mask in self.items():
            weight = parameters.get(name)
            if weight is None or weight.shape != mask.shape:
                found = "no such weight" if weight is None else f"its shape is {tuple(weight.shape)}"
                raise EdgepruneError(
                    f"the mask of {name} has shape {tuple(mask.shape)}, but in the network there is "
                    f"{found}; masks and network must come from the same checkpoint"
                )
            held.append((weight, (~mask).to(weight.device)))
        return held
