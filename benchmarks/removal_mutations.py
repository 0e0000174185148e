"""Every removal rule deleted once on purpose, and every answer falsified once: what the checks on random graphs see of it.

    python benchmarks/removal_mutations.py            # about five minutes; rewrites benchmarks/removal_mutations.md

For each op and each question that the passes ask it, the answer is replaced on graphs where it makes a difference:

deleted     the safe default: the function must stay, and the graph be larger, or refused
less        `needs` one channel less than it does
loose       `ties` nothing
invented    a `constant` where a channel varies

A check sees it when the shrunk graph computes something else (1e-10), is refused, holds more numbers, or more nodes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
TABLE = HERE / "removal_mutations.md"
sys.path.insert(0, str(HERE.parent / "tests"))

from closeness import relative_error  # noqa: E402
from random_graphs import build, inputs_for, outputs_of  # noqa: E402
from rules import EXEMPT, PASSES, Rule, counted, named, passes_replaced, replaced, rules  # noqa: E402

from edgeprune.graph import Graph, Op  # noqa: E402
from edgeprune.ops import COMING, COMPOSED, OPS  # noqa: E402
from edgeprune.passes import shrink  # noqa: E402
from edgeprune.passes.check import check  # noqa: E402

GRAPHS, EACH, MOST = 1000, 5, 60


def graph_of(seed: int) -> Graph:
    return build(seed, 1 + seed % 8, convolutional=seed % 5 != 0, coming=True, several=True)


@dataclass(frozen=True)
class Dense:
    """A graph, what it makes of its inputs, and how large it is once shrunk."""

    graph: Graph
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    parameters: int
    nodes: int


def dense(seed: int) -> Dense:
    graph = graph_of(seed)
    inputs, small = inputs_for(graph), shrink(graph)
    return Dense(graph, inputs, outputs_of(graph, inputs), small.parameters, len(small.nodes))


def seen(case: Dense) -> str:
    """What a check sees of the rules as they are now: "inexact", "refused", "larger", "more nodes"; nothing when all is well."""
    try:
        with np.errstate(all="ignore"):
            small = check(shrink(case.graph))
            made = outputs_of(small, case.inputs)
    except (AssertionError, ValueError, IndexError, TypeError):
        return "refused"
    if max(relative_error(a, b) for a, b in zip(case.outputs, made, strict=True)) > 1e-10:
        return "inexact"
    if small.parameters != case.parameters:
        return "larger"
    return "" if len(small.nodes) == case.nodes else "more nodes"


# -- false answers -----------------------------------------------------------------------------------------------------


def less(answer: Callable[..., Any]) -> Callable[..., Any]:
    def ask(self: Op, ins: Any, out: Any) -> Any:
        masks = [m.copy() for m in answer(self, ins, out)]
        for mask in masks:
            mask[np.flatnonzero(mask)[-1:]] = False
        return tuple(masks)

    return ask


def loose(answer: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, ins, out, *live: (out, *live)


def invented(answer: Callable[..., Any]) -> Callable[..., Any]:
    def ask(self: Op, ins: Any, *constants: Any) -> Any:
        held = answer(self, ins, *constants).copy()
        held[np.flatnonzero(np.isnan(held))[:1]] = 0.25
        return held

    return ask


FALSE: dict[str, tuple[str, Callable[..., Any]]] = {"less": ("needs", less), "loose": ("ties", loose), "invented": ("constant", invented)}


def outcome(
    seeds: list[int], each: int, cases: dict[int, Dense], change: Callable[[], AbstractContextManager[None]], most: int = 0
) -> Counter[str]:
    """What is seen on `each` of the graphs, on more while nothing is."""
    found: Counter[str] = Counter()
    for seed in seeds[: most or MOST]:
        if sum(found.values()) >= each and sum(found.values()) > found[""]:
            break
        if seed not in cases:
            cases[seed] = dense(seed)
        with change():
            found[seen(cases[seed])] += 1
    return found


def cell(found: Counter[str]) -> str:
    """ "5 of 6: larger" """
    total = sum(found.values())
    ways = ", ".join(way for way, _ in found.most_common() if way)
    return f"{total - found['']} of {total}: {ways}" if ways else f"**0 of {total}**"


def where_they_fire(graphs: int) -> tuple[dict[Rule, list[int]], dict[type[Op], list[int]]]:
    """The seeds whose graphs an answer makes a difference in, and those that hold an op."""
    by_rule: dict[Rule, list[int]] = {rule: [] for rule in rules()}
    by_op: dict[type[Op], list[int]] = {op: [] for op in (*OPS, *COMING, *COMPOSED)}
    for seed in range(graphs):
        graph, fired = graph_of(seed), Counter[Rule]()
        with counted(fired):
            shrink(graph)
        for rule in fired:
            by_rule[rule].append(seed)
        for op in {type(n.op) for n in graph.nodes}:
            by_op[op].append(seed)
    return by_rule, by_op


def measure(graphs: int = GRAPHS, each: int = EACH) -> dict[str, Counter[str]]:
    """What was seen, by the name of what was done: "Conv.needs deleted", "Conv.needs less", "absorb_constants left out"."""
    by_rule, by_op = where_they_fire(graphs)
    cases: dict[int, Dense] = {}
    found: dict[str, Counter[str]] = {}
    for rule in rules():
        default = getattr(Op, rule[1])
        found[f"{named(rule)} deleted"] = outcome(by_rule[rule], each, cases, lambda r=rule, d=default: replaced(r, d))
    for op in by_op:
        for way, (question, falsify) in FALSE.items():
            false = falsify(getattr(op, question))
            found[f"{op.__name__}.{question} {way}"] = outcome(by_op[op], each, cases, lambda o=op, q=question, f=false: replaced((o, q), f))
    for name in PASSES:
        found[f"{name} left out"] = outcome(list(range(graphs)), each, cases, lambda n=name: passes_replaced(n, lambda step: lambda graph: graph), 600)
    return found


def table(found: dict[str, Counter[str]]) -> str:
    lines = [
        "# Removal rules, deleted and falsified on purpose", "",
        f"Written by `python benchmarks/removal_mutations.py` from {GRAPHS} random graphs; what it does is said there.", "",
        "| what was done | seen in |", "|---|---|",
    ]  # fmt: skip
    lines += [f"| {name} | {cell(counts)} |" for name, counts in found.items() if not unseen(name, counts)]
    lines += ["", "## Not seen, and why", "", "| what was done | why |", "|---|---|"]
    lines += [f"| {name} | {EXEMPT.get(name, '**not explained**')} |" for name, counts in found.items() if unseen(name, counts)]
    return "\n".join(lines) + "\n"


def unseen(name: str, counts: Counter[str]) -> bool:
    return sum(counts.values()) == counts[""]


if __name__ == "__main__":
    TABLE.write_text(table(measure()))
    print(TABLE.read_text())
