"""What a device says about itself: its processor, its system, its clock and its heat."""

from __future__ import annotations

import contextlib

from .result import Conditions, Device
from .transport import CONNECTING, Folder, Transport

# One line each, so that a word that is not there on some device is an empty line.
FACTS = """echo "$(getprop ro.product.model 2>/dev/null)"
echo "$(grep -m1 -E '^(model name|Model)' /proc/cpuinfo 2>/dev/null | cut -d: -f2-)"
echo "$(tr -d '\\0' </proc/device-tree/model 2>/dev/null)"
echo "$(grep -c ^processor /proc/cpuinfo 2>/dev/null)"
echo "$(unset OMP_NUM_THREADS; nproc 2>/dev/null)"
echo "$(uname -m)"
echo "$(uname -sr)"
echo "$(getprop ro.build.version.release 2>/dev/null)"
echo "$(cut -d' ' -f1 /proc/loadavg 2>/dev/null)"
"""

CONDITIONS = """cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq 2>/dev/null | sort -n | tail -n 1 | sed 's/^/kHz /'
cat /sys/class/thermal/thermal_zone*/temp 2>/dev/null | sed 's/^/heat /'
"""


def facts(folder: Folder) -> Device:
    """The device that the folder is on."""
    done = folder.check(folder.shell(FACTS), "asking what it is")
    lines = [line.strip() for line in done.out.decode(errors="replace").splitlines()]
    model, cpu, board, cores, usable, machine, system, android, load = (lines + [""] * 9)[:9]
    count = _whole(cores) or _whole(usable) or 1
    return Device(
        cpu=", ".join(dict.fromkeys(word for word in (model, board, cpu) if word)) or machine,
        cores=count,
        usable_cores=_whole(usable) or count,
        machine=machine,
        os=f"Android {android}, {system}" if android else system,
        python="none",
        load_average=_number(load),
    )


def conditions(transport: Transport) -> Conditions:
    """Clock and temperature now."""
    done = transport.ask(CONDITIONS, CONNECTING, "reading its clock")
    words = [line.split() for line in done.out.decode(errors="replace").splitlines()]
    clocks = [_number(each[1]) for each in words if len(each) == 2 and each[0] == "kHz"]
    heats = [_number(each[1]) for each in words if len(each) == 2 and each[0] == "heat"]
    # Sensors that are not there or not sensors of heat tell impossible temperatures. Millidegrees, in a few systems degrees.
    degrees = [heat / 1000 if abs(heat) > 1000 else heat for heat in heats if heat is not None]
    plausible = [heat for heat in degrees if 0 < heat < 130]
    clock = clocks[0] if clocks else None
    return Conditions(None if clock is None else clock / 1000, max(plausible, default=None))


def _number(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        return float(text)
    return None


def _whole(text: str) -> int | None:
    return int(text) if text.isdigit() else None
