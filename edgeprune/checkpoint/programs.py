"""What torch.export saved (.pt2): the graph with its weights, read only when nothing in it would run code."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from typing import Any

import torch
from torch import nn

from ..errors import EdgepruneError

# Sizes in a saved graph are text that is evaluated on reading: numbers, symbols and sympy's functions are all it may say.
_SIZE = re.compile(r"(?:(?:[su]\d+|[A-Z][A-Za-z]*)\b|\d+|[\s+\-*/(),<>=])*")


def read_program(where: str, data: bytes, allow_pickle: bool) -> tuple[nn.Module, tuple[int, ...]]:
    """The exported graph as a module, and its input's shape without the batch axis.

    Raises EdgepruneError when the archive is damaged, has not exactly one tensor as input, or, without `allow_pickle`, when
    reading it would run code.
    """
    if not allow_pickle:
        _require_plain(where, data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(data))
            # Guards would tie the graph to the batch size it was exported with even where it fits any.
            module = program.module(check_guards=False)
    except Exception as error:  # torch raises nearly anything on what another version wrote
        first = str(error).split("\n")[0][:100].rstrip(" .")
        raise EdgepruneError(
            f"{where} cannot be read as an exported program ({type(error).__name__}: {first}); "
            f"export it again with torch.export.save of this torch, {torch.__version__}"
        ) from None
    # An exported graph has one mode, the one it was traced in; switching modes must not be an error.
    for name in ("train", "eval"):
        module.__dict__.pop(name, None)
    inputs = [node.meta.get("val") for node in module.graph.nodes if node.op == "placeholder"]  # type: ignore[union-attr, operator]
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor) or inputs[0].dim() < 2:
        raise EdgepruneError(f"{where} takes {len(inputs)} inputs; edgeprune takes networks of one tensor [batch, ...]")
    return module, tuple(int(n) for n in inputs[0].shape[1:])


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


def _require_plain(where: str, data: bytes) -> None:
    """Every pickle inside passes the safe reader, and every size is arithmetic."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise EdgepruneError(f"{where} is truncated or damaged ({error}); copy or save it again") from None
    raw: set[str] = set()
    for name, content in members.items():
        if name.endswith(".json"):
            try:
                table = json.loads(content)
            except (ValueError, RecursionError):
                raise EdgepruneError(f"{where} is damaged: {name} is no JSON; copy or save it again") from None
            _check_sizes(where, table)
            if name.endswith("_config.json"):
                entries = table.get("config", {}).values() if isinstance(table, dict) else ()
                raw |= {str(e["path_name"]) for e in entries if isinstance(e, dict) and e.get("use_pickle") is False}
    for name, content in members.items():
        if name.rpartition("/")[2] in raw or not content.startswith((b"PK", b"\x80")):
            continue
        try:
            torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception:
            raise EdgepruneError(
                f"{where} holds {name}, which would run code when read; if you trust it, pass --allow-pickle"
            ) from None


def _check_sizes(where: str, table: Any) -> None:
    pending = [table]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            text = value.get("expr_str")
            if isinstance(text, str) and not _SIZE.fullmatch(text):
                raise EdgepruneError(
                    f"{where} has the size {text[:60]!r}, which would run code when read; if you trust it, pass --allow-pickle"
                )
            pending += value.values()
        elif isinstance(value, list):
            pending += value
