"""When to cut and how to retrain. A schedule is one function of a Run: its file, and its line in SCHEDULES."""

from __future__ import annotations

from collections.abc import Callable

from ..run import Run
from .iterative import iterative
from .one_shot import one_shot

Schedule = Callable[[Run], None]

SCHEDULES: dict[str, Schedule] = {"iterative": iterative, "one-shot": one_shot}

__all__ = ["SCHEDULES", "Schedule", "iterative", "one_shot"]
