"""The arena: every buffer a place of its own for as long as it is needed, decided before the model runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

GRAIN = 16  # buffers begin on multiples of this many floats


@dataclass(eq=False)
class Buffer:
    """So many floats of the arena, from the first step that touches them to the last."""

    name: str
    floats: int
    first: int = -1
    last: int = -1
    offset: int = field(default=-1)

    def touch(self, step: int) -> None:
        self.first = step if self.first < 0 else self.first
        self.last = step

    def meets(self, other: Buffer) -> bool:
        return self.first <= other.last and other.first <= self.last

    @property
    def room(self) -> int:
        return -(-self.floats // GRAIN) * GRAIN


def place(buffers: Sequence[Buffer]) -> int:
    """Gives every buffer its offset, the largest first, each at the lowest place free while it lives. Returns all floats."""
    placed: list[Buffer] = []
    used = [b for b in buffers if b.first >= 0]
    for buffer in sorted(used, key=lambda b: (-b.room, b.first, b.last, b.name)):
        at = 0
        for other in sorted((o for o in placed if o.meets(buffer)), key=lambda o: o.offset):
            if at + buffer.room <= other.offset:
                break
            at = max(at, other.offset + other.room)
        buffer.offset = at
        placed.append(buffer)
    return max((b.offset + b.room for b in placed), default=0)


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """Floats that live at the same time at the fullest step: no plan can do with fewer."""
    used = [b for b in buffers if b.first >= 0]
    steps = range(1 + max((b.last for b in used), default=-1))
    return max((sum(b.room for b in used if b.first <= s <= b.last) for s in steps), default=0)
