"""A written model compiled: for this machine, for another one, for a microcontroller; and what it then takes."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import EdgepruneError
from .compiler import CROSS, OPTIMISED, compile_c, compiler_name, cross_compiler, local_compiler, native_flags
from .reading import arena_bytes, array_sizes

HOST = "host"
SMALL = ("-std=c99", "-Os", "-ffp-contract=fast", "-ffunction-sections", "-fdata-sections", "-c")


_SHARED = (*OPTIMISED, "-shared", "-fPIC")
# What is no shared library.
SUFFIXES = {"wasm32": ".wasm", "cortex-m4": ".o"}


@dataclass(frozen=True)
class Built:
    """A compiled model: a shared library, an object file for a microcontroller, or a WebAssembly module."""

    path: Path
    target: str
    compiler: str
    bytes: int  # of code and constants; of the whole file where its sections are not told apart


def target_of(word: str) -> str:
    """The target that `word` names. Raises EdgepruneError for one there is none of."""
    name = "x86-64" if word == "x86_64" else word
    if name != HOST and name not in CROSS:
        raise EdgepruneError(f"the build target {word!r} is unknown; choose one of: {', '.join((HOST, *CROSS))}")
    return name


def file_name(path: Path, target: str) -> str:
    """What the model at `path` is called when it is built for a target."""
    return f"{path.stem}-{target}{SUFFIXES.get(target, '.so')}"


def build(path: str | Path, out: str | Path, target: str | None = None) -> Built:
    """Compiles the written model `path` into `out`: a shared library for this machine (None, "host") or for a `target` of CROSS.

    For cortex-m4 it is an object file to link into firmware. For wasm32 it is a module that imports nothing and exports the
    model's functions, its memory, and `__heap_base`: where the memory begins that it leaves to the caller.
    Raises EdgepruneError when no compiler is there, saying which to install, and when the compiler fails.
    """
    path, out = Path(path), Path(out)
    if not path.is_file():
        raise EdgepruneError(f"{path} does not exist")
    target = target_of(target or HOST)
    if target == HOST:
        command = [local_compiler()]
        compile_c(command, [path], out, (*_SHARED, *native_flags(command[0])))
    else:
        command = cross_compiler(target)
        if target == "wasm32":
            _build_module(path, out, command)
        elif target == "cortex-m4":
            compile_c(command, [path], out, SMALL, libraries=())
        else:
            compile_c(command, [path], out, _SHARED)
    return Built(out, target, compiler_name(command), program_bytes(out))


def _build_module(path: Path, out: Path, command: Sequence[str]) -> None:
    """Links a WebAssembly module of a model."""
    prefix = identifier(path.stem)
    # Kernels keep next to nothing on the stack; without the bound it would take a megabyte of a page's memory.
    shape = ["-Wl,-s", "-Wl,-z,stack-size=65536"]
    shape += [f"-Wl,--export={name}" for name in (f"{prefix}_run", f"{prefix}_arena_bytes", "__heap_base")]
    if "#include <math.h>" in path.read_text():
        compile_c(command, [path], out, (*OPTIMISED, "-mexec-model=reactor", *shape))
    else:
        # Without a C library: zig would have to compile that one first, which takes longer than anything else.
        freestanding = ("-target", "wasm32-freestanding", "-Wl,--no-entry")
        compile_c(command, [path], out, (*freestanding, *OPTIMISED, *shape), libraries=())


def identifier(name: str) -> str:
    """The name as C takes it, the prefix of all that a model declares: other characters become underscores."""
    cleaned = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"m{cleaned}" if not cleaned or cleaned[0].isdigit() or cleaned[0] == "_" else cleaned


def constant_bytes(text: str) -> int:
    """Bytes of a model's constants, as its source declares them; what points to them at four bytes a field."""
    arrays = sum(count * size for count, size in array_sizes(text))
    fields = sum(found.count(",") + 1 for found in re.findall(r"^static const ep_\w+ \w+ = \{(.*)\};$", text, re.MULTILINE))
    return arrays + 4 * fields


def memory_bytes(path: Path) -> int:
    """What a model takes while it runs: its arena and its constants."""
    return arena_bytes(path) + constant_bytes(path.read_text())


def program_bytes(path: Path) -> int:
    """Code and constants of a compiled model, without what a linker adds to find them; the whole file where it is no ELF file."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF":
        return len(data)
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    (at,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 40 if wide else 32)
    each, count, names = struct.unpack_from(order + "HHH", data, 58 if wide else 46)
    form = order + ("IIQQQQ" if wide else "IIIIII")
    sections = [struct.unpack_from(form, data, at + i * each) for i in range(count)]  # name, type, flags, address, offset, size
    texts = sections[names][4]

    def called(section: tuple[int, ...]) -> bytes:
        begin = texts + section[0]
        return data[begin : data.index(b"\0", begin)]

    kept = (b".text", b".rodata", b".data")
    return sum(s[5] for s in sections if s[1] == 1 and s[2] & 2 and called(s).startswith(kept))
