"""How much each weight matters. A criterion is one function: its file, and its line in CRITERIA."""

from __future__ import annotations

from .context import Context, Criterion, Refit
from .force import force
from .grasp import grasp
from .hydra import hydra, hydra_global
from .iterative_snip import iterative_snip
from .lamp import lamp
from .layerwise import erk, igq, layerwise
from .magnitude import magnitude
from .obc import least_squares, obc
from .random import random
from .snip import snip
from .sparsegpt import compensated, sparsegpt
from .synflow import synflow
from .wanda import wanda

CRITERIA: dict[str, Criterion] = {
    "magnitude": magnitude,
    "random": random,
    "layerwise": layerwise,
    "erk": erk,
    "igq": igq,
    "lamp": lamp,
    "snip": snip,
    "grasp": grasp,
    "iterative-snip": iterative_snip,
    "force": force,
    "synflow": synflow,
    "wanda": wanda,
    "obc": obc,
    "sparsegpt": sparsegpt,
    "hydra": hydra,
    "hydra-global": hydra_global,
}

# Criteria whose cut is followed by a change of the weights that stay.
REFITS: dict[Criterion, Refit] = {obc: least_squares, sparsegpt: compensated}

__all__ = ["CRITERIA", "REFITS", "Context", "Criterion", "Refit"]
