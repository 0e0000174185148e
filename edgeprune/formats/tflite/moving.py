"""Maps with a border, and parts of tensors: what several families write around their ops."""

from __future__ import annotations

import numpy as np

from ...graph import Shape, Value
from ..patterns import Window
from .layout import line
from .schema import SAME, VALID
from .writer import Writer


def stated(windows: tuple[Window, ...]) -> bool:
    """Whether an op can say the windows' padding itself."""
    return not any(w.padded for w in windows) or all(w.same for w in windows)


def pad_for(out: Writer, x: int, value: Value, windows: tuple[Window, ...], fill: float) -> tuple[int, int]:
    """(`x`, padded with `fill` unless the op can say the windows' padding itself, what the op says)."""
    if not any(w.padded for w in windows):
        return x, VALID
    if stated(windows):
        return x, SAME
    return pad(out, x, value, tuple((w.before, w.read_after) for w in windows), fill), VALID


def pad(out: Writer, x: int, value: Value, amount: tuple[tuple[int, int], ...], fill: float) -> int:
    """The map that `x` holds, with `fill` around its spatial axes."""
    sizes = [n + sum(p) for n, p in zip(value.shape[1:], amount, strict=True)]
    rows = ((0, 0), *(((0, 0),) if line(value) else ()), *amount, (0, 0))
    table = out.constant(np.array(rows, np.int32))
    shape = (*((1,) if line(value) else ()), *sizes, value.channels)
    return out.op("PAD", [x, table], shape) if fill == 0 else out.op("PADV2", [x, table, out.scalar(fill)], shape)


def cut(out: Writer, x: int, ranges: list[range | None], shape: Shape) -> int:
    """The places in the ranges, one a stored axis; None takes all of it."""
    whole = 1 | sum(2 << i for i, r in enumerate(ranges) if r is None)
    bounds = [(0, 0, 1), *((0, 0, 1) if r is None else (r.start, r[-1] + 1, r.step) for r in ranges)]
    begin, end, step = (out.integers(*numbers) for numbers in zip(*bounds, strict=True))
    return out.op("STRIDED_SLICE", [x, begin, end, step], shape, begin_mask=whole, end_mask=whole)
