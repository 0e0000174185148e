"""A network that is quick to compile: two layers."""

from __future__ import annotations

import numpy as np

from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, Linear


def small_network() -> Graph:
    random = np.random.default_rng(0)
    first = Linear(random.standard_normal((6, 12)).astype(np.float32), np.zeros(6, np.float32))
    second = Linear(random.standard_normal((3, 6)).astype(np.float32), np.ones(3, np.float32))
    nodes = (Node("a", first, ("x",)), Node("b", Activation("relu"), ("a",)), Node("c", second, ("b",)))
    return Graph({"x": Value((12,))}, ("c",), nodes)
