"""This machine's own figures, for the target that is the machine edgeprune runs on."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
CPU = Path("/sys/devices/system/cpu")


@functools.cache
def detected() -> tuple[dict[str, Any], dict[str, Any]]:
    """(hardware, sources) as a target.toml would hold them."""
    features = cpu_features()
    cores = os.cpu_count() or 1
    hardware = {
        "isa": isa_of(machine()),
        "features": sorted(features & {"avx2", "fma", "avx512f", "asimd", "asimddp", "neon"}),
        "ram_bytes": _ram(),
        "memory_gbs": round(copy_gbs(), 2),
        "cores": [{"name": cpu_name(), "count": cores, "ghz": clock_ghz(), "fp32_per_cycle": fp32_per_cycle(features)}],
        "caches": caches(),
    }
    how = {"how": "detected", "origin": "this machine's operating system"}
    sources = dict.fromkeys(("cores", "caches", "ram_bytes"), how)
    return hardware, sources | {"memory_gbs": {"how": "measured", "origin": "copying 64 MiB on one thread"}}


def machine() -> str:
    """What `uname -m` names."""
    return platform.machine()


def isa_of(machine: str) -> str:
    """What targets call the machine that `uname -m` names."""
    name = machine.lower()
    return {"amd64": "x86_64", "arm64": "aarch64", "armv7l": "armv7", "armv8l": "armv7"}.get(name, name)


def _facts() -> dict[str, str]:
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found


def cpu_features() -> set[str]:
    """As Linux names them; empty elsewhere."""
    facts = _facts()
    return set((facts.get("flags") or facts.get("Features") or "").split())


def cpu_name() -> str:
    facts = _facts()
    return facts.get("model name") or facts.get("Model") or platform.processor() or platform.machine()


def fp32_per_cycle(features: set[str]) -> float:
    """Of one core, a multiply-add counted as two, taking two vector units as most application cores have."""
    if "avx512f" in features:
        return 64.0
    if "fma" in features:
        return 32.0
    if "avx" in features:
        return 16.0
    return 16.0 if features & {"asimddp"} else 8.0


def clock_ghz() -> float:
    """The highest clock the system tells of; 2 where it tells none."""
    try:
        return int((CPU / "cpu0/cpufreq/cpuinfo_max_freq").read_text()) / 1e6
    except (OSError, ValueError):
        pass
    try:
        return round(float(_facts().get("cpu MHz", "2000")) / 1000, 2)
    except ValueError:
        return 2.0


def caches() -> list[dict[str, int]]:
    found = []
    for index in sorted((CPU / "cpu0/cache").glob("index*")):
        try:
            words = [(index / name).read_text().strip() for name in ("type", "level", "size", "shared_cpu_list")]
        except OSError:
            continue
        kind, level, size, shared = words
        amount = re.fullmatch(r"(\d+)([KMG]?)", size)
        if kind != "Instruction" and amount:
            bytes_ = int(amount[1]) * {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[amount[2]]
            found.append({"level": int(level), "bytes": bytes_, "shared_by": cpus_in(shared)})
    return found


def cpus_in(text: str) -> int:
    """How many a list like 0-3,8 names."""
    ends = [part.partition("-") for part in text.split(",") if part]
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)


def nvidia_gpus() -> list[str]:
    """What NVIDIA's GPUs of this machine call themselves, as its driver tells; empty where there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        done = subprocess.run([command, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [] if done.returncode else [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _ram() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 4 * 2**30


def copy_gbs() -> float:
    """Gigabytes a second read and written by the fastest of a few large copies, by the time on the processor alone."""
    import numpy as np

    source = np.ones(8 * 2**20)
    target = np.empty_like(source)
    best = float("inf")
    for _ in range(8):
        start = time.thread_time()
        np.copyto(target, source)
        best = min(best, time.thread_time() - start)
    return 2 * source.nbytes / best / 1e9
