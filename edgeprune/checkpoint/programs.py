"""What torch.export saved (.pt2): the graph with its weights, read only when nothing in it would run code."""

from __future__ import annotations

import inspect
import io
import logging
import re
import warnings

import torch
from torch import nn

from ..errors import EdgepruneError
from ..plain_programs import require_plain

log = logging.getLogger("edgeprune")


def read_program(where: str, data: bytes, allow_pickle: bool) -> tuple[nn.Module, tuple[int, ...]]:
    """The exported graph as a module, and its input's shape without the batch axis.

    Raises EdgepruneError when the archive is damaged, has not exactly one tensor as input, or, without `allow_pickle`, when
    reading it would run code.
    """
    if not allow_pickle:
        require_plain(where, data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(data))
            # Guards would tie the graph to the batch size it was exported with even where it fits any.
            unguarded = {"check_guards": False} if "check_guards" in inspect.signature(program.module).parameters else {}
            module = program.module(**unguarded)
    except Exception as error:  # torch raises nearly anything on what another version wrote
        first = str(error).split("\n")[0][:100].rstrip(" .")
        raise EdgepruneError(
            f"{where} cannot be read as an exported program ({type(error).__name__}: {first}); "
            f"export it again with torch.export.save of this torch, {torch.__version__}"
        ) from None
    # An exported graph has one mode, the one it was traced in; switching modes must not be an error.
    for name in ("train", "eval"):
        module.__dict__.pop(name, None)
    nodes = list(module.graph.nodes)  # type: ignore[union-attr, arg-type]
    if any(_trains(node) for node in nodes):
        raise EdgepruneError(f"{where} was exported in training mode; call module.eval() and export it again")
    inputs = [node.meta.get("val") for node in nodes if node.op == "placeholder"]
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor) or inputs[0].dim() < 2:
        raise EdgepruneError(f"{where} takes {len(inputs)} inputs; edgeprune takes networks of one tensor [batch, ...]")
    shape = tuple(inputs[0].shape[1:])
    if not all(isinstance(n, int) for n in shape):
        return module, ()  # sizes that the program leaves open are for the user to say
    if not _takes_batches(module, shape):
        log.warning(
            "%s runs on the batch size of its export only; to train it or measure accuracy, export it with a dynamic batch "
            "(dynamic_shapes of torch.export.export)",
            where,
        )
    return module, shape


def program_bytes(module: nn.Module, example_inputs: tuple[torch.Tensor, ...]) -> bytes:
    """The module as torch.export saves it, any batch size where the graph allows one."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            doubled = tuple(torch.cat([x, x]) for x in example_inputs)
            batch = tuple({0: torch.export.Dim("batch")} for _ in example_inputs)
            program = torch.export.export(module, doubled, dynamic_shapes=batch)
        except Exception:  # the graph holds its batch size as a number
            program = torch.export.export(module, example_inputs)
        torch.export.save(program, buffer)
    return buffer.getvalue()


def _trains(node: torch.fx.Node) -> bool:
    """Whether the node behaves as in training: a dropout that drops, a batch norm that counts."""
    name = str(node.target)
    at = 5 if name.startswith("aten.batch_norm") else 2 if re.match(r"aten\.\w*dropout", name) else None
    return at is not None and len(node.args) > at and node.args[at] is True


def _takes_batches(module: nn.Module, shape: tuple[int, ...]) -> bool:
    try:
        with torch.no_grad():
            return all(len(module(torch.zeros(n, *shape))) == n for n in (1, 3))
    except Exception:  # whatever the graph raises: it does not take them
        return False
