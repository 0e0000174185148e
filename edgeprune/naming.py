"""How a person names an object in a spec, `package.module:name` or `path/to/file.py:name`, and how a file keeps a path."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import EdgepruneError


def split_spec(spec: str, flag: str, forms: str) -> tuple[str, str]:
    """`("net.py", "make")` of `net.py:make`; an error that names `flag` and the `forms` it takes when it has no two parts."""
    # The last colon: a path may hold one of its own.
    head, _, name = spec.rpartition(":")
    if not head or not name:
        raise EdgepruneError(f"{flag} {spec!r} has no two parts around a colon; it takes {forms}")
    return head, name


def free_name(name: str, is_taken: Callable[[str], bool]) -> str:
    """The name, or with the first number from 2 on behind it that makes it one nobody has."""
    candidate, count = name, 1
    while is_taken(candidate):
        count += 1
        candidate = f"{name}_{count}"
    return candidate


def close_to(name: str, names: Iterable[str]) -> str:
    """`; did you mean resnet18?` where one of `names` is near, else nothing."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def path_beside(path: str, folder: str | os.PathLike[str]) -> str:
    """`path` (relative to the working folder) relative to `folder` where it lies inside it, absolute elsewhere."""
    target, base = Path(path).resolve(), Path(folder).resolve()
    return target.relative_to(base).as_posix() if target.is_relative_to(base) else str(target)


def path_found(spec: str, folder: str | os.PathLike[str] = ".") -> str:
    """`net.py:make` with the file's path absolute, a relative one being taken from `folder`; any other spec as it is."""
    head, colon, name = spec.rpartition(":")
    return f"{(Path(folder) / Path(head).expanduser()).resolve()}{colon}{name}" if head.endswith(".py") else spec


def find_object(head: str, name: str, flag: str, folder: Path) -> Any:
    """The object `name` of the module or .py file `head`; a relative path is taken from `folder`. Runs that code."""
    module = _load_file(folder / head, flag) if head.endswith(".py") else _load_module(head, flag)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [each for each in vars(module) if not each.startswith("_")]
            raise EdgepruneError(f"{flag} {head}:{name}: {head} has no {part!r}{close_to(part, public)}")
        found = getattr(found, part)
    return found


def _load_file(path: Path, flag: str) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise EdgepruneError(f"{flag}: {path} does not exist")
    # A name of its own, so that two files called model.py do not replace each other.
    name = f"edgeprune_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise EdgepruneError(f"{flag}: {path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # The file's neighbours are importable while it loads, as when it runs as a script.
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except EdgepruneError:
        raise
    except Exception as error:
        del sys.modules[name]
        raise EdgepruneError(f"{flag}: {path} failed on import: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _load_module(name: str, flag: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise EdgepruneError(f"{flag}: {name!r} is neither a module name nor a path that ends in .py")
    try:
        return _import(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
            raise EdgepruneError(f"{flag}: module {name} needs {error.name}, which is not installed") from error
        raise EdgepruneError(
            f"{flag}: there is no module {name}; install it, run from the folder that holds it, or give path/to/file.py:name"
        ) from None
    except Exception as error:
        raise EdgepruneError(f"{flag}: module {name} failed on import: {type(error).__name__}: {error}") from error


def _import(name: str) -> ModuleType:
    here = str(Path.cwd())
    # A console script, unlike `python -m`, does not look in the folder it is run from.
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    finally:
        if added:
            sys.path.remove(here)
