"""What methods.py writes: Markdown tables that judge themselves."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Runs = Sequence[dict[str, Any]]
Kind = Callable[[str], str]

EARLIER, ITERATED = ("snip", "grasp"), ("force", "synflow")
ENOUGH_DEAD, ENOUGH_GAIN = 0.25, 5.0
ORDER = {
    "lenet_300_100": """\
With all-alive pruning the order does not hold: what puts SNIP and GraSP last are the dead weights that they keep.""",
    "lenet_5": """\
At 32x the five are within their spreads: what is left is more than this task needs. Iterative SNIP without all-alive pruning falls
behind at 128x and 512x, where its paper has it near FORCE: what it cuts never returns, and at 512x all weights of five to seven of the
ten outputs were gone in three seeds (of one or two by FORCE, of none by SynFlow), although nearly all that it kept is alive.""",
}

HEAD = """\
# Pruning methods compared

MNIST, test accuracy of the last epoch in percent: mean ± standard deviation over the seeds. Every method gets the same epochs on the
same evenly spaced training images, in one cycle of AdamW (of SGD for a dense copy): all after its cut, or one after each of as many
cuts, or all within the one training it cuts in. That is a small part of what the default settings train, on a part of the images, so
that several seeds fit: compare rows with each other, not with other tables. The learning rate is the best of three, one for each way
to cut, on a validation part of the training images (`--choose`: at 128x, by SynFlow and SNIP, magnitude, Wanda, gradual). Networks
pruned at initialisation have Kaiming-normal weights and no biases at first, as in the papers; the others were trained first. Only
what has a figure here was run; each table says what is missing. A figure without ± is of one seed, and a difference within the
spreads says nothing; one near chance has no way left from input to output: see its dead weights.

Made by `python benchmarks/methods.py` (`--network` for the other one). Seconds are of one processor core, the training of the dense
network not among them."""


def tables(runs: Runs, settings: dict[str, dict[str, Any]], ratios: Sequence[int], methods: Sequence[str], kind: Kind) -> str:
    lines = [HEAD]
    for network, setting in settings.items():
        some = [run for run in runs if run["network"] == network]
        if not some:
            continue
        rates = ", ".join(
            f"{lr:g} {when}" for when, lr in setting["lr"].items() if any(kind(run["method"]) == when for run in some)
        )
        lines += [
            "",
            f"## {network}: {setting['images']:,} training images, {setting['epochs']} epochs, batches of {setting['batch_size']}",
            "",
            f"Learning rates: {rates}. {some[0]['total']:,} weights; {setting['tests']:,} test images.",
            "",
            *([f"![accuracy over ratio](methods_{network}.svg)", ""] if several_ratios(some) else []),
            *_accuracies(some, kind),
            "",
            _missing(some, ratios, methods),
        ]
        for title, part in (
            ("Dead weights that plain selection keeps", _dead(some, kind)),
            ("All-alive pruning where plain selection leaves dead weights, at 512x and 1024x", _gains(some)),
            ("The published order at initialisation", _order(some)),
        ):
            lines += ["", f"### {title}", "", *part] if part else []
    return "\n".join(lines) + "\n"


def of(runs: Runs, **wanted: Any) -> list[dict[str, Any]]:
    """The runs with these values."""
    return [run for run in runs if all(run[key] == value for key, value in wanted.items())]


def several_ratios(runs: Runs) -> bool:
    """Whether there is anything to draw a line through."""
    return len({run["ratio"] for run in runs}) > 1


def accuracy(runs: Runs) -> float:
    """Mean accuracy in percent."""
    return 100 * statistics.mean(run["accuracy"] for run in runs)


def dead_share(runs: Runs) -> float:
    return statistics.mean(1 - run["alive"] / run["kept"] for run in runs)


def _spread(runs: Runs) -> str:
    values = [100 * run["accuracy"] for run in runs]
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _header(names: Sequence[str]) -> list[str]:
    return [_row(names), "|" + "---|" * len(names)]


def _accuracies(runs: Runs, kind: Kind) -> list[str]:
    ratios = sorted({run["ratio"] for run in runs})
    budgets = [f"{ratio}x: {of(runs, ratio=ratio)[0]['kept']:,} kept" for ratio in ratios]
    lines = _header(["method", "cuts", "all-alive", *budgets, "seeds", "seconds"])
    for method, aap in itertools.product(dict.fromkeys(run["method"] for run in runs), (True, False)):
        mine = of(runs, method=method, aap=aap)
        if not mine:
            continue
        cells = [_spread(some) if (some := of(mine, ratio=ratio)) else "" for ratio in ratios]
        seeds = sorted({len(of(mine, ratio=run["ratio"])) for run in mine})
        seconds = statistics.median(run["seconds"] for run in mine)
        counted = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        lines.append(_row([method, kind(method), "yes" if aap else "no", *cells, counted, f"{seconds:.0f}"]))
    return lines


def _missing(runs: Runs, ratios: Sequence[int], methods: Sequence[str]) -> str:
    seeds = {run["seed"] for run in runs}
    said = []
    for ratio in ratios:
        had = {method: {(run["aap"], run["seed"]) for run in of(runs, method=method, ratio=ratio)} for method in methods}
        none = [method for method in methods if not had[method]]
        part = [method for method in methods if 0 < len(had[method]) < 2 * len(seeds)]
        if len(none) == len(methods):
            said.append(f"{ratio}x")
        elif none or part:
            in_part = f"{', '.join(part)} in part" if part else ""
            said.append(f"at {ratio}x {', '.join([*none, in_part] if part else none)}")
    return f"Not run: {'; '.join(said)}." if said else "Nothing is missing."


def _dead(runs: Runs, kind: Kind) -> list[str]:
    ratios = sorted({run["ratio"] for run in runs})
    lines = _header(["method", "cuts", *(f"{ratio}x" for ratio in ratios)])
    for method in dict.fromkeys(run["method"] for run in runs):
        plain = of(runs, method=method, aap=False)
        if plain:
            cells = [f"{100 * dead_share(some):.0f} %" if (some := of(plain, ratio=ratio)) else "" for ratio in ratios]
            lines.append(_row([method, kind(method), *cells]))
    repaired = of(runs, aap=True)
    whole = sum(run["alive"] == run["kept"] == run["total"] // run["ratio"] for run in repaired)
    said = f"With all-alive pruning the whole budget was kept and alive in {whole:,} of {len(repaired):,} runs."
    return [*lines, *(["", said] if repaired else [])] if len(lines) > 2 else []


def _gains(runs: Runs) -> list[str]:
    lines = _header(["method", "ratio", "kept", "alive without", "dead share", "without", "with", "gain", "5 points or more"])
    asked = met = 0
    for method, ratio in itertools.product(dict.fromkeys(run["method"] for run in runs), (512, 1024)):
        plain, repaired = of(runs, method=method, ratio=ratio, aap=False), of(runs, method=method, ratio=ratio, aap=True)
        if not plain or not repaired:
            continue
        gain, dead = accuracy(repaired) - accuracy(plain), dead_share(plain)
        counts = dead > ENOUGH_DEAD
        asked, met = asked + counts, met + (counts and gain >= ENOUGH_GAIN)
        verdict = ("yes" if gain >= ENOUGH_GAIN else "**no**") if counts else "few dead"
        alive = statistics.mean(run["alive"] for run in plain)
        lines.append(
            _row([
                method, f"{ratio}x", f"{plain[0]['kept']:,}", f"{alive:,.0f}", f"{100 * dead:.0f} %", _spread(plain),
                _spread(repaired), f"{gain:+.1f}", verdict,
            ])
        )  # fmt: skip
    if len(lines) == 2:
        return []
    said = f"Where more than {100 * ENOUGH_DEAD:.0f} % of what plain selection keeps is dead, all-alive pruning gains at least"
    return [*lines, "", f"{said} {ENOUGH_GAIN:g} points in {met} of {asked} cases."]


def _order(runs: Runs) -> list[str]:
    """Whether FORCE and SynFlow are above SNIP and GraSP, by ratio and with or without all-alive pruning."""
    names = ("force", "synflow", "iterative-snip", "snip", "grasp")
    lines = _header(["ratio", "all-alive", *names, "FORCE and SynFlow above SNIP and GraSP"])
    for ratio, aap in itertools.product(sorted({run["ratio"] for run in runs}), (False, True)):
        some = {name: found for name in names if (found := of(runs, method=name, ratio=ratio, aap=aap))}
        if not some.keys() >= {*EARLIER, *ITERATED}:
            continue
        margin = min(accuracy(some[name]) for name in ITERATED) - max(accuracy(some[name]) for name in EARLIER)
        verdict = f"{'yes' if margin > 0 else '**no**'}, by {margin:+.1f}"
        lines.append(
            _row([f"{ratio}x", "yes" if aap else "no", *(_spread(some[name]) if name in some else "" for name in names), verdict])
        )
    return [*lines, "", ORDER[runs[0]["network"]]] if len(lines) > 2 else []
