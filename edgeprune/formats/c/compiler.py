"""The C compiler: found, asked, and its errors told."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import EdgepruneError, MissingExtra
from ...files import writing

COMPILERS = ("cc", "gcc", "clang")
OPTIMISED = ("-std=c99", "-O3", "-ffp-contract=fast")


@dataclass(frozen=True)
class Cross:
    """What compiles for a processor: Debian's cross compiler where it is installed, else the one in the ziglang package."""

    gcc: str  # "" where Debian has none
    package: str
    gcc_flags: tuple[str, ...]
    zig_flags: tuple[str, ...]  # with zig's name for the processor


# What x86 code is built for, where nobody says another level.
X86 = "x86-64-v3"

_THUMB = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
CROSS = {
    "aarch64": Cross("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", (), ("-target", "aarch64-linux-musl")),
    "armv7": Cross(
        "arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf", ("-mfpu=neon-vfpv4",),
        ("-target", "arm-linux-musleabihf", "-mcpu=cortex_a9"),
    ),
    "riscv64": Cross("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu", (), ("-target", "riscv64-linux-musl")),
    "x86-64": Cross(
        "x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu", (f"-march={X86}",),
        ("-target", "x86_64-linux-musl", "-mcpu=x86_64_v3"),
    ),
    "wasm32": Cross("", "", (), ("-target", "wasm32-wasi", "-msimd128")),
    "cortex-m4": Cross(
        "arm-none-eabi-gcc", "gcc-arm-none-eabi", _THUMB,
        ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp"),
    ),
}  # fmt: skip


def cross_compiler(target: str, x86: str = X86) -> list[str]:
    """The command of a compiler for a target of CROSS. Raises EdgepruneError that says how to install one."""
    cross = CROSS[target]
    if cross.gcc and shutil.which(cross.gcc):
        return [cross.gcc, *(flag.replace(X86, x86) for flag in cross.gcc_flags)]
    try:
        return [*zig(), *(flag.replace(X86.replace("-", "_"), x86.replace("-", "_")) for flag in cross.zig_flags)]
    except MissingExtra as error:
        gcc = f"apt-get install {cross.package}, or: " if cross.package else ""
        raise EdgepruneError(f"no compiler for {target} found; {gcc}{error}") from None


def local_compiler() -> str:
    """The path of a C compiler of this machine. Raises EdgepruneError that says how to install one."""
    for name in COMPILERS:
        found = shutil.which(name)
        if found:
            return found
    raise EdgepruneError(
        "no C compiler found (looked for cc, gcc, clang); install one: apt-get install gcc, dnf install gcc, "
        "xcode-select --install, or pip install ziglang and build with a target"
    )


def zig() -> list[str]:
    """The command of the C compiler in the ziglang package. Raises MissingExtra where it is not installed."""
    if importlib.util.find_spec("ziglang") is None:
        raise MissingExtra("ziglang", "zig", "compiling for another machine")
    return [sys.executable, "-m", "ziglang", "cc"]


def compiler_name(command: Sequence[str]) -> str:
    """What a report calls the compiler of this command."""
    return "zig" if "ziglang" in command else Path(command[0]).name


def compile_c(
    command: Sequence[str], sources: Sequence[Path], out: Path, flags: Sequence[str] = (), libraries: Sequence[str] = ("-lm",)
) -> None:
    """Runs the compiler; raises EdgepruneError with its first complaint when it fails."""
    with writing(out) as made:
        call = [*command, *flags, *map(str, sources), "-o", str(made), *libraries]
        done = subprocess.run(call, capture_output=True, text=True)
        if done.returncode:
            lines = (
                [line for line in done.stderr.splitlines() if "error" in line.lower()]
                or done.stderr.splitlines()
                or ["no message"]
            )
            raise EdgepruneError(f"{sources[0]}: {command[0]} could not compile it: {lines[0].strip()}")
    out.chmod(0o755)


def native_flags(command: str) -> tuple[str, ...]:
    """-march=native where the compiler knows it."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder, "empty.c")
        empty.write_text("int ep_nothing;\n")
        done = subprocess.run([command, "-march=native", "-c", str(empty), "-o", str(Path(folder, "o"))], capture_output=True)
    return ("-march=native",) if done.returncode == 0 else ()


def shared_library(path: Path) -> Path:
    """The shared library of a model for this machine, from the cache when the same source was compiled before."""
    compiler = local_compiler()
    flags = (*OPTIMISED, *native_flags(compiler), "-shared", "-fPIC")
    key = hashlib.sha256()
    for part in (path.read_bytes(), path.with_suffix(".h").read_bytes(), " ".join((compiler, *flags)).encode(), machine()):
        key.update(hashlib.sha256(part).digest())
    library = cache_folder() / f"{path.stem}-{key.hexdigest()[:32]}.so"
    if not library.exists():
        compile_c([compiler], [path], library, flags)
    return library


def machine() -> bytes:
    """What -march=native looks at, so that a cache shared between machines does not hand out another one's code."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        import platform

        return platform.processor().encode() + platform.machine().encode()
    return "".join(sorted({line for line in text.splitlines() if line.startswith(("flags", "Features", "model name"))})).encode()


def cache_folder() -> Path:
    """Where compiled models are kept: the user's cache folder, or a temporary one that is the user's alone."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = Path(base) / "edgeprune" if base else Path.home() / ".cache" / "edgeprune"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="edgeprune-"))
