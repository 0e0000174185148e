"""From a file's bytes to plain objects; what is no checkpoint, or would run code, is refused in one line."""

from __future__ import annotations

import argparse
import io
import pickle
import pickletools
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import EdgepruneError
from .safetensors import is_safetensors, read_safetensors

_AGAIN = "copy or save it again"
_SUFFIXES = (".pt", ".pth", ".th", ".pt2", ".ckpt", ".tar", ".safetensors")

# What people find under a checkpoint's name, by its first bytes: (offset, bytes, what it is and what would do).
_OTHERS = (
    (4, b"TFL3", "a TFLite model; give the checkpoint it was made from"),
    (0, b"\x89HDF", "an HDF5 file (Keras); edgeprune takes PyTorch checkpoints"),
    (0, b"\x1f\x8b", "gzipped; unpack it first"),
    (0, b"\x93NUMPY", "a NumPy array; save the network's state dict with torch.save"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself; run git lfs pull"),
    (0, b"<!DOCTYPE", "a web page; the download did not give the file"),
    (0, b"<html", "a web page; the download did not give the file"),
)

# Plain values that training scripts leave beside the weights; rebuilding them runs nothing.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
    *(type(np.dtype(t)) for t in (np.float64, np.float32, np.int64, np.int32, np.bool_)),
]


def read_bytes(path: Path) -> bytes:
    """The file's bytes; EdgepruneError when there is none, when it is a folder, or empty."""
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in _SUFFIXES)
        hint = f"name the file in it, such as {inside[0]}" if inside else "name the checkpoint file"
        raise EdgepruneError(f"{path} is a folder; {hint}")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise EdgepruneError(f"{path} does not exist; check the path") from None
    except OSError as error:
        raise EdgepruneError(f"{path} cannot be read: {error.strerror or error}") from None
    if not data:
        raise EdgepruneError(f"{path} is empty; {_AGAIN}")
    return data


def is_program(data: bytes) -> bool:
    """Whether torch.export saved it."""
    names = _members(data)
    return any(name.endswith(("/archive_format", "serialized_exported_program.json")) for name in names) or (
        "serialized_exported_program.json" in names
    )


def unpickle(path: Path, data: bytes, allow_pickle: bool) -> Any:
    """The object that torch.save (or safetensors) wrote; with `allow_pickle`, code that the file names may run.

    Raises EdgepruneError for anything else, naming what it is where that is known.
    """
    for offset, magic, what in _OTHERS:
        if data[offset : offset + len(magic)] == magic:
            raise EdgepruneError(f"{path} is {what}")
    if is_safetensors(path, data):
        return read_safetensors(path, data)
    if data[:2] == b"PK":
        names = _members(data)
        if not names:
            raise EdgepruneError(f"{path} is truncated: its end, with the table of contents, is missing; {_AGAIN}")
        if any(name.endswith("/constants.pkl") for name in names):
            raise EdgepruneError(
                f"{path} is a TorchScript archive, which edgeprune does not take; save the network's state dict "
                "(torch.save(module.state_dict(), path)) or export it with torch.export.save"
            )
        if not any(name.endswith("data.pkl") for name in names):
            raise EdgepruneError(f"{path} is a zip archive but no PyTorch checkpoint; give the file that torch.save wrote")
    if allow_pickle:
        return _load_running_code(path, data)
    try:
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old tensor storage, which is no news to the user
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises nearly anything
        named = re.search(r"GLOBAL ([\w.]+)", str(error)) or re.search(r"class ([\w.]+)", str(error))
        wants = named[1] if named else _first_global(data)
        if isinstance(error, pickle.UnpicklingError) and wants:
            raise EdgepruneError(
                f"{path} pickles {wants}: reading it would run code that the file names; "
                "if you trust it, pass --allow-pickle, else save only the state dict (torch.save(module.state_dict(), path))"
            ) from None
        raise _unreadable(path, error) from None


def _first_global(data: bytes) -> str | None:
    """The first object that a plain pickle, of a newer protocol than torch.save uses, would look up; nothing of it is run."""
    if data[:1] != b"\x80":
        return None
    texts: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL":
                return str(argument).replace(" ", ".")
            if opcode.name == "STACK_GLOBAL" and len(texts) > 1:
                return ".".join(texts[-2:])
            if isinstance(argument, str):
                texts.append(argument)
    except ValueError:  # cut off or garbled
        pass
    return None


def _load_running_code(path: Path, data: bytes) -> Any:
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except (ModuleNotFoundError, AttributeError) as error:
        raise EdgepruneError(
            f"{path} needs code that is not here ({error}); run where its modules can be imported, or save only the state dict"
        ) from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> EdgepruneError:
    first = str(error).split("\n")[0][:100].rstrip(" .") or type(error).__name__
    return EdgepruneError(f"{path} is no checkpoint that PyTorch can read, or it is damaged ({first}); {_AGAIN}")


def _members(data: bytes) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError):  # the last: of a later zip version
        return []
