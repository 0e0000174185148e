"""Tells whether reading and running a .pt2 archive can only compute: torch.export.load itself would run what a file names.

A saved graph holds pickles, sizes that are evaluated as text, operations that are looked up anywhere below `torch`, and
containers that are imported by name. Each is held against a list of what an exported network needs; all else is refused.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

import torch

from .errors import EdgepruneError

# A size: numbers, symbols such as s77, sympy's classes, and the assumptions about a symbol.
_SIZE = re.compile(r"(?:'[a-z]+\d+'|\b[a-z_]+(?==)|\b[a-z]{1,3}\d+\b|\b[A-Z][A-Za-z]*\b|\b\d+\b|[\s+\-*/(),<>=])*")
_TARGET = re.compile(
    r"torch\.ops\.(?:aten|prims|torchvision)\.\w+\.\w+|torch\.sym_[a-z]+|math\.[a-z0-9]+"
    r"|torch\.ops\.higher_order\.wrap_with_(?:set_grad_enabled|autocast)"
    r"|_operator\.(?:add|sub|mul|floordiv|truediv|mod|pow|neg|getitem|eq|ne|lt|le|gt|ge|and_|or_|not_)"
)
_CONTAINERS = {None, "builtins.tuple", "builtins.list", "builtins.dict"}
_TEXTS = {
    "archive_format",
    "archive_version",
    "version",
    "byteorder",
    "serialization_id",
    ".format_version",
    ".storage_alignment",
}
_RAW = re.compile(r"(?:weight|tensor)_\d+")


def require_plain(where: str, data: bytes, remedy: str = "pass --allow-pickle") -> None:
    """EdgepruneError naming what in the archive could run code and, for whoever trusts it, the remedy; or that it is damaged."""
    try:
        _check(where, data)
    except _Suspect as suspect:
        raise EdgepruneError(f"{where} holds {suspect}, which could run code when read; if you trust it, {remedy}") from None


class _Suspect(Exception):
    """What an archive holds that could run code."""


def _check(where: str, data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if len(names) != len(set(names)):
                raise EdgepruneError(f"{where} holds a file twice; copy or save it again")
            members = {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise EdgepruneError(f"{where} is truncated or damaged ({error}); copy or save it again") from None
    raw: set[str] = set()
    pickled: set[str] = set()
    for name, content in members.items():
        if name.endswith(".json"):
            try:
                table = json.loads(content)
            except (ValueError, RecursionError):
                raise EdgepruneError(f"{where} is damaged: {name} is no JSON; copy or save it again") from None
            _check_table(table)
            if name.endswith("_config.json"):
                folder = name.rpartition("/")[0]
                for path, is_pickle in _payloads(table):
                    (pickled if is_pickle else raw).add(f"{folder}/{path}")
    for name, content in members.items():
        last = name.rpartition("/")[2]
        if name.endswith(".json") or last in _TEXTS:
            continue
        if name in raw - pickled and _RAW.fullmatch(last):
            continue
        try:
            torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception:  # a pickle raises nearly anything
            raise _Suspect(f"the file {name}") from None


def _payloads(table: Any) -> list[tuple[str, bool]]:
    entries = table.get("config") if isinstance(table, dict) else None
    each = entries.values() if isinstance(entries, dict) else ()
    return [(str(e.get("path_name")), e.get("use_pickle") is not False) for e in each if isinstance(e, dict)]


def _check_table(table: Any) -> None:
    pending = [table]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            pending += value.values()
            for key, text in value.items():
                if not isinstance(text, str):
                    continue
                if key == "expr_str" and not _SIZE.fullmatch(text):
                    raise _Suspect(f"the size {text[:60]!r}")
                if key == "target" and not _TARGET.fullmatch(text):
                    raise _Suspect(f"the operation {text[:60]!r}")
                if key in ("in_spec", "out_spec") and not _plain_containers(text):
                    raise _Suspect("a container of its own kind")


def _plain_containers(text: str) -> bool:
    try:
        pending = [json.loads(text)] if text else []
    except (ValueError, RecursionError):
        return False
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            if "__enum__" in value or value.get("type") not in _CONTAINERS or "__enum__" in str(value.get("context")):
                return False
            pending += value.values()
    return True
