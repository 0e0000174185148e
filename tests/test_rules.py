"""Random graphs hold every op and every removal rule, and no rule can go unnoticed."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from random_graphs import build
from rules import EXEMPT, PASSES, Rule, counted, named, rules

from edgeprune.ops import COMING, COMPOSED, OPS
from edgeprune.passes import shrink

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
GRAPHS, OFTEN = 800, 2


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


def test_the_table_of_mutations_names_every_rule_and_pass_and_every_one_was_seen() -> None:
    text = (BENCHMARKS / "removal_mutations.md").read_text()
    assert "not explained" not in text
    done = set(re.findall(r"^\| (\S+) (?:deleted|left out) \|", text, re.MULTILINE))
    assert done == {*map(named, rules()), *PASSES}
    assert not set(EXEMPT) - set(re.findall(r"^\| (\S+ .*?) \|", text, re.MULTILINE))


@pytest.mark.slow
def test_every_rule_deleted_or_falsified_is_seen() -> None:
    spec: Any = importlib.util.spec_from_file_location("removal_mutations", BENCHMARKS / "removal_mutations.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    found = script.measure(each=3)
    assert not [name for name, counts in found.items() if script.unseen(name, counts) and name not in EXEMPT]
