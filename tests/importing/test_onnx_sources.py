"""An .onnx file on the command line, like a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from onnx_files import helper, save
from small_nets import export, network
from torch import nn

import edgeprune
from edgeprune import sources
from edgeprune.cli import main
from edgeprune.errors import CheckFailed
from edgeprune.formats import Metadata, load, read, write
from edgeprune.sources import Source


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(w) for w in words], prog_name="edgeprune")


@pytest.fixture(params=["open", "fixed"])
def image_net(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 24, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 10),
    ).eval()
    return export(module, (torch.randn(2, 3, 16, 16),), tmp_path / "net.onnx", 17, open_batch=request.param == "open")


def test_a_file_is_exported_to_every_format_and_verified(image_net: Path, tmp_path: Path) -> None:
    done = run("export", image_net, "--target", "tflite,onnx", "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert [a["parity"]["max_relative_error"] < 1e-5 for a in report["artifacts"]] == [True, True]
    # Inputs keep the names that the file gave them.
    assert list(read(tmp_path / "out" / "model.onnx").inputs) == ["in0"]
    x = np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)
    expected = load(image_net).run(x)[0]
    for name in ("model.onnx", "model.tflite"):
        assert np.abs(load(tmp_path / "out" / name).run(x)[0] - expected).max() < 1e-5 * np.abs(expected).max()
    checked = run("verify", tmp_path / "out" / "model.tflite", image_net)
    assert checked.exit_code == 0, checked.output


def test_a_file_is_compressed_without_data(image_net: Path, tmp_path: Path) -> None:
    done = run("compress", image_net, "--ratio", 8, "--target", "onnx", "--no-measure", "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["weights"]["kept"] == report["weights"]["total"] // 8
    assert report["weights"]["alive"] == report["weights"]["kept"]
    assert {layer["name"] for layer in report["layers"]} == {"0", "4", "8"}
    assert (tmp_path / "out" / "model.onnx").stat().st_size < image_net.stat().st_size / 3
    again = run("export", tmp_path / "out" / "pruned.pt", "--target", "onnx", "-o", tmp_path / "again", "--no-measure")
    assert again.exit_code == 0, again.output


def test_a_file_is_retrained_where_there_is_data(tmp_path: Path, mnist_sample: Path) -> None:
    loaded = edgeprune.load(mnist_sample / "lenet_300_100.pt")
    export(loaded.module, (torch.randn(2, *loaded.input_shape),), tmp_path / "net.onnx", 17, open_batch=True)
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {"x_train": random.integers(0, 256, (64, 28, 28), np.uint8), "y_train": random.integers(0, 10, 64)}
    np.savez(tmp_path / "d.npz", **arrays, x_test=arrays["x_train"][:32], y_test=arrays["y_train"][:32])
    done = run(
        "compress",
        tmp_path / "net.onnx",
        "--ratio",
        16,
        "--target",
        "tflite",
        "--data",
        tmp_path / "d.npz",
        "--rounds",
        1,
        "--epochs",
        1,
        "--no-measure",
        "-o",
        tmp_path / "out",
        "--json",
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["accuracy"]["after"] is not None
    assert report["weights"]["alive"] == report["weights"]["kept"] == report["weights"]["total"] // 16


def test_two_inputs_and_two_outputs_keep_their_names(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(9, 5)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.a(x), torch.relu(self.b(y))

    path = export(Two().eval(), (torch.randn(2, 4), torch.randn(2, 9)), tmp_path / "net.onnx", 17, open_batch=True)
    done = run("export", path, "--target", "onnx", "-o", tmp_path / "out", "--no-measure")
    assert done.exit_code == 0, done.output
    before, after = read(path), read(tmp_path / "out" / "model.onnx")
    assert list(after.inputs) == list(before.inputs)
    assert list(after.outputs) == list(before.outputs)
    done = run("compress", path, "--ratio", 2, "--target", "onnx", "-o", tmp_path / "small", "--no-measure")
    assert done.exit_code == 0, done.output
    assert "no pruned.pt" in done.output
    assert list(read(tmp_path / "small" / "model.onnx").inputs) == list(before.inputs)


def test_what_an_artifact_says_of_itself_is_said_again(tmp_path: Path) -> None:
    graph = edgeprune.import_onnx(
        save(
            tmp_path / "a.onnx",
            [helper.make_node("Relu", ["x"], ["t"]), helper.make_node("Gemm", ["t", "w"], ["y"])],
            {"x": ("b", 12)},
            {"w": np.ones((12, 2), np.float32)},
        )
    )
    said = Metadata({"scale": 1.0, "mean": [0.5], "std": [0.25], "color": "none", "size": None}, ("cat", "dog"))
    write(graph, tmp_path / "b.onnx", metadata=said)
    done = run("export", tmp_path / "b.onnx", "--target", "onnx", "-o", tmp_path / "out", "--no-measure")
    assert done.exit_code == 0, done.output
    found = read(tmp_path / "out" / "model.onnx").metadata
    assert found.classes == ("cat", "dog")
    assert found.preprocessing is not None
    assert found.preprocessing["mean"] == [0.5]


def test_a_graph_that_does_not_compute_what_the_file_does_is_stopped(
    image_net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "import_onnx", lambda *given: _off(edgeprune.import_onnx(*given)))
    with pytest.raises(CheckFailed, match=r"net\.onnx: the graph read from it is off by"):
        Source(image_net).open()
    assert run("export", image_net, "-o", tmp_path / "out").exit_code == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("model.*"))


def _off(graph: Any) -> Any:
    """The graph with one weight of one layer a little larger."""
    first = next(n for n in graph.nodes if "weight" in n.op.arrays)
    weight = first.op.weight.copy()
    weight.reshape(-1)[0] += 0.01
    return graph.with_nodes(replace(n, op=replace(n.op, weight=weight)) if n is first else n for n in graph.nodes)


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--model", "torchvision:resnet18"), "leave out --model"), (("--input-shape", "3,17,16"), "does not fit")],
)
def test_options_that_contradict_the_file_are_refused(words: tuple[str, ...], said: str, image_net: Path, tmp_path: Path) -> None:
    done = run("export", image_net, *words, "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert said in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_an_op_that_is_not_read_is_refused_in_one_line(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("LpNormalization", ["x"], ["y"])], {"x": ("b", 4, 9, 8)})
    done = run("compress", path, "--ratio", 4, "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "LpNormalization has no meaning in the graph" in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_a_residual_network_is_exported(tmp_path: Path) -> None:
    path = export(*network("resnet18"), tmp_path / "net.onnx", 17, open_batch=False)
    done = run("export", path, "--target", "tflite", "-o", tmp_path / "out", "--no-measure")
    assert done.exit_code == 0, done.output
