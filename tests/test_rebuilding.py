"""A graph turned back into a torch module is the same function, trainable, and independent of edgeprune."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from closeness import assert_close
from hypothesis import HealthCheck, given, settings
from random_graphs import inputs_for, random_graphs

from edgeprune.capturing import capture
from edgeprune.errors import NotExportable
from edgeprune.graph import Graph, Node, Value
from edgeprune.models import lenet_5, resnet20
from edgeprune.ops import Activation, Add, Linear
from edgeprune.passes import shrink
from edgeprune.rebuilding import to_module


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(graph=random_graphs())
def test_a_rebuilt_module_computes_what_the_graph_does(graph: Graph) -> None:
    inputs = inputs_for(graph)
    for each in (graph, shrink(graph)):
        try:
            module = to_module(each)
        except NotExportable:  # an activation that torch has no word for yet
            return
        with torch.no_grad():
            made = module(*map(torch.from_numpy, inputs))
        assert_close(each.run(*inputs), made.numpy(), 1e-10)


def half_pruned(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d | torch.nn.Linear) and part.weight.shape[0] > 10:
            with torch.no_grad():
                part.weight[torch.randperm(part.weight.shape[0])[::2]] = 0
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(part.bias, -0.3, 0.3)
    return module.eval()


@pytest.mark.parametrize(("make", "shape"), [(lenet_5, (1, 28, 28)), (resnet20, (3, 32, 32))], ids=["lenet_5", "resnet20"])
@pytest.mark.parametrize("fold", [True, False])
def test_a_real_network_comes_back_smaller_with_its_layers_names(make, shape, fold: bool) -> None:  # type: ignore[no-untyped-def]
    module = half_pruned(make())
    small = to_module(shrink(capture(module, torch.zeros(1, *shape)), fold=fold))
    x = torch.randn(4, *shape)
    with torch.no_grad():
        assert_close(module(x).numpy(), small(x).numpy(), 1e-5)
    assert sum(p.numel() for p in small.parameters()) < 0.7 * sum(p.numel() for p in module.parameters())
    convolutions = {name for name, part in module.named_modules() if isinstance(part, torch.nn.Conv2d)}
    assert {name for name, part in small.named_modules() if isinstance(part, torch.nn.Conv2d)} <= convolutions


def test_a_rebuilt_network_trains_and_is_captured_again() -> None:
    small = to_module(shrink(capture(half_pruned(resnet20()), torch.zeros(1, 3, 32, 32)), fold=False))
    x, y = torch.randn(8, 3, 32, 32), torch.arange(8)
    optimizer = torch.optim.SGD(small.parameters(), lr=0.01)
    small.train()
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(small(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    small.eval()
    again = capture(small, x)
    with torch.no_grad():
        assert_close(small(x).numpy(), again.run(x.numpy()), 1e-5)


def test_an_exported_rebuilt_network_runs_without_edgeprune(tmp_path: Path) -> None:
    small = to_module(shrink(capture(half_pruned(lenet_5()), torch.zeros(1, 1, 28, 28))))
    x = torch.randn(2, 1, 28, 28)
    torch.export.save(torch.export.export(small, (x,)), tmp_path / "small.pt2")
    np.save(tmp_path / "x.npy", x.numpy())
    code = (
        "import sys, numpy, torch; sys.modules['edgeprune'] = None\n"
        f"f = torch.export.load({str(tmp_path / 'small.pt2')!r}).module()\n"
        f"x = torch.from_numpy(numpy.load({str(tmp_path / 'x.npy')!r}))\n"
        f"numpy.save({str(tmp_path / 'y.npy')!r}, f(x).detach().numpy())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    with torch.no_grad():
        assert np.array_equal(np.load(tmp_path / "y.npy"), small(x).numpy())


def test_layers_and_inputs_may_have_any_name() -> None:
    def line(name: str, source: str, read: str) -> Node:
        return Node(name, Linear(np.eye(3, dtype=np.float32)), (read,), source)

    names = ["code", "graph.0", "forward", "train", "0.weight", "class", "body", "body.fc", ""]
    read = "input:0"
    nodes = [line(f"n{i}", source, f"n{i - 1}" if i else read) for i, source in enumerate(names)]
    nodes.append(Node("y", Add(), (nodes[-1].name, "class"), ""))
    graph = Graph({read: Value((3,)), "class": Value((3,))}, ("y",), tuple(nodes))
    x = torch.randn(2, 3)
    module = to_module(graph)
    assert torch.allclose(module(x, x), 2 * x)
    assert torch.equal(torch.export.export(module, (x, x)).module()(x, x), module(x, x))


@pytest.mark.parametrize("names", [("input", "input_1"), ("input_1", "input"), ("x", "x_1", "x_2"), ("len", "len_1")])
def test_inputs_called_like_each_other_or_like_python_stay_apart(names: tuple[str, ...]) -> None:
    """torch.fx numbers a name that Python has, and would land on that of another input."""
    weighted = [Node(f"by{i}", Linear(np.full((1, 1), 10.0**i, np.float32)), (name,)) for i, name in enumerate(names)]
    sums = [Node(f"sum{i}", Add(), (f"sum{i - 1}" if i > 1 else "by0", f"by{i}")) for i in range(1, len(names))]
    graph = Graph({name: Value((1,)) for name in names}, (sums[-1].name,), (*weighted, *sums))
    arrays = [np.full((2, 1), i + 1, np.float32) for i in range(len(names))]
    made = to_module(graph)(*map(torch.from_numpy, arrays))
    assert_close(graph.run(*arrays), made.detach().numpy(), 1e-6)


def test_an_op_torch_cannot_say_is_refused_by_layer_and_name() -> None:
    graph = Graph({"input": Value((3,))}, ("output",), (Node("output", Activation("sing"), ("input",), "body.act"),))
    with pytest.raises(NotExportable, match=r"body\.act.*'sing'"):
        to_module(graph)


def test_the_pt2_target_runs_at_any_batch_and_keeps_its_metadata(tmp_path: Path) -> None:
    from edgeprune.formats import Metadata, load, write

    graph = shrink(capture(half_pruned(lenet_5()), torch.zeros(1, 1, 28, 28)))
    write(graph, tmp_path / "model.pt2", metadata=Metadata(classes=("a", "b")))
    runner = load(tmp_path / "model.pt2")
    for batch in (1, 7):
        x = np.random.default_rng(batch).standard_normal((batch, 1, 28, 28)).astype(np.float32)
        assert_close(graph.run(x), runner.run(x)[0], 1e-5)
    extra = {"edgeprune.json": ""}
    torch.export.load(str(tmp_path / "model.pt2"), extra_files=extra)
    assert '"classes":["a","b"]' in str(extra["edgeprune.json"])


def test_the_pt2_target_can_be_compressed_further_as_a_checkpoint(tmp_path: Path) -> None:
    from edgeprune import load as load_checkpoint
    from edgeprune.formats import write

    write(shrink(capture(half_pruned(lenet_5()), torch.zeros(1, 1, 28, 28))), tmp_path / "model.pt2")
    loaded = load_checkpoint(tmp_path / "model.pt2")
    assert loaded.input_shape == (1, 28, 28)
