"""Another backend of PyTorch takes the rebuilt modules as torch exports them; `pip install openvino` runs these."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import CASES
from closeness import assert_close
from test_formats import inputs_of, outputs_of

from edgeprune.capturing import capture
from edgeprune.graph import Graph
from edgeprune.models import resnet20
from edgeprune.passes import shrink
from edgeprune.rebuilding import to_module

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")

ONE_AN_OP = sorted({type(node.op): name for name, graph in reversed(CASES.items()) for node in graph.nodes}.values())


def made_by_openvino(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    program = torch.export.export(to_module(graph), tuple(torch.from_numpy(a) for a in arrays))
    model = openvino.Core().compile_model(openvino.convert_model(program), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(model(arrays).values())


def test_it_runs_a_shrunk_network() -> None:
    graph = shrink(capture(resnet20().eval(), torch.zeros(1, 3, 32, 32)))
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    assert_close(graph.run(x), made_by_openvino(graph, [x])[0], 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_AN_OP)
def test_it_runs_every_op(name: str) -> None:
    arrays = inputs_of(CASES[name], 2, name)
    for found, wanted in zip(made_by_openvino(CASES[name], arrays), outputs_of(CASES[name], arrays), strict=True):
        assert_close(found, wanted, 1e-4)
