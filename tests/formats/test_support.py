"""docs/support.md: which op is said in which format, and by which of the format's own. `pytest --update` rewrites it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from cases import CASES
from cases_edge import of_integers
from drawing import SUFFIXES, chain

from edgeprune.formats import module_of, read, write
from edgeprune.formats.c import lower as c_lower
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import ACTIVATIONS, BINARY, COMING, COMING_ACTIVATIONS, OPS, Activation, Binary
from edgeprune.rebuilding.build import BUILDERS

PAGE = Path(__file__).parents[2] / "docs" / "support.md"
HEAD = """# What each format can say

Written by `pytest tests/formats/test_support.py --update` from the tables of lowerings and from what small graphs of one op
became; a test compares it. An op is one of `edgeprune.ops`. Beside it are the operators it may become, the most frequent
first; padding, groups and its place in the network decide which. Weights stored sparse add a DENSIFY in TFLite, or make
FULLY_CONNECTED a sparse one. What a format cannot say is refused when writing, with the layer and what would do.

Limits: one or two spatial axes in TFLite (in ONNX as many as the runtime has kernels for); no gaps in the windows of an
average pooling; at most five groups of axes moved by one Rearrange in TFLite, where recurrent layers are written step by
step. ONNX files need opset 13, TFLite files the operators that tflite-runtime 2.14 has. The batch is open in both. C has no
list of operators: its kernels are its own.
"""


def name_of(graph: Graph) -> str:
    op = graph.nodes[0].op
    return op.kind if isinstance(op, Activation | Binary) else type(op).__name__


def alone() -> dict[str, list[Graph]]:
    """op or its kind: graphs of nothing else."""
    graphs = [g for g in (*CASES.values(), *of_integers().values()) if len(g.nodes) == len(set(g.outputs)) == len(g.outputs) == 1]
    graphs += [chain((3, 4, 5), Activation(kind)) for kind in ("sqrt", "reciprocal", "pow", "log")]
    pair = {"a": Value((3,)), "b": Value((3,))}
    graphs += [Graph(pair, ("y",), (Node("y", Binary(kind), ("a", "b")),)) for kind in BINARY]
    found: dict[str, list[Graph]] = {}
    for graph in graphs:
        found.setdefault(name_of(graph), []).append(graph)
    return found


def page(folder: Path) -> str:
    made: dict[str, dict[str, Counter[str]]] = {suffix: {} for suffix in SUFFIXES}
    for name, graphs in alone().items():
        for suffix in SUFFIXES:
            counts = made[suffix][name] = Counter[str]()
            for graph in graphs:
                write(graph, folder / f"m{suffix}")
                counts.update(read(folder / f"m{suffix}").counts.keys())
    lines = [HEAD, "## Ops", "", "| op | ONNX | TFLite | C | PyTorch (.pt2) |", "|---|---|---|---|---|"]
    for op in (*OPS, *COMING):
        cells = []
        for suffix in SUFFIXES:
            said = op in module_of(f"m{suffix}").lower.functions
            cells.append((operators(made[suffix].get(op.__name__)) or "yes, see below") if said else "**no**")
        cells += ["yes" if op in table else "**no**" for table in (c_lower.functions, BUILDERS)]
        lines.append(f"| {op.__name__} | {' | '.join(cells)} |")
    lines += ["", "## Functions of one element, and of two", "", "| kind | ONNX | TFLite |", "|---|---|---|"]
    for kind in (*ACTIVATIONS, *COMING_ACTIVATIONS, *BINARY):
        lines.append(f"| {kind} | {' | '.join(operators(made[suffix].get(kind)) for suffix in SUFFIXES)} |")
    return "\n".join(lines) + "\n"


def operators(counts: Counter[str] | None) -> str:
    """The most frequent first."""
    told = {kind: n for kind, n in (counts or {}).items() if kind != "Identity"}  # which stands for nothing to do
    return ", ".join(sorted(told, key=lambda kind: (-told[kind], kind)))


def test_the_support_table_says_what_is_so(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = page(tmp_path)
    if request.config.getoption("--update"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "run pytest tests/formats/test_support.py --update and read the difference"
