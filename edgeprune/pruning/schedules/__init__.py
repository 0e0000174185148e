"""When to cut and how to retrain. A schedule is one function of a Run: its file, and its line in SCHEDULES."""

from __future__ import annotations

from collections.abc import Callable

from ..run import Run
from .ac_dc import ac_dc
from .dnw import dnw
from .dpf import dpf
from .gradual import gradual
from .iterative import iterative
from .one_shot import one_shot
from .rewiring import rigl, set_

Schedule = Callable[[Run], None]

SCHEDULES: dict[str, Schedule] = {
    "iterative": iterative,
    "one-shot": one_shot,
    "gradual": gradual,
    "dpf": dpf,
    "rigl": rigl,
    "set": set_,
    "dnw": dnw,
    "ac-dc": ac_dc,
}

# Schedules that change the masks within one training, which is then all the training there is.
WITHIN_TRAINING = frozenset({gradual, dpf, rigl, set_, dnw, ac_dc})

__all__ = ["SCHEDULES", "WITHIN_TRAINING", "Schedule"]
