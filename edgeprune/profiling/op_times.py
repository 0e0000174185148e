"""Time op by op: what a runtime's own profiler said, set beside what the ops of the file compute and move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EdgepruneError
from ..graph import Shape
from .local import Child
from .result import OpTime
from .work import Work, work_of

TIMER = Path(__file__).with_name("op_timer.py")
SECONDS = 0.5

# How runtimes call what reads a weight: the beginnings of their kernels' names, and the kinds of work that those do.
KERNELS = {
    "CONV_2D": ("conv", "pointwise"),
    "DEPTHWISE_CONV_2D": ("depthwise",),
    "TRANSPOSE_CONV": ("conv", "pointwise"),
    "Deconvolution": ("conv", "pointwise"),
    "Convolution": ("conv", "pointwise", "depthwise"),
    "FULLY_CONNECTED": ("linear", "pointwise"),
    "Fully Connected": ("linear", "pointwise"),
    "Conv": ("conv", "pointwise", "depthwise"),
    "FusedConv": ("conv", "pointwise", "depthwise"),
    "Gemm": ("linear", "pointwise"),
    "FusedGemm": ("linear", "pointwise"),
    "MatMul": ("linear", "pointwise"),
    "FusedMatMul": ("linear", "pointwise"),
}


@dataclass(frozen=True)
class Timed:
    """One op as the runtime names it. `weight` is the shape of what it was given for one, where the runtime tells."""

    name: str
    kind: str
    ms: float
    weight: Shape | None = None


def times_of(path: Path, child: Child) -> tuple[tuple[OpTime, ...], str]:
    """(times, what took them) from a timing script at work on the file, or ((), why there are none)."""
    try:
        child.finish()
        said: dict[str, Any] = child.answer()
    except EdgepruneError as error:
        return (), f"not timed: {error}"
    if "why" in said:
        return (), f"not timed: {said['why']}"
    timed = [Timed(name, kind, ms, None if weight is None else tuple(weight)) for name, kind, ms, weight in said["ops"]]
    try:
        work = work_of(path)
    except EdgepruneError:
        work = []
    return joined(timed, work), str(said["by"])


def joined(timed: Sequence[Timed], work: Sequence[Work]) -> tuple[OpTime, ...]:
    """The times, with what the ops of the file that read weights do, where each of these is found again."""
    own = [each for each in work if each.weight is not None]
    reading = [i for i, each in enumerate(timed) if kinds_of(each)]
    place: dict[int, int] = {}
    left = list(range(len(own)))
    for i in reading if len(reading) == len(own) else ():
        fits = next((at for at in left if fits_together(timed[i], own[at])), None)
        if fits is None:
            place.clear()
            break
        left.remove(fits)
        place[i] = fits
    return tuple(_op_times(timed, own, place))


def _op_times(timed: Sequence[Timed], own: Sequence[Work], place: dict[int, int]) -> Iterator[OpTime]:
    for i, each in enumerate(timed):
        at = place.get(i)
        if at is None:
            yield OpTime(each.name, each.kind, each.ms)
        else:
            work = own[at]
            # The runtime may know the op by its kernel alone.
            name = work.name if each.name == each.kind else each.name
            yield OpTime(name, each.kind, each.ms, work.multiply_adds, work.weight_bytes + work.moved_bytes, at)


def kinds_of(timed: Timed) -> tuple[str, ...]:
    """The kinds of work that a kernel could be; none for one that reads no weight."""
    if timed.kind in ("Gemm", "FusedGemm", "MatMul", "FusedMatMul") and timed.weight is None:
        return ()
    return next((kinds for start, kinds in KERNELS.items() if timed.kind == start or timed.kind.startswith(f"{start} (")), ())


def fits_together(timed: Timed, work: Work) -> bool:
    """Whether the kernel could be that op: runtimes reorder branches, so that the next one in the file may be another."""
    kind = work.kind.removeprefix("sparse_")
    if not any(kind == each or (kind.startswith("loose_") and each != "linear") for each in kinds_of(timed)):
        return False
    if timed.weight is None or work.weight is None:
        return True
    if len(work.weight) == 2:  # either way round
        return sorted(timed.weight) == sorted(work.weight)
    # Layouts in blocks of channels are filled up; a kernel's window stays what it is.
    if len(timed.weight) != len(work.weight) or timed.weight[2:] != work.weight[2:]:
        return False
    return all(ours <= theirs < ours + 16 for ours, theirs in zip(work.weight[:2], timed.weight[:2], strict=True))
