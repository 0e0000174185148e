"""MNIST's digits as a hand would draw them."""

from __future__ import annotations

import numpy as np

Place = tuple[int, int]  # row, column
AROUND = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))


def strokes(image: np.ndarray) -> list[list[Place]]:
    """The middle lines of a digit's ink, each a walk from pixel to neighbouring pixel."""
    left = {(int(r), int(c)) for r, c in np.argwhere(thinned(image > 100))}
    drawn: set[Place] = set()
    found = []
    while left:
        ends = [p for p in sorted(left) if len(near(p, left)) < 2]
        place = ends[0] if ends else min(left)
        # A line that leaves another one begins on it.
        walk = [*near(place, drawn)[:1], place]
        left.remove(place)
        while near(place, left):
            place = near(place, left)[0]
            left.remove(place)
            walk.append(place)
        walk += [p for p in near(place, drawn)[:1] if p not in walk]
        drawn.update(walk)
        found.append(walk)
    return found


def near(place: Place, among: set[Place]) -> list[Place]:
    """The pixels beside it, those that share an edge first."""
    row, column = place
    steps = [(-1, 0), (0, 1), (1, 0), (0, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)]
    return [(row + r, column + c) for r, c in steps if (row + r, column + c) in among]


def thinned(ink: np.ndarray) -> np.ndarray:
    """The ink worn down to lines one pixel wide, by Zhang and Suen's rule (1984)."""
    ink = np.pad(ink, 1)
    while True:
        before = ink.copy()
        for turn in (0, 1):
            ring = [np.roll(ink, shift, (0, 1)) for shift in AROUND]
            north, _, east, _, south, _, west, _ = ring
            count = sum(r.astype(int) for r in ring)
            rises = sum((~a & b).astype(int) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True))
            open_sides = ~(east & south & (north | west)) if turn == 0 else ~(north & west & (east | south))
            ink = ink & ~((count >= 2) & (count <= 6) & (rises == 1) & open_sides)
        if (ink == before).all():
            return ink[1:-1, 1:-1]
