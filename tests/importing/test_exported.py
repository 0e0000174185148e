"""Networks as PyTorch exports them become the graph that capture makes of the module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from closeness import assert_close
from onnx_files import assert_same, onnx, outputs_of
from small_nets import NETS, export, network

from edgeprune import capture
from edgeprune.importing import import_onnx
from edgeprune.passes import shrink

# The last one that this exporter writes.
NEWEST = 20


@pytest.mark.parametrize("open_batch", [True, False], ids=["open", "fixed"])
@pytest.mark.parametrize("opset", [13, 17, NEWEST])
@pytest.mark.parametrize("name", NETS)
def test_an_exported_network_computes_what_onnxruntime_does(name: str, opset: int, open_batch: bool, tmp_path: Path) -> None:
    if opset < NETS[name][2]:
        pytest.skip(f"the exporter writes this network from opset {NETS[name][2]} on only")
    path = export(*network(name), tmp_path / "m.onnx", opset, open_batch=open_batch)
    assert_same(path, batch=3 if open_batch else 1)


# Of recurrent layers the exporter joins the last states layer by layer, which capture does at once.
@pytest.mark.parametrize("name", [name for name in NETS if name not in ("lstm", "gru")])
def test_the_same_network_gives_a_graph_of_the_same_size_whichever_way_it_comes(name: str, tmp_path: Path) -> None:
    module, inputs = network(name)
    captured = shrink(capture(module, inputs))
    imported = shrink(import_onnx(export(module, inputs, tmp_path / "m.onnx", max(17, NETS[name][2]), open_batch=True)))
    # Less where the exporter saw that two calls of a layer are one.
    assert imported.multiply_adds <= captured.multiply_adds
    assert len(imported.nodes) <= len(captured.nodes)
    arrays = [x.numpy() for x in inputs]
    for found, expected in zip(outputs_of(imported, arrays), outputs_of(captured, arrays), strict=True):
        assert_close(expected, found, 1e-5)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_the_newest_opset_is_read(name: str, tmp_path: Path) -> None:
    path = export(*network(name), tmp_path / "m.onnx", 17, open_batch=True)
    before = import_onnx(path)
    newest = onnx.defs.onnx_opset_version()
    onnx.save(onnx.version_converter.convert_version(onnx.load(path), newest), path)
    arrays = [x.numpy() for x in network(name)[1]]
    for found, expected in zip(outputs_of(import_onnx(path), arrays), outputs_of(before, arrays), strict=True):
        assert_close(expected, found, 1e-6)


def test_layers_have_the_names_they_have_in_pytorch(tmp_path: Path) -> None:
    module, inputs = network("resnet18")
    graph = import_onnx(export(module, inputs, tmp_path / "m.onnx", 17, open_batch=True))
    layers = {name for name, layer in module.named_modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)}
    assert {n.source for n in graph.nodes if "weight" in n.op.arrays} == layers


def test_the_exporter_that_needs_onnxscript_is_read_too(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="torch.onnx.export(dynamo=True) needs onnxscript, which is not installed")
    module, inputs = network("resnet18")
    torch.onnx.export(module, tuple(x[:1] for x in inputs), tmp_path / "m.onnx", dynamo=True)
    assert_same(tmp_path / "m.onnx", batch=1)


def half_dead(module: torch.nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.groups == 1:
            layer.weight.data[::2] = 0
            if layer.bias is not None:
                layer.bias.data[::2] = 0


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "shufflenet", "densenet"])
def test_dead_channels_leave_an_imported_network_as_they_leave_a_captured_one(name: str, tmp_path: Path) -> None:
    module, inputs = network(name)
    half_dead(module)
    imported = import_onnx(export(module, inputs, tmp_path / "m.onnx", 17, open_batch=True))
    small, captured = shrink(imported), shrink(capture(module, inputs))
    assert small.parameters < 0.8 * imported.parameters
    # The exporter folds batch norms into biases before anything is removed, which leaves no more than this.
    assert small.parameters == pytest.approx(captured.parameters, rel=0.02)
    arrays = [x.numpy() for x in inputs]
    assert_close(imported.run(*arrays), small.run(*arrays), 1e-5)  # type: ignore[arg-type]


def test_importing_needs_no_torch(tmp_path: Path) -> None:
    path = export(*network("resnet18"), tmp_path / "m.onnx", 17, open_batch=True)
    code = (
        "import sys\nfor name in ('torch', 'torchvision'): sys.modules[name] = None\n"
        f"import edgeprune\nprint(len(edgeprune.shrink(edgeprune.import_onnx({str(path)!r})).nodes))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert int(said) > 10
