"""Random graphs hold every op and every removal rule, and no rule can go unnoticed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import removal_mutations
from random_graphs import build
from rules import EXEMPT, PASSES, Rule, counted, named, replaced, rules

from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import COMING, COMPOSED, OPS, Affine, Conv, Linear, Pad, Select
from edgeprune.passes import shrink

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
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


def test_what_is_padded_and_then_read_in_part_is_not_kept_whole() -> None:
    """Which needs Pad's own answer."""
    reader = np.ones((2, 6, 1, 1))
    reader[:, 3:] = 0
    nodes = (
        Node("a", Conv(np.ones((6, 2, 1, 1))), ("input",)),
        Node("b", Pad(((1, 1), (1, 1))), ("a",)),
        Node("output", Conv(reader), ("b",)),
    )
    graph = Graph({"input": Value((2, 4, 4))}, ("output",), nodes)
    assert shrink(graph).values["b"].channels == 3
    with replaced((Pad, "needs"), Op.needs):
        assert shrink(graph).values["b"].channels == 6


def test_a_shift_is_handed_on_through_a_selection() -> None:
    """Which needs Select's own answer."""
    nodes = (
        Node("a", Affine(np.ones(3), np.arange(1.0, 4.0)), ("input",)),
        Node("b", Select(np.array([2, 0])), ("a",)),
        Node("output", Linear(np.eye(2), np.ones(2)), ("b",)),
    )
    graph = Graph({"input": Value((3,))}, ("output",), nodes)
    assert [n.name for n in shrink(graph).nodes] == ["b", "output"]
    with replaced((Select, "without_shift"), Op.without_shift):
        assert len(shrink(graph).nodes) == 3


def test_the_table_of_mutations_names_every_rule_and_pass_and_every_one_was_seen() -> None:
    text = (BENCHMARKS / "removal_mutations.md").read_text()
    assert "not explained" not in text
    done = set(re.findall(r"^\| (\S+) (?:deleted|left out) \|", text, re.MULTILINE))
    assert done == {*map(named, rules()), *PASSES}
    assert not set(EXEMPT) - set(re.findall(r"^\| (\S+ .*?) \|", text, re.MULTILINE))


@pytest.mark.slow
def test_every_rule_deleted_or_falsified_is_seen() -> None:
    found = removal_mutations.measure(each=3)
    assert not [name for name, counts in found.items() if removal_mutations.unseen(name, counts) and name not in EXEMPT]
