"""C models run on another processor or a microcontroller by qemu: what they compute, in how many instructions, never how long."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EdgepruneError
from ..formats.c.compiler import compile_c, local_compiler
from ..graph import Array
from .board import build as build_firmware
from .board import memory_of as flash_and_ram
from .board import run as run_firmware
from .board import tools as board_tools
from .detection import isa_of, machine
from .measure import FilePath
from .native import Model, build_timer, read_model
from .records import to_plain
from .result import SCHEMA_VERSION
from .targets import Target, load_target
from .transport import Folder, Local, finished

EMULATORS = {"aarch64": "qemu-aarch64", "armv7": "qemu-arm", "riscv64": "qemu-riscv64", "x86_64": "qemu-x86_64"}
PLUGIN = Path(__file__).with_name("count_instructions.c")
FEW = 6  # runs, whose difference from one is free of what starting costs
ENOUGH = 1_000_000  # instructions to count at least, because starting varies by a thousand or so


@dataclass(frozen=True)
class Emulation:
    """One C model on an emulated processor."""

    path: str
    target: str
    emulator: str
    runtime: str
    samples: int  # inputs that were run there and here
    largest_relative_error: float  # against the same source on this machine: largest error over largest magnitude
    same_class: bool  # whether the largest output is the same one, of every sample
    instructions: int | None  # of one run; null where the emulator cannot count
    why_not_counted: str
    program_bytes: int
    date: str
    provenance: str = "emulated"
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_plain(self)
        return plain


def emulate(
    target: Target | FilePath,
    path: FilePath,
    *,
    samples: Sequence[Sequence[Array]] = (),
    timeout: float = 600.0,
    seed: int = 0,
) -> Emulation:
    """What a .c model computes on the target's processor under qemu, against this machine, and the instructions of a run.

    Each of `samples` is one array for each input of the model, without the batch; by default one of random numbers. No time is
    told: that of an emulator says nothing of the device. Raises EdgepruneError when the target is not emulated, when
    qemu or a compiler for it is missing, and when the program fails there.
    """
    target = target if isinstance(target, Target) else load_target(target)
    model = Path(path)
    board = "qemu-system" in target.transports
    if not board and "qemu-user" not in target.transports:
        raise EdgepruneError(f"{target.name} is not emulated: {target.needs}")
    if model.suffix.lower() != ".c":
        raise EdgepruneError(f"{model}: only .c models are emulated; a runtime under qemu says nothing more than here")
    command = [board_tools(target)[0], "-M", str(target.emulator)] if board else emulator_for(target)
    known = read_model(model)
    deadline = time.monotonic() + timeout
    given = [tuple(sample) for sample in samples] or [tuple(known.random_inputs(seed))]
    _check(known, given)
    made: list[Array] = []
    expected: list[Array] = []
    instructions: int | None = None
    with tempfile.TemporaryDirectory() as own:
        there, here, inputs = (Path(own, name) for name in ("there", "here", "inputs"))
        if board:
            compiler, why = build_firmware(known, target, there), ""
            size = flash_and_ram(there)[0]
        else:
            compiler = build_timer(known, target.hardware.isa, target.hardware.features, there)
            size = there.stat().st_size
        build_timer(known, isa_of(machine()), (), here)
        for sample in given:
            inputs.write_bytes(b"".join(np.ascontiguousarray(each, "<f4").tobytes() for each in sample))
            if board:
                outputs, instructions = run_firmware(known, target, there, inputs, deadline)
            else:
                outputs = _outputs(known, [*command, str(there)], own, deadline)
            made += outputs
            expected += _outputs(known, [str(here)], own, deadline)
        if not board:
            instructions, why = _count(command, there, own, deadline)
    error = max(_error(a, b) for a, b in zip(made, expected, strict=True))
    return Emulation(
        path=str(model),
        target=target.name,
        emulator=f"{_version(command[0])}, {' '.join(command[1:])}",
        runtime=f"C (edgeprune {known.version}, {compiler})",
        samples=len(given),
        largest_relative_error=error,
        same_class=all(int(a.argmax()) == int(b.argmax()) for a, b in zip(made, expected, strict=True)),
        instructions=instructions,
        why_not_counted=why,
        program_bytes=size,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _check(model: Model, samples: Sequence[tuple[Array, ...]]) -> None:
    for sample in samples:
        shapes = tuple(each.shape for each in sample)
        if shapes != model.inputs:
            raise EdgepruneError(f"a sample has the shapes {shapes}; {model.path} takes {model.inputs}")


def emulator_for(target: Target) -> list[str]:
    """The emulator with the target's cpu named, because the default of some versions computes wrongly."""
    name = EMULATORS[target.hardware.isa]
    found = shutil.which(name) or shutil.which(f"{name}-static")
    if found is None:
        raise EdgepruneError(f"there is no {name} on this machine; install it: apt-get install qemu-user")
    return [found, "-cpu", target.emulator or "max"]


def _version(emulator: str) -> str:
    said = finished([emulator, "--version"], 10, emulator).out.decode(errors="replace")
    number = re.search(r"version ([\d.]+)", said)
    return f"{Path(emulator).name} {number[1] if number else ''}".strip()


def _outputs(model: Model, command: list[str], own: str, deadline: float) -> list[Array]:
    with Folder(Local(), deadline, own) as folder:
        folder.run([*command, f"{own}/inputs", folder.at("outputs"), "0"])
        return model.split(folder.get("outputs"))


def _error(found: Array, expected: Array) -> float:
    return float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-30))


def _count(command: list[str], program: Path, own: str, deadline: float) -> tuple[int | None, str]:
    """(instructions of a run, "") or (None, why not)."""
    if command[0].endswith("-static"):
        return None, "a static qemu takes no plugins; install qemu-user"
    plugin = Path(own, "count.so")
    try:
        compile_c([local_compiler()], [PLUGIN], plugin, ("-std=c99", "-O2", "-shared", "-fPIC"))
        one, few = (_instructions(command, program, plugin, own, runs, deadline) for runs in (1, FEW))
        each = max((few - one) // (FEW - 1), 1)
        if few - one < ENOUGH:
            more = 1 + ENOUGH // each
            each = round((_instructions(command, program, plugin, own, 1 + more, deadline) - one) / more)
    except EdgepruneError as error:
        return None, f"this qemu does not count: {error}"
    return each, ""


def _instructions(command: list[str], program: Path, plugin: Path, own: str, runs: int, deadline: float) -> int:
    counted, asked = Path(own, "counted"), Path(own, "asked")
    counted.unlink(missing_ok=True)
    asked.write_text(f"repeat {runs}\n")
    words = [*command, "-plugin", f"{plugin},out={counted}", str(program), f"{own}/inputs", f"{own}/outputs", "0"]
    with open(asked, "rb") as given:
        done = finished(words, deadline - time.monotonic(), program.name, given)
    if done.status or not counted.exists():
        raise EdgepruneError(done.said)
    return int(counted.read_text())
