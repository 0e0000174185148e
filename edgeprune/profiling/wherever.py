"""A figure for a device, the best that can be had now: measured on it, else emulated, else estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EdgepruneError
from .documents import Record
from .emulation import emulate
from .estimate import estimate
from .remote import profile_on
from .targets import Target, load_target


@dataclass(frozen=True)
class Wanted:
    """A device, and where it is where that has to be said."""

    target: Target
    host: str | None = None


def wanted_of(text: str, formats: Sequence[str]) -> list[Wanted]:
    """The devices of "pixel-8,raspberry-pi-5=pi@pi.local", each taking one of the formats ("tflite", ...) at least.

    Raises EdgepruneError for an unknown device, and for one that takes none of them.
    """
    found = []
    for word in text.split(","):
        name, _, host = word.strip().partition("=")
        if not name:
            raise EdgepruneError(f"{text!r} names a device too few; name them like pixel-8,raspberry-pi-5=pi@pi.local")
        target = load_target(name)
        if not set(formats) & set(target.formats):
            takes = ", ".join(target.formats)
            raise EdgepruneError(f"{name} takes {takes} files, and none is written; add one to --target")
        found.append(Wanted(target, host or None))
    return found


def best_profile(wanted: Wanted, path: Path, **settings: Any) -> tuple[Record | None, tuple[str, ...]]:
    """(the best figure, why it is no better): measured, else emulated where it is C, else estimated; None when there is none.

    `settings` are those of `profile_on`.
    """
    target, reasons = wanted.target, []
    ways: list[Any] = [lambda: profile_on(target, path, host=wanted.host, **settings)]
    if path.suffix == ".c":
        ways.append(lambda: emulate(target, path))
    ways.append(lambda: estimate(target, path))
    for way in ways:
        try:
            record: Record = way()
        except EdgepruneError as error:
            reasons.append(str(error))
        else:
            return record, tuple(reasons)
    return None, tuple(reasons)
