"""What edgeprune says when it will not go on: one line that names where, what was found, and what would do."""

from __future__ import annotations


class EdgepruneError(Exception):
    """The input or the request cannot be handled as it stands; nothing was written. Exit code 2 on the command line."""

    exit_code = 2


class CheckFailed(EdgepruneError):
    """The work was done, but a promise (parity, budget, alive weights) does not hold. Exit code 1."""

    exit_code = 1


class Unsupported(EdgepruneError):
    """Capture met an operation that has no meaning in the graph."""


class NotExportable(EdgepruneError):
    """A format cannot say an operation of the graph."""


class MissingExtra(EdgepruneError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed; install it with: pip install 'edgeprune[{extra}]'"
        )
