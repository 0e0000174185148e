"""Which connections carry signal: the structural probe over a network's exported graph."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import EdgepruneError, Unsupported
from . import layers, products  # noqa: F401  they fill the table of meanings
from .masks import Masks, prunable
from .neutral import PLAIN, Call, Edges, Signal, meaning, moved
from .semiring import Counting, Flowing, Semiring, Widest
from .threads import Work, threads_for


class Probe:
    """Follows signals through `module`; `example_inputs` are one call's arguments (their values do not matter).

    A connection carries signal (is alive) when it lies on a path from an input to an output all of whose weights are kept.
    `names` are the prunable weights that the exported graph applies to a signal, with their shapes in `shapes`; layers
    that only training uses, or that only make constants, are not among them. The module is neither changed nor kept in step:
    only shapes and constants are read, so one probe serves a whole pruning run.
    Raises Unsupported, naming layer and operation, where the graph does something this probe does not know.
    """

    def __init__(self, module: nn.Module, example_inputs: Sequence[Any]) -> None:
        self._program = _exported(module, tuple(example_inputs))
        weights = prunable(module)
        name_of = {id(weight): name for name, weight in weights.items()}
        signature = self._program.graph_signature
        self._sources: dict[str, Any] = {}
        self._learned: set[str] = set()
        self._targets: dict[str, str] = {}
        for spec in signature.input_specs:
            name = spec.arg.name
            if spec.target is None:
                continue
            self._targets[name] = spec.target
            value = _looked_up(module, self._program, spec.target)
            if id(value) in name_of:
                self._sources[name] = Edges(name_of[id(value)], value.detach(), value.detach())
            else:
                self._sources[name] = value.detach().cpu().clone() if isinstance(value, Tensor) else value
                if isinstance(value, nn.Parameter):
                    self._learned.add(name)
        self._inputs = list(pytree.tree_leaves(example_inputs))
        self._constants: dict[str, Any] = {}
        self._used: set[str] = set()
        every = {name: torch.ones(weight.shape) for name, weight in weights.items()}
        with torch.no_grad(), Work() as work:
            self._outputs_of(self._walk(Counting(), every, first=True))
        self._work = work.multiply_adds
        self.names = [name for name in weights if name in self._used]
        self.shapes = {name: weights[name].shape for name in self.names}
        if not self.names:
            raise EdgepruneError("the network has no convolution or linear weight between its input and its output")

    def threads(self) -> contextlib.AbstractContextManager[None]:
        """As many threads inside as a walk through this network is worth."""
        return threads_for(self._work)

    @property
    def total(self) -> int:
        """How many weights could be pruned."""
        return sum(shape.numel() for shape in self.shapes.values())

    @property
    def nodes(self) -> list[torch.fx.Node]:
        """The network's exported graph, in order."""
        return list(self._program.graph.nodes)

    def stored(self, node: torch.fx.Node) -> str | None:
        """The name of the parameter, buffer or constant that `node` brings into the graph; None for any other node."""
        return self._targets.get(node.name)

    def weight(self, node: torch.fx.Node) -> str | None:
        """The name of the prunable weight that `node` brings into the graph; None for any other node."""
        source = self._sources.get(node.name)
        return source.name if isinstance(source, Edges) else None

    def full(self) -> Masks:
        """Masks that keep every weight."""
        return Masks({name: torch.ones(shape, dtype=torch.bool) for name, shape in self.shapes.items()})

    def gradient(self, masks: Mapping[str, Tensor], outputs: Tensor | None = None) -> dict[str, Tensor]:
        """Per weight, positive exactly where it carries signal, or would if a masked one alone were brought back.

        `outputs` (bool, one per output) asks for the signal into these outputs only.
        """
        leaves = self._leaves({name: masks[name].float() for name in self.names})
        with self.threads():
            reached = self._outputs_of(self._walk(Counting(), leaves))
            wanted = reached if outputs is None else reached[outputs]
            wanted.sum().backward()  # type: ignore[no-untyped-call]
        return {name: _gradient_of(leaf) for name, leaf in leaves.items()}

    def alive(self, masks: Mapping[str, Tensor]) -> Masks:
        """The kept weights that carry signal."""
        return Masks({name: masks[name] & (g > 0.5) for name, g in self.gradient(masks).items()})

    def outputs_reached(self, masks: Mapping[str, Tensor]) -> Tensor:
        """Per output (class, channel) whether any path from the input arrives; bool."""
        with torch.no_grad():
            return self._outputs_of(self._walk(Counting(), {name: masks[name].float() for name in self.names})) > 0

    def flow(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Per weight, how much flows through it (float64) when ones enter and absolute weights multiply and add up.

        Every layer that all of the signal passes carries the same sum. Positive exactly where a nonzero weight is alive, if
        nothing overflows.
        """
        leaves = self._leaves({name: weights[name].detach().cpu().double().abs() for name in self.names})
        with self.threads():
            values = self._walk(Flowing(), leaves)
            total = torch.stack([value.value.sum() for value in values if isinstance(value, Signal)]).sum()
            total.backward()  # type: ignore[no-untyped-call]
        return {name: _gradient_of(leaf) * leaf.detach() for name, leaf in leaves.items()}

    def widest_paths(self, ranks: Mapping[str, Tensor]) -> tuple[Masks, Tensor]:
        """(the weights on one best path into each output, the rank of the weakest weight on each path).

        `ranks` is positive, larger for better weights, and zero for weights that may not be used. An output whose number is
        zero has no such path.
        """
        leaves = self._leaves({name: ranks[name].float() for name in self.names})
        widths = self._outputs_of(self._walk(Widest(), leaves))
        widths[(widths > 0) & widths.isfinite()].sum().backward()  # type: ignore[no-untyped-call]
        return Masks({name: _gradient_of(leaf) > 0 for name, leaf in leaves.items()}), widths.detach()

    def _leaves(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.detach().clone().requires_grad_() for name, value in values.items()}

    def _outputs_of(self, values: list[Any]) -> Tensor:
        """One number per output: the channels of every returned signal, whatever their places."""
        rows = []
        for value in values:
            if isinstance(value, Signal):
                x = value.value
                axis = 1 if x.dim() not in (1, 3) else -1  # maps are [batch, channel, ...], sequences [batch, place, channel]
                x = x.movedim(axis, 0).reshape(x.shape[axis], -1)
                rows.append(x.max(1).values)
        if not rows:
            raise EdgepruneError("no output of the network depends on its input")
        return torch.cat(rows)

    def _walk(self, semiring: Semiring, weights: Mapping[str, Tensor], first: bool = False) -> list[Any]:
        values: dict[str, Any] = {}
        inputs = iter(self._inputs)
        for node in self._program.graph.nodes:
            if node.op == "placeholder":
                values[node.name] = self._entering(node.name, semiring, weights, inputs)
            elif node.op == "output":
                return [values[n.name] if isinstance(n, torch.fx.Node) else n for n in pytree.tree_leaves(node.args[0])]
            elif node.name in self._constants:
                values[node.name] = self._constants[node.name]
            else:
                values[node.name] = self._step(node, semiring, values, first)
        raise AssertionError("an exported graph ends with its output")

    def _entering(self, name: str, semiring: Semiring, weights: Mapping[str, Tensor], inputs: Any) -> Any:
        if name not in self._sources:
            given = next(inputs)
            return Signal(torch.full(given.shape, semiring.source, dtype=semiring.dtype)) if isinstance(given, Tensor) else given
        source = self._sources[name]
        if isinstance(source, Edges):
            return Edges(source.name, weights[source.name], source.parameter) if source.name in weights else source.parameter
        return source

    def _step(self, node: torch.fx.Node, semiring: Semiring, values: dict[str, Any], first: bool) -> Any:
        args: Any = torch.fx.node.map_arg(node.args, lambda n: values[n.name])
        kwargs: Any = torch.fx.node.map_arg(node.kwargs, lambda n: values[n.name])
        if node.target in PLAIN:
            return PLAIN[node.target](*args)
        leaves = pytree.tree_leaves((args, kwargs), is_leaf=lambda v: isinstance(v, (Signal, Edges)))
        live = any(isinstance(leaf, Signal) for leaf in leaves)
        edges = [leaf.name for leaf in leaves if isinstance(leaf, Edges)]
        schema: Any = getattr(node.target, "_schema", None)
        means = meaning(schema.name) if schema is not None else None
        if not live and (not edges or means is not moved):
            # Also weights that meet only constants make a constant: a table, not a connection.
            return self._constant(node, args, kwargs, bool(edges), first)
        if means is None:
            raise Unsupported(
                f"{_layer(node)}: how a signal passes {node.target} is not known; teach it in edgeprune/pruning/neutral.py"
            )
        if live:
            self._used.update(edges)
        given = dict(zip((a.name for a in schema.arguments), args, strict=False))
        value = means(
            Call(
                target=node.target,
                args={a.name: given.get(a.name, kwargs.get(a.name, a.default_value)) for a in schema.arguments},
                positions=[a.name for a in schema.arguments if not a.kwarg_only],
                semiring=semiring,
                learned=any(n.name in self._learned for n in node.all_input_nodes),
                layer=_layer(node),
            )
        )
        if schema.name.endswith("_") and node.args and isinstance(node.args[0], torch.fx.Node):
            values[node.args[0].name] = value  # changed in place: later readers of the old name see the new value
        return value

    def _constant(self, node: torch.fx.Node, args: Any, kwargs: Any, of_weights: bool, first: bool) -> Any:
        args, kwargs = pytree.tree_map_only(Edges, lambda e: e.parameter, (args, kwargs), is_leaf=lambda v: isinstance(v, Edges))
        if of_weights or any(n.name in self._learned for n in node.all_input_nodes):
            self._learned.add(node.name)
        value = cast(Any, node.target)(*args, **kwargs)
        if first:
            self._constants[node.name] = value
        return value


def _gradient_of(leaf: Tensor) -> Tensor:
    return leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)


def _layer(node: torch.fx.Node) -> str:
    """The user's layer that a node comes from."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return (stack[-1][0] if stack else "") or node.name


def _exported(module: nn.Module, example_inputs: tuple[Any, ...]) -> torch.export.ExportedProgram:
    was_training = [part for part in module.modules() if part.training]
    for part in was_training:
        part.training = False
    try:
        return torch.export.export(module, example_inputs, strict=False)
    except EdgepruneError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise Unsupported(
            f"torch.export cannot follow the network's forward: {reason[0]}; make its control flow static"
        ) from error
    finally:
        for part in was_training:
            part.training = True


def _looked_up(module: nn.Module, program: torch.export.ExportedProgram, target: str) -> Any:
    path, _, name = target.rpartition(".")
    try:
        return getattr(module.get_submodule(path), name)
    except AttributeError:
        return program.state_dict[target] if target in program.state_dict else program.constants[target]
