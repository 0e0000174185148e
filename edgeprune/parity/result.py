"""How far two sides agree, as numbers and as a check that fails."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..errors import CheckFailed
from ..graph import Shape


@dataclass(frozen=True)
class Place:
    """Where two tensors differ most."""

    output: str
    sample: int
    index: Shape
    found: float
    expected: float

    def __str__(self) -> str:
        index = ", ".join(map(str, self.index))
        return f"sample {self.sample}, output {self.output}[{index}]: {self.found:.9g} instead of {self.expected:.9g}"


@dataclass(frozen=True)
class Pair:
    """One side compared with another, over all outputs."""

    name: str  # "artifact vs reference"
    max_relative_error: float  # inf where an output is not finite or where zeros alone were expected and not found
    worst: Place | None  # None without a difference
    nonfinite: int  # outputs that are NaN or infinite on either side
    compared: int  # samples whose top-1 was compared; 0 for outputs that are no class scores
    disagreements: int  # another top-1, though the reference is clear about it
    tied_disagreements: int  # another top-1 where the reference holds a tie
    ties: int  # all samples where it does
    classes: int  # how many different classes the reference names; one alone makes agreement mean little

    @property
    def top1_agreement(self) -> float | None:
        """The fraction of samples with the same top-1, ties counted as they fell; None without class scores."""
        return None if not self.compared else 1 - (self.disagreements + self.tied_disagreements) / self.compared

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; an infinite error is null, and `nonfinite` or `worst` says why."""
        worst = self.worst
        return {
            "name": self.name,
            "max_relative_error": self.max_relative_error if math.isfinite(self.max_relative_error) else None,
            "top1_agreement": self.top1_agreement,
            "disagreements": self.disagreements,
            "tied_disagreements": self.tied_disagreements,
            "ties": self.ties,
            "classes": self.classes,
            "nonfinite": self.nonfinite,
            "worst": None
            if worst is None
            else {
                "output": worst.output,
                "sample": worst.sample,
                "index": list(worst.index),
                "found": worst.found if math.isfinite(worst.found) else str(worst.found),
                "expected": worst.expected if math.isfinite(worst.expected) else str(worst.expected),
            },
        }


@dataclass(frozen=True)
class Parity:
    """How far artifact, graph and reference agree, pair by pair."""

    samples: int
    tolerance: float
    pairs: tuple[Pair, ...]
    rounding: float  # the graph's own relative error from computing in float32, on a few of the samples

    @property
    def max_relative_error(self) -> float:
        """The worst of the pairs."""
        return max(pair.max_relative_error for pair in self.pairs)

    @property
    def top1_agreement(self) -> float | None:
        """The worst of the pairs; None when no output holds class scores."""
        found = [pair.top1_agreement for pair in self.pairs]
        return min((each for each in found if each is not None), default=None)

    @property
    def passed(self) -> bool:
        return all(pair.max_relative_error <= self.tolerance and not pair.disagreements for pair in self.pairs)

    def check(self) -> Parity:
        """Itself. Raises CheckFailed naming the first pair that does not agree, by how much, and where."""
        for pair in self.pairs:
            if pair.nonfinite:
                raise CheckFailed(f"{pair.name}: {pair.nonfinite} values are NaN or infinite; first at {pair.worst}")
            if not pair.max_relative_error <= self.tolerance:
                raise CheckFailed(
                    f"{pair.name}: relative error {pair.max_relative_error:.3g} is above {self.tolerance:.3g}, "
                    f"worst at {pair.worst} ({self.samples} samples; float32 rounding alone makes {self.rounding:.1g})"
                )
            if pair.disagreements:
                raise CheckFailed(
                    f"{pair.name}: another top-1 on {pair.disagreements} of {pair.compared} samples that are no ties, worst at "
                    f"{pair.worst} (relative error {pair.max_relative_error:.3g}, tolerance {self.tolerance:.3g})"
                )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        error = self.max_relative_error
        return {
            "passed": self.passed,
            "samples": self.samples,
            "tolerance": self.tolerance,
            "max_relative_error": error if math.isfinite(error) else None,
            "top1_agreement": self.top1_agreement,
            "rounding": self.rounding if math.isfinite(self.rounding) else None,
            "pairs": [pair.to_dict() for pair in self.pairs],
        }
