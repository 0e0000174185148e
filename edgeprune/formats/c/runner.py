"""A model compiled for this machine and run through ctypes."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EdgepruneError
from ...graph import Array, Shape
from ..artifact import Runner
from .compiler import local_compiler, shared_library


def interface(header: str) -> tuple[list[tuple[str, Shape]], list[tuple[str, Shape]], str]:
    """(inputs, outputs, version) that a header declares. Raises ValueError when it is not one of ours."""
    said = dict(re.findall(r"^#define (\w+) (.*)$", header, re.MULTILINE))
    prefixes = [name.removesuffix("_ARENA_BYTES") for name in said if name.endswith("_ARENA_BYTES")]
    if len(prefixes) != 1:
        raise ValueError("it declares no arena")
    prefix = prefixes[0]

    def side(word: str) -> list[tuple[str, Shape]]:
        found = []
        for i in range(int(said[f"{prefix}_{word}S"])):
            shape = said[f"{prefix}_{word}{i}_SHAPE"].strip("{}")
            found.append((unquoted(said[f"{prefix}_{word}{i}_NAME"]), tuple(int(n) for n in shape.split(",") if n.strip())))
        return found

    return side("INPUT"), side("OUTPUT"), unquoted(said[f"{prefix}_VERSION"])


def unquoted(text: str) -> str:
    raw = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), text.strip('"').encode())
    return raw.decode()


class CRunner(Runner):
    """Calls the compiled model once a sample, on one thread."""

    def __init__(self, path: Path) -> None:
        header = path.with_suffix(".h")
        if not header.is_file():
            raise EdgepruneError(f"{header} is missing; a C model is the pair {path.name} and {header.name}")
        text = header.read_text()
        try:
            ins, outs, version = interface(text)
            prefix = re.findall(r"^size_t (\w+)_arena_bytes\(void\);$", text, re.MULTILINE)[0]
        except (ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
            raise EdgepruneError(f"{header} is not the header of a model that edgeprune wrote ({error})") from None
        # An output may be asked for twice, under one name.
        self.inputs, self.outputs, self._shapes = dict(ins), dict(outs), [shape for _, shape in outs]
        library = ctypes.CDLL(str(shared_library(path)))
        self._run = getattr(library, f"{prefix}_run")
        size = getattr(library, f"{prefix}_arena_bytes")
        size.restype = ctypes.c_size_t
        self.arena_bytes = int(size())
        self._arena = np.zeros(self.arena_bytes, np.uint8)
        self._run.argtypes = [ctypes.c_void_p] * 3
        self.runtime = f"C (edgeprune {version}, {Path(local_compiler()).name})"
        self._fed: list[Array] = []
        self._made: list[Array] = []
        self._calls: list[tuple[Any, ...]] = []

    def feed(self, *arrays: Array) -> None:
        batch = self.check(arrays)
        self._fed = [np.ascontiguousarray(a, dtype=np.float32) for a in arrays]
        self._made = [np.empty((batch, *shape), np.float32) for shape in self._shapes]
        self._calls = [self._pointers(i) for i in range(batch)]

    def _pointers(self, sample: int) -> tuple[Any, ...]:
        ins = [a[sample].ctypes.data for a in self._fed]
        outs = [a[sample].ctypes.data for a in self._made]
        arena = ctypes.c_void_p(self._arena.ctypes.data)
        if len(ins) == len(outs) == 1:
            return ctypes.c_void_p(ins[0]), ctypes.c_void_p(outs[0]), arena
        return (ctypes.c_void_p * len(ins))(*ins), (ctypes.c_void_p * len(outs))(*outs), arena

    def invoke(self) -> None:
        run = self._run
        for arguments in self._calls:
            run(*arguments)

    def fetch(self) -> list[Array]:
        return [a.copy() for a in self._made]
