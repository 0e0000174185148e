"""Which targets a measurement could be made on at this moment."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec

from ..errors import EdgepruneError
from . import chromium
from .adb import devices
from .board import tools as board_tools
from .emulation import emulator_for
from .estimate import ENGINE_OF
from .remote import runs_here
from .targets import Target, load_target, names


@dataclass(frozen=True)
class Reach:
    """A target, and how it stands: `now` says by what it can be reached or why it cannot."""

    target: Target
    reachable: bool
    now: str


def all_targets() -> list[Reach]:
    """The shipped targets, those that can be reached first."""
    attached = _attached()
    found = [_reach(load_target(name), attached) for name in names()]
    return sorted(found, key=lambda each: (not each.reachable, each.target.name))


def _attached() -> dict[str, tuple[str, str]] | str:
    """What adb sees, or why nothing."""
    try:
        return devices()
    except EdgepruneError as error:
        return str(error).split(";")[0]


def _reach(target: Target, attached: dict[str, tuple[str, str]] | str) -> Reach:
    ways: list[str] = []
    lacks: list[str] = []
    if target.kind == "browser":
        missing = lacking()
        ways += [] if missing else [f"this machine: {chromium.found()}"]
        lacks += missing
    elif "local" in target.transports:
        if runs_here(target):
            ways.append("this machine")
        else:
            gpu = target.hardware.gpu if target.kind == "gpu" else None
            lacks.append(f"no {gpu.name} in this machine" if gpu else "this machine is another")
    if "adb" in target.transports:
        if isinstance(attached, str):
            lacks.append(attached)
        else:
            ways += [
                f"adb: {serial} ({model})"
                for serial, (state, model) in attached.items()
                if state == "device" and _named(target, model)
            ]
            others = ", ".join(
                f"{serial} is {state}" if state != "device" else model or serial for serial, (state, model) in attached.items()
            )
            if not ways:
                lacks.append(f"adb sees no such phone (it sees: {others or 'none'})")
    if "ssh" in target.transports:
        lacks.append("ssh: with --host" if shutil.which("ssh") else "there is no ssh on this machine")
    if not target.transports:
        estimated = any(ENGINE_OF.get(f".{each}") in target.costs for each in target.formats)
        lacks.append("estimates only" if estimated else "figures only")
    if emulated(target):
        lacks.append(".c emulated: --emulate")
    return Reach(target, bool(ways), "; ".join(ways + ([] if ways else lacks)))


def lacking() -> list[str]:
    """What running a model in a browser takes and is not here."""
    ways = ((chromium.found, "no Chromium or Chrome here"), (lambda: find_spec("ziglang"), "no ziglang: pip install ziglang"))
    return [missing for there, missing in ways if not there()]


def emulated(target: Target) -> bool:
    """Whether what emulates the target is installed here."""
    try:
        if "qemu-system" in target.transports:
            return bool(board_tools(target))
        return "qemu-user" in target.transports and bool(emulator_for(target))
    except EdgepruneError:
        return False


def _named(target: Target, model: str) -> bool:
    """Whether the phone calls itself what the target does: Pixel_8 is the pixel-8."""
    plain = [re.sub(r"[^a-z0-9]", "", text.lower()) for text in (model, target.name)]
    return bool(plain[0]) and plain[0] == plain[1]
