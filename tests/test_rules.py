"""Random graphs hold every op and every removal rule, and no rule can go unnoticed."""

from __future__ import annotations

from collections import Counter

from random_graphs import build
from rules import EXEMPT, Rule, counted, named, rules

from edgeprune.ops import COMING, COMPOSED, OPS
from edgeprune.passes import shrink

GRAPHS, OFTEN = 800, 1


def test_random_graphs_hold_every_op_and_every_rule_fires_on_them() -> None:
    fired: Counter[Rule] = Counter()
    held: Counter[type] = Counter()
    with counted(fired):
        for seed in range(GRAPHS):
            graph = build(seed, 1 + seed % 8, convolutional=seed % 5 != 0, coming=True, several=True)
            held.update({type(n.op) for n in graph.nodes})
            held.update({"several inputs": len(graph.inputs) > 1, "several outputs": len(graph.outputs) > 1})  # type: ignore[dict-item]
            shared = len({id(n.op) for n in graph.nodes}) < len(graph.nodes)
            held["shared layers"] += shared  # type: ignore[index]
            shrink(graph)
    kinds = (*OPS, *COMING, *COMPOSED, "several inputs", "several outputs", "shared layers")
    rare = {kind: held[kind] for kind in kinds if held[kind] < 10}  # type: ignore[index]
    assert not rare
    silent = {named(rule): fired[rule] for rule in rules() if fired[rule] < OFTEN and f"{named(rule)} deleted" not in EXEMPT}
    assert not silent
