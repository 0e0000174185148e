"""The words that name a data set: what kind it is, and where."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import EdgepruneError
from ..naming import close_to, path_beside, split_spec

KINDS = ("mnist", "fashion-mnist", "cifar10", "imagefolder", "text")
FORMS = (
    "mnist:DIR, fashion-mnist:DIR, cifar10:DIR, imagefolder:DIR, text:DIR, FILE.npz, package.module:function or "
    "path/to/file.py:function"
)


@dataclass(frozen=True)
class DataSpec:
    """A data set's `kind` (one of KINDS, "npz" or "function"), its `path` ("" for a module's function) and `name` (function)."""

    kind: str
    path: str
    name: str = ""

    def __str__(self) -> str:
        if self.kind == "npz":
            return self.path
        return f"{self.path}:{self.name}" if self.kind == "function" else f"{self.kind}:{self.path}"

    @property
    def runs_code(self) -> bool:
        """Whether loading it runs code that the spec names."""
        return self.kind == "function"

    @property
    def has_path(self) -> bool:
        """Whether `path` is one of the file system, not a module's name."""
        return self.kind != "function" or self.path.endswith(".py")

    def found_from(self, folder: str | os.PathLike[str]) -> DataSpec:
        """The same with its path absolute, a relative one being taken from `folder`."""
        return replace(self, path=_absolute(self.path, folder)) if self.has_path else self

    def kept_beside(self, folder: str | os.PathLike[str]) -> DataSpec:
        """The same as written into a file of `folder`: a path inside the folder is relative, so that the two move together."""
        return replace(self, path=path_beside(self.path, folder)) if self.has_path else self


def parse_data_spec(spec: str) -> DataSpec:
    """The parts of a `--data` spec; EdgepruneError naming the forms there are when it is none of them."""
    if spec.endswith(".npz"):
        return DataSpec("npz", spec)
    kind, colon, path = spec.partition(":")
    if colon and kind in KINDS:
        if not path:
            raise EdgepruneError(f"--data {spec!r} names no folder; write {kind}:DIR")
        return DataSpec(kind, path)
    head, name = split_spec(spec, "--data", FORMS)
    looks_like_a_kind = close_to(kind, KINDS) and not kind.endswith(".py")
    if looks_like_a_kind or not (head.endswith(".py") or all(part.isidentifier() for part in head.split("."))):
        raise EdgepruneError(f"--data {spec!r}: there is no data set {kind!r}{close_to(kind, KINDS)}; it takes {FORMS}")
    return DataSpec("function", head, name)


def _absolute(path: str, folder: str | os.PathLike[str]) -> str:
    return str((Path(folder) / Path(path).expanduser()).resolve())
