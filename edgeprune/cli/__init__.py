"""The command line: one command per public verb, each thin.

Exit codes: 0 done, 1 a check failed, 2 wrong usage or input, 130 interrupted.
"""

from __future__ import annotations

from . import making, measuring  # noqa: F401 - importing them adds their commands
from .group import main

__all__ = ["main"]
