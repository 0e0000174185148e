"""C models on an emulated microcontroller: qemu-system-arm, without an operating system."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np

from ..errors import EdgepruneError
from ..formats.c.compiler import compile_c
from ..graph import Array
from .native import Model
from .targets import Target
from .transport import Folder, Local

RUNNER = Path(__file__).with_name("board_runner.c")
LAYOUT = Path(__file__).with_name("board.ld")
EMULATOR = "qemu-system-arm"
COMPILER = "arm-none-eabi-gcc"

# The boards that qemu knows, and the flags of their processors.
BOARDS = {
    "mps2-an386": ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16"),
    "mps2-an500": ("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16"),
}
LOAD = 1  # the kind of segment that is in memory
RAM_BEGINS = 0x20000000
BOARD_MEMORY = 4 * 2**20  # of either kind, on both boards


def tools(target: Target) -> tuple[str, str]:
    """(emulator, compiler). Raises EdgepruneError saying which is missing."""
    if target.emulator not in BOARDS:
        raise EdgepruneError(f"{target.name}.emulator is {target.emulator!r}; the boards that are emulated: {', '.join(BOARDS)}")
    return _found(EMULATOR, "qemu-system-arm"), _found(COMPILER, "gcc-arm-none-eabi libnewlib-arm-none-eabi")


def _found(name: str, packages: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise EdgepruneError(f"there is no {name} on this machine; install it: apt-get install {packages}")
    return path


def build(model: Model, target: Target, out: Path) -> str:
    """Compiles the firmware `out`; the compiler's name. Raises EdgepruneError when it does not fit the target's memory."""
    _, compiler = tools(target)
    hardware = target.hardware
    inputs, outputs = ([int(np.prod(shape, dtype=np.int64)) for shape in side] for side in (model.inputs, model.outputs))
    defines = {
        "EP_HEADER": f'"{model.path.with_suffix(".h").name}"',
        "EP_RUN": f"{model.prefix}_run",
        "EP_ARENA": f"{model.prefix.upper()}_ARENA_BYTES",
        "EP_SEVERAL": int(len(inputs) != 1 or len(outputs) != 1),
        "EP_INPUTS": ",".join(map(str, inputs)),
        "EP_OUTPUTS": ",".join(map(str, outputs)),
        "EP_INPUT_FLOATS": sum(inputs),
        "EP_OUTPUT_FLOATS": sum(outputs),
    }
    flags = [
        *BOARDS[str(target.emulator)], "-mthumb", "-mfloat-abi=hard", "-std=gnu99", "-O2", "-ffunction-sections",
        "-fdata-sections", "-nostartfiles", "-Wl,--gc-sections", f"-Wl,-T,{LAYOUT}", f"-I{model.path.absolute().parent}",
        *(f"-D{name}={value}" for name, value in defines.items()),
    ]  # fmt: skip
    try:
        compile_c([compiler], [model.path, RUNNER], out, flags)
    except EdgepruneError as error:
        if "ld returned" not in str(error):
            raise
        what = f"{model.path} does not fit the emulated board, which has {BOARD_MEMORY:,} bytes of each kind of memory"
        raise EdgepruneError(f"{what}; compress it further") from None
    flash, ram = memory_of(out)
    if flash > (hardware.flash_bytes or flash) or ram > hardware.ram_bytes:
        has = f"{hardware.flash_bytes or 0:,} and {hardware.ram_bytes:,}"
        raise EdgepruneError(
            f"{model.path} does not fit {target.name}: with its arena, inputs and outputs it takes {flash:,} bytes of flash and "
            f"{ram:,} of RAM, and there are {has}; compress it further"
        )
    return Path(compiler).name


def memory_of(firmware: Path) -> tuple[int, int]:
    """(bytes of flash, bytes of RAM without a stack) that the segments of a 32-bit ELF file take."""
    data = firmware.read_bytes()
    begin, size, count = (struct.unpack_from(kind, data, at)[0] for kind, at in (("<I", 28), ("<H", 42), ("<H", 44)))
    flash = ram = 0
    for at in range(begin, begin + size * count, size):
        kind, _, address, _, stored, held = struct.unpack_from("<6I", data, at)
        if kind == LOAD:
            flash += stored
            ram += held if address >= RAM_BEGINS else 0
    return flash, ram


def run(model: Model, target: Target, firmware: Path, given: Path, deadline: float) -> tuple[list[Array], int]:
    """(outputs, instructions of a run) on the emulated board."""
    emulator, _ = tools(target)
    with Folder(Local(), deadline) as folder:
        folder.put(given, "inputs")
        command = [emulator, "-M", str(target.emulator), "-nographic", "-monitor", "none", "-serial", "none"]
        folder.run([*command, "-semihosting", "-icount", "shift=0", "-kernel", str(firmware)])
        return model.split(folder.get("outputs")), int(folder.get("counted"))
