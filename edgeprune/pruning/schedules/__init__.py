"""When to cut and how to retrain. A schedule is one function of a Run: its file, and its line in SCHEDULES."""

from __future__ import annotations

from collections.abc import Callable

from ..run import Run
from ..structured import l1_filters, polarization, stripes, tpp
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
    "l1-filters": l1_filters,
    "tpp": tpp,
    "polarization": polarization,
    "stripes": stripes,
}

# Schedules that change the masks within one training, which is then all the training there is.
WITHIN_TRAINING = frozenset({gradual, dpf, rigl, set_, dnw, ac_dc})

# Schedules that move all weights by the gradient at the masked ones, whichever those are at the time.
DENSE_COPY = frozenset({dpf, dnw})

# Schedules that take out filters or stripes as a whole, of at most the budget; all but the first train before they cut.
STRUCTURED = frozenset({l1_filters, tpp, polarization, stripes})
TRAINING_FIRST = STRUCTURED - {l1_filters}

__all__ = ["DENSE_COPY", "SCHEDULES", "STRUCTURED", "TRAINING_FIRST", "WITHIN_TRAINING", "Schedule"]
