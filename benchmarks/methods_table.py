"""What methods.py writes: Markdown tables, and a plot as SVG."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

Runs = Sequence[dict[str, Any]]


def tables(runs: Runs, epochs: dict[str, int], lr: float) -> str:
    lines = [
        "# Pruning methods compared",
        "",
        f"MNIST. Every method gets the same few epochs of AdamW (peak learning rate {lr:g}, one cycle, batches of 256): all after its cut, or",
        "one after each of as many cuts, or all in the one training it cuts in. That is a fraction of what the default settings train, so",
        "compare rows with each other and not with other tables. The learning rate was chosen on a validation part of the training data of",
        "LeNet-300-100 (`--choose`), the largest of three. Test accuracy of the last epoch in percent, mean ± standard deviation where there are several seeds.",
        "`init` methods prune an untrained network, as their papers do, the others a trained one.",
        "Only what has a row here was run; an empty cell, a missing ratio or seed was not. With one seed, differences of a few points say",
        "nothing. At initialisation the order of the papers holds for plain selection: FORCE and SynFlow stay connected, SNIP and GraSP",
        "keep nothing alive. All-alive pruning lifts both of those above SynFlow. DPF fails at this learning rate and length.",
        "Made by `python benchmarks/methods.py`; one core, shared with other work, so the seconds are rough.",
    ]
    for network in sorted({run["network"] for run in runs}):
        some = [run for run in runs if run["network"] == network]
        lines += [
            "",
            f"## {network}, {epochs[network]} epochs",
            "",
            *_picture(some, network),
            *_accuracies(some),
        ]
        lines += ["", "### Where plain selection leaves dead weights at 512x and 1024x", "", *_gains(some)]
    return "\n".join(lines) + "\n"


def _picture(runs: Runs, network: str) -> list[str]:
    return [f"![accuracy over ratio](methods_{network}.svg)", ""] if len({run["ratio"] for run in runs}) > 1 else []


def _of(runs: Runs, **wanted: Any) -> list[dict[str, Any]]:
    return [run for run in runs if all(run[key] == value for key, value in wanted.items())]


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def _accuracies(runs: Runs) -> list[str]:
    ratios = sorted({run["ratio"] for run in runs})
    lines = [
        "| method | start | all-alive | " + " | ".join(f"{ratio}x" for ratio in ratios) + " | seeds | seconds |",
        "|---|---|---|" + "---|" * len(ratios) + "---|---|",
    ]
    for method in dict.fromkeys(run["method"] for run in runs):
        for aap in (True, False):
            mine = _of(runs, method=method, aap=aap)
            cells = []
            for ratio in ratios:
                some = _of(mine, ratio=ratio)
                cells.append(_spread([100 * run["accuracy"] for run in some]) if some else "")
            if mine:
                seeds = len({run["seed"] for run in mine})
                start = "init" if mine[0]["dense"] is None else "trained"
                seconds = statistics.median(run["seconds"] for run in mine)
                yes = "yes" if aap else "no"
                lines.append(f"| {method} | {start} | {yes} | {' | '.join(cells)} | {seeds} | {seconds:.0f} |")
    return lines


def _gains(runs: Runs) -> list[str]:
    lines = [
        "| method | ratio | kept | alive without | dead share | accuracy without | accuracy with | gain |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method in dict.fromkeys(run["method"] for run in runs):
        for ratio in (512, 1024):
            without, with_it = _of(runs, method=method, ratio=ratio, aap=False), _of(runs, method=method, ratio=ratio, aap=True)
            if not without or not with_it:
                continue
            alive = statistics.mean(run["alive"] for run in without)
            kept = without[0]["kept"]
            before, after = (100 * statistics.mean(run["accuracy"] for run in some) for some in (without, with_it))
            lines.append(
                f"| {method} | {ratio}x | {kept:,} | {alive:,.0f} | {100 * (1 - alive / kept):.0f} % | {before:.1f} | {after:.1f} |"
                f" {after - before:+.1f} |"
            )
    return lines


COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf", "#7f7f7f", "#bcbd22")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 900, 480, 60, 40, 190, 50


def plot(runs: Runs, network: str) -> str:
    """Accuracy over ratio, a line a method; solid with all-alive pruning, dashed without."""
    ratios = sorted({run["ratio"] for run in runs})
    low, high = math.log(ratios[0]), math.log(max(ratios[-1], ratios[0] * 2))

    def x(ratio: float) -> float:
        return LEFT + (math.log(ratio) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(accuracy: float) -> float:
        return TOP + (1 - accuracy) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{network} on MNIST: test accuracy over compression ratio (dashed: without all-alive)</text>',
    ]
    for tenth in range(0, 11, 2):
        at = y(tenth / 10)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10 * tenth} %</text>')
    parts += [f'<text x="{x(r):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{r}x</text>' for r in ratios]
    for number, method in enumerate(dict.fromkeys(run["method"] for run in runs)):
        colour, row = COLOURS[number % len(COLOURS)], TOP + 16 * number
        for aap, dash in ((True, ""), (False, ' stroke-dasharray="4 3" opacity="0.6"')):
            parts.append(_line([r for r in runs if r["method"] == method and r["aap"] == aap], x, y, colour, dash))
        mark = "" if number < len(COLOURS) else " (2)"
        parts.append(f'<rect x="{WIDTH - RIGHT + 14}" y="{row - 8}" width="18" height="3" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 38}" y="{row - 2}">{method}{mark}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(runs: Runs, x: Callable[[float], float], y: Callable[[float], float], colour: str, dash: str) -> str:
    points = []
    for ratio in sorted({run["ratio"] for run in runs}):
        points.append(f"{x(ratio):.1f},{y(statistics.mean(run['accuracy'] for run in runs if run['ratio'] == ratio)):.1f}")
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>'
