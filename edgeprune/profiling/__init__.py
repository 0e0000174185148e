"""Measures artifacts: how long, how large, how much memory.

measure.py  profile one file; compare several in turns
local.py    the timing script in a process of this machine
runner.py   the timing script: numpy and one runtime only; drivers.py drives the runtimes and accelerators for it
timing.py   what it does again and again until the median is known
c_runner.c  the timing program of a C model; native.py builds it
op_timer.py the script that times op by op; op_times.py joins it with the file's ops, c_op_times.py does it in C
result.py   what a measurement says
records.py  dataclasses to plain JSON types and back

targets.py       devices: folders with a target.toml, checked; detection.py finds this machine's figures
remote.py        profile a file on a target
c_program.py     a C model as a timing program there
browser.py       a C model in a browser: browser_timer.js times it; chromium.py drives headless Chromium
transport.py     a shell on a device, a fresh folder there; ssh.py and adb.py reach it
device_facts.py  what a device says about itself
emulation.py     a C model on another processor by qemu; count_instructions.c is its plugin
board.py         the same on an emulated microcontroller: board_runner.c with board.ld
tool.py          a runtime's own benchmark program: benchmark_model.py and perf_test.py call and read them; tool_result.py
estimate.py      how long a file would take on a target; work.py is what its ops have to do
wherever.py      the best figure that can be had now
documents.py     profile.json read back
reachable.py     which targets there are, and can be reached now
"""

from __future__ import annotations

from .emulation import Emulation, emulate
from .estimate import Estimate, estimate
from .measure import compare, profile
from .remote import profile_on
from .result import Accelerator, Browser, Comparison, Conditions, Device, Latency, Memory, Profile, Ratio
from .targets import Target, load_target
from .tool import profile_with_tool
from .tool_result import ToolProfile

__all__ = [
    "Accelerator", "Browser", "Comparison", "Conditions", "Device", "Emulation", "Estimate", "Latency", "Memory", "Profile",
    "Ratio", "Target", "ToolProfile", "compare", "emulate", "estimate", "load_target", "profile", "profile_on",
    "profile_with_tool",
]  # fmt: skip
