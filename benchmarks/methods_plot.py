"""Accuracy over ratio as SVG: a panel for each way to cut, a line a method."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from methods_table import accuracy, of

Runs = Sequence[dict[str, Any]]

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 330, 50, 40, 130, 40


def plot(runs: Runs, network: str, kind: Callable[[str], str]) -> str:
    """Panels two by two; lines are solid with all-alive pruning, dashed without."""
    kinds = list(dict.fromkeys(kind(run["method"]) for run in runs))
    ratios = sorted({run["ratio"] for run in runs})
    rows = math.ceil(len(kinds) / 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {rows * HEIGHT + 30}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{network} on MNIST: test accuracy over compression ratio (dashed: without all-alive)</text>',
    ]
    for number, when in enumerate(kinds):
        mine = [run for run in runs if kind(run["method"]) == when]
        parts.append(f'<g transform="translate({number % 2 * WIDTH} {number // 2 * HEIGHT + 30})">')
        parts += [*_panel(mine, when, ratios), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(runs: Runs, when: str, ratios: Sequence[int]) -> list[str]:
    low, high = math.log(ratios[0]), math.log(max(ratios[-1], ratios[0] * 2))

    def x(ratio: float) -> float:
        return LEFT + (math.log(ratio) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(percent: float) -> float:
        return TOP + (1 - percent / 100) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="{TOP - 12}" font-size="13">cut {when}</text>']
    for percent in range(0, 101, 20):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(percent):.1f}" y2="{y(percent):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(percent) + 4:.1f}" text-anchor="end">{percent} %</text>')
    parts += [f'<text x="{x(r):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{r}x</text>' for r in ratios]
    for number, method in enumerate(dict.fromkeys(run["method"] for run in runs)):
        colour, row = COLOURS[number % len(COLOURS)], TOP + 8 + 16 * number
        for aap, dash in ((True, ""), (False, ' stroke-dasharray="4 3" opacity="0.7"')):
            some = of(runs, method=method, aap=aap)
            points = [f"{x(r):.1f},{y(accuracy(of(some, ratio=r))):.1f}" for r in sorted({run["ratio"] for run in some})]
            parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>')
            parts += [f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="2" fill="{colour}"/>' for p in points]
        parts.append(f'<rect x="{WIDTH - RIGHT + 12}" y="{row - 6}" width="18" height="3" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 36}" y="{row}">{method}</text>')
    return parts
