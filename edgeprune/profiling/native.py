"""A C model and its timing program as one static executable, for this machine's processor or a device's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import EdgepruneError
from ..formats.c.compiler import OPTIMISED, compile_c, compiler_name, cross_compiler, local_compiler, native_flags
from ..formats.c.runner import interface
from ..graph import Array, Shape
from .detection import isa_of, machine

TIMER = Path(__file__).with_name("c_runner.c")

# The targets of cross compilers that have Linux, where a program can run.
LINUX = ("aarch64", "armv7", "riscv64", "x86-64")

# ELF's numbers for the machines we build for.
ELF_MACHINES = {0x3E: "x86_64", 0xB7: "aarch64", 0x28: "armv7", 0xF3: "riscv64"}


@dataclass(frozen=True)
class Model:
    """What the header of a C model says."""

    path: Path
    prefix: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    version: str

    def random_inputs(self, seed: int) -> list[Array]:
        """Between 0 and 1, as every profile is fed."""
        random = np.random.default_rng(seed)
        return [random.random(shape, np.float32) for shape in self.inputs]

    def split(self, data: bytes) -> list[Array]:
        """The outputs that the timing program wrote."""
        sizes = [int(np.prod(shape, dtype=np.int64)) for shape in self.outputs]
        if len(data) != 4 * sum(sizes):
            raise EdgepruneError(f"{self.path} gave {len(data)} bytes of outputs, not {4 * sum(sizes)}")
        flat = np.frombuffer(data, "<f4")
        ends = np.cumsum(sizes)
        return [flat[e - n : e].reshape(shape) for e, n, shape in zip(ends, sizes, self.outputs, strict=True)]


def read_model(path: Path) -> Model:
    """The model of a .c file with its header beside. Raises EdgepruneError when they are not a model's."""
    header = path.with_suffix(".h")
    for file in (path, header):
        if not file.is_file():
            raise EdgepruneError(f"{file} does not exist; a C model is the pair {path.name} and {header.name}")
    try:
        text = header.read_text()
        inputs, outputs, version = interface(text)
        (prefix,) = re.findall(r"^size_t (\w+)_arena_bytes\(void\);$", text, re.MULTILINE)
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        raise EdgepruneError(f"{header} is not the header of a model that edgeprune wrote ({error})") from None
    return Model(path, prefix, tuple(shape for _, shape in inputs), tuple(shape for _, shape in outputs), version)


def compiler_for(isa: str, features: Sequence[str]) -> list[str]:
    """A compiler's command that makes programs for the processor. Raises EdgepruneError when there is none."""
    level = "x86-64-v4" if "avx512f" in features else "x86-64-v3" if "avx2" in features else "x86-64"
    if isa == isa_of(machine()):
        command = local_compiler()
        if not features:
            return [command, *native_flags(command)]
        return [command, f"-march={level}"] if isa == "x86_64" else [command]
    name = isa.replace("_", "-")
    if name not in LINUX:
        raise EdgepruneError(f"there is no compiler for {isa}; C models are built for: {', '.join(sorted(LINUX))}")
    return cross_compiler(name, level)


def build_timer(model: Model, isa: str, features: Sequence[str], out: Path, *, source: Path | None = None, marks: int = 0) -> str:
    """Compiles the executable `out`; the compiler's name. With no `features` it is for this machine alone.

    `source` stands in for the model's own with `marks` calls of ep_mark.
    """
    command = compiler_for(isa, features)
    alone = () if isa == isa_of(machine()) and not features else ("-static",)
    sizes = [[str(int(np.prod(shape, dtype=np.int64))) for shape in side] for side in (model.inputs, model.outputs)]
    several = int(len(model.inputs) != 1 or len(model.outputs) != 1)
    defines = [
        f'-DEP_HEADER="{model.path.with_suffix(".h").name}"',
        f"-DEP_RUN={model.prefix}_run",
        f"-DEP_ARENA_BYTES={model.prefix}_arena_bytes",
        f"-DEP_SEVERAL={several}",
        f"-DEP_INPUTS={','.join(sizes[0])}",
        f"-DEP_OUTPUTS={','.join(sizes[1])}",
    ]
    if marks:
        defines.append(f"-DEP_OPS={marks}")
    include = f"-I{model.path.absolute().parent}"
    compile_c(command, [source or model.path, TIMER], out, (*OPTIMISED, *alone, include, *defines))
    return compiler_name(command)


def processor_of(binary: Path) -> str | None:
    """The instruction set an executable is for, as its ELF header says; None when it is no ELF file."""
    with open(binary, "rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return None
    number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    return ELF_MACHINES.get(number, f"ELF machine {number}")
