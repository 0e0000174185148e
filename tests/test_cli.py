"""The command line as a person uses it: results, refusals, resumption."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import edgeprune
from edgeprune.cli import main
from edgeprune.data import load_data
from edgeprune.report import Report

RATIO = "64"
SHORT = ("--rounds", 1, "--epochs", 0, "--no-measure")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(w) for w in words], prog_name="edgeprune")


@pytest.fixture(scope="session")
def small_mnist(mnist_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 training and 500 test digits as an .npz with raw pixels."""
    data = load_data(f"mnist:{mnist_sample / 'data'}")
    preprocessing = data.preprocessing
    assert data.train is not None
    arrays = {}
    for part, split, count in (("train", data.train, 3000), ("test", data.test, 500)):
        x, y = split.first(count)
        pixels = (x * preprocessing.std[0] + preprocessing.mean[0]) / preprocessing.scale
        arrays[f"x_{part}"] = pixels.round().numpy().astype(np.uint8)
        arrays[f"y_{part}"] = y.numpy()
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="session")
def checkpoint(mnist_sample: Path) -> Path:
    return mnist_sample / "lenet_300_100.pt"


@pytest.fixture(scope="session")
def compressed(checkpoint: Path, small_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("out") / "small"
    words = ["compress", checkpoint, "--ratio", RATIO, "--target", "tflite,onnx", "-o", out, "--data", small_mnist]
    result = run(*words, "--rounds", 2, "--epochs", 1, "--json")
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def test_the_folder_holds_the_artifacts_the_checkpoint_the_report_and_the_log(compressed: tuple[Path, dict[str, Any]]) -> None:
    out, _ = compressed
    assert sorted(p.name for p in out.iterdir()) == ["compress.log", "model.onnx", "model.tflite", "pruned.pt", "report.json"]


def test_compress_profiles_on_devices_and_makes_a_page(checkpoint: Path, small_mnist: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["compress", checkpoint, "--ratio", RATIO, "-o", out, "--data", small_mnist, *SHORT]
    result = run(*words, "--profile-on", "host,raspberry-pi-5")
    assert result.exit_code == 0, result.output
    found = {path.name: json.loads(path.read_text())["provenance"] for path in out.glob("profile-*.json")}
    assert found == {"profile-host-tflite.json": "measured", "profile-raspberry-pi-5-tflite.json": "estimated"}
    assert "raspberry-pi-5" in (out / "report.html").read_text()
    assert "was not measured, the figure is estimated" in result.output


def test_a_device_that_is_unknown_is_refused_before_anything_is_done(checkpoint: Path, tmp_path: Path) -> None:
    result = run("compress", checkpoint, "--ratio", RATIO, "-o", tmp_path / "out", "--profile-on", "pixel8")
    assert result.exit_code == 2
    assert "did you mean pixel-8" in result.output
    assert not (tmp_path / "out").exists()


def test_the_report_says_what_was_asked_and_what_came_of_it(compressed: tuple[Path, dict[str, Any]]) -> None:
    out, printed = compressed
    report = json.loads((out / "report.json").read_text())
    assert report == printed
    assert report["ratio"]["requested"] == 64
    assert report["weights"] == {"total": 266_200, "kept": 266_200 // 64, "alive": 266_200 // 64}
    assert 0.5 < report["accuracy"]["after"] <= report["accuracy"]["before"] <= 1
    assert [layer["name"] for layer in report["layers"]] == ["fc1", "fc2", "fc3"]
    assert [layer["place"] for layer in report["layers"]] == [{"tflite": i, "onnx": i} for i in range(3)]
    assert sum(layer["kept"] for layer in report["layers"]) == report["weights"]["kept"]
    for artifact, name in zip(report["artifacts"], ("tflite", "onnx"), strict=True):
        assert artifact["format"] == name
        assert artifact["bytes"] == (out / artifact["path"]).stat().st_size
        assert artifact["parity"]["max_relative_error"] <= 1e-5
        assert artifact["parity"]["top1_agreement"] == 1.0
        assert artifact["latency_ms"]["p50"] <= artifact["latency_ms"]["p90"] <= artifact["latency_ms"]["p99"]
        assert artifact["peak_memory_bytes"] > 0
    assert Report.from_dict(report).weights.kept == 266_200 // 64


def test_the_files_are_really_smaller(compressed: tuple[Path, dict[str, Any]]) -> None:
    _, report = compressed
    for artifact, dense in zip(report["artifacts"], report["dense"], strict=True):
        assert artifact["bytes"] * 20 < dense["bytes"]


def test_an_artifact_verifies_against_its_pruned_checkpoint(compressed: tuple[Path, dict[str, Any]]) -> None:
    out, _ = compressed
    for name in ("model.tflite", "model.onnx"):
        result = run("verify", out / name, out / "pruned.pt", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["real"]["samples"] == 500


def test_an_artifact_fails_verification_against_another_network(
    compressed: tuple[Path, dict[str, Any]], checkpoint: Path
) -> None:
    out, _ = compressed
    result = run("verify", out / "model.tflite", checkpoint)
    assert result.exit_code == 1
    assert "relative error" in result.stderr
    assert "Traceback" not in result.output


def test_a_pruned_checkpoint_can_be_compressed_further(compressed: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out, _ = compressed
    words = ["--ratio", 256, "-o", tmp_path / "more", "--rounds", 1, "--epochs", 1, "--no-measure", "--json"]
    result = run("compress", out / "pruned.pt", *words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["weights"] == {"total": 266_200, "kept": 1039, "alive": 1039}
    before, after = (edgeprune.load(p / "pruned.pt").masks for p in (out, tmp_path / "more"))
    assert before is not None
    assert after is not None
    assert all(not (after[name] & ~before[name]).any() for name in after), "a weight came back"


def test_inspect_shows_the_sparse_encoding_and_no_dead_connections(compressed: tuple[Path, dict[str, Any]]) -> None:
    out, _ = compressed
    for name, word in (("model.tflite", "csr"), ("model.onnx", "coo"), ("pruned.pt", "fc1")):
        shown = run("inspect", out / name)
        assert shown.exit_code == 0, shown.output
        assert word in shown.stdout
        found = json.loads(run("inspect", out / name, "--json").stdout)
        assert sum(layer["dead"] for layer in found["layers"]) == 0, name
        assert sum(layer["nonzeros"] for layer in found["layers"]) == 266_200 // 64, name


def test_export_writes_the_dense_network_without_pruning(checkpoint: Path, small_mnist: Path, tmp_path: Path) -> None:
    result = run("export", checkpoint, "--target", "onnx", "-o", tmp_path / "dense", "--data", small_mnist, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["accuracy"]["before"] == report["accuracy"]["after"] > 0.97
    assert report["artifacts"][0]["parity"]["top1_agreement"] == 1.0
    assert (tmp_path / "dense" / "model.onnx").stat().st_size > 900_000


def test_without_data_the_command_works_and_says_what_is_missing(checkpoint: Path, tmp_path: Path) -> None:
    loaded = edgeprune.load(checkpoint)
    bare = tmp_path / "bare.pt"
    torch.save(loaded.module.state_dict(), bare)
    result = run("compress", bare, "--ratio", 8, "-o", tmp_path / "out", "--no-measure", *BARE)
    assert result.exit_code == 0, result.output
    assert "accuracy is neither recovered" in result.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["accuracy"].values()) == {None}
    assert any("accuracy is neither recovered" in warning for warning in report["warnings"])
    assert report["weights"]["kept"] == report["weights"]["alive"] == 266_200 // 8


def test_a_quiet_run_says_nothing(checkpoint: Path, small_mnist: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgeprune", "export", checkpoint, "-o", tmp_path / "x", "--data", small_mnist, "-q"]
    done = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)
    assert done.stdout == ""
    assert "Error" not in done.stderr


# -- resumption --------------------------------------------------------------------------------------------------------


def test_a_killed_run_resumes_to_the_result_of_an_uninterrupted_one(checkpoint: Path, small_mnist: Path, tmp_path: Path) -> None:
    def command(out: str, *more: str) -> list[str]:
        words = ["compress", checkpoint, "--ratio", "256", "-o", tmp_path / out, "--data", small_mnist, "--seed", "3"]
        return [sys.executable, "-m", "edgeprune", *map(str, words), "--rounds", "4", "--epochs", "2", "--no-measure", *more]

    subprocess.run(command("whole"), check=True, capture_output=True)
    killed = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log, deadline = tmp_path / "killed" / "compress.log", time.monotonic() + 120
    while not (log.exists() and "alive" in log.read_text()):
        assert killed.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "report.json").exists()
    assert not list((tmp_path / "killed").glob("model.*"))
    subprocess.run(command("killed", "--resume"), check=True, capture_output=True)
    for name in ("model.tflite",):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    whole, resumed = (edgeprune.load(tmp_path / out / "pruned.pt").module.state_dict() for out in ("whole", "killed"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    accuracies = [json.loads((tmp_path / out / "report.json").read_text())["accuracy"] for out in ("whole", "killed")]
    assert accuracies[0] == accuracies[1]
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == ["compress.log", "model.tflite", "pruned.pt", "report.json"]


# -- refusals ----------------------------------------------------------------------------------------------------------


class RunsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("true",))


BARE = ["--model", "edgeprune.models:lenet_300_100", "--input-shape", "1,28,28"]


@pytest.fixture
def inputs(tmp_path: Path, checkpoint: Path, mnist_sample: Path) -> Path:
    """A folder with everything that can be wrong."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    shutil.copy(checkpoint, folder / "good.pt")
    (folder / "text.pt").write_text("this is no checkpoint")
    (folder / "empty.pt").touch()
    (folder / "half.pt").write_bytes(checkpoint.read_bytes()[:200_000])
    with open(folder / "evil.pt", "wb") as file:
        pickle.dump(RunsCode(), file)
    state = edgeprune.load(checkpoint).module.state_dict()
    torch.save(state, folder / "bare.pt")
    torch.save({name.replace("fc1", "first"): value for name, value in state.items()}, folder / "keys.pt")
    (folder / "data").symlink_to(mnist_sample / "data")
    (folder / "sorts.py").write_text(
        "import torch\n"
        "class Sorts(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.layer = torch.nn.Linear(784, 10)\n        self.rank = Ranked()\n"
        "    def forward(self, x):\n        return self.rank(self.layer(x.flatten(1)))\n"
        "class Ranked(torch.nn.Module):\n    def forward(self, x):\n        return torch.cumsum(x, 1)\n"
        "def make():\n    torch.manual_seed(0)\n    return Sorts()\n"
    )
    torch.save({"layer.weight": torch.randn(10, 784), "layer.bias": torch.zeros(10)}, folder / "sorts.pt")
    truncated = folder / "truncated"
    shutil.copytree(mnist_sample / "data", truncated)
    for name in truncated.glob("train-images*"):
        name.write_bytes(name.read_bytes()[:100_000])
    (folder / "file").touch()
    return folder


REFUSALS = {
    "a missing file": (["{in}/none.pt", "--ratio", 8], ["none.pt"]),
    "a text file": (["{in}/text.pt", "--ratio", 8], ["text.pt"]),
    "an empty file": (["{in}/empty.pt", "--ratio", 8], ["empty.pt"]),
    "half a file": (["{in}/half.pt", "--ratio", 8], ["half.pt"]),
    "a folder": (["{in}", "--ratio", 8], ["inputs"]),
    "a pickle that would run code": (["{in}/evil.pt", "--ratio", 8], ["evil.pt", "--allow-pickle"]),
    "a state dict without --model": (["{in}/bare.pt", "--ratio", 8], ["--model"]),
    "wrong keys": (["{in}/keys.pt", "--ratio", 8, *BARE], ["fc1.weight", "first.weight", "2"]),
    "an unknown model": (
        ["{in}/bare.pt", "--ratio", 8, "--model", "torchvision:resnet81", "--input-shape", "3,32,32"],
        ["resnet18"],
    ),
    "an op without a meaning": (
        ["{in}/sorts.pt", "--ratio", 8, "--model", "{in}/sorts.py:make", "--input-shape", "1,28,28"],
        ["rank", "cumsum"],
    ),
    "ratio 0": (["{in}/good.pt", "--ratio", 0], ["ratio", "0"]),
    "ratio below 1": (["{in}/good.pt", "--ratio", 0.98], ["0.98", "50"]),
    "ratio NaN": (["{in}/good.pt", "--ratio", "nan"], ["ratio", "nan"]),
    "a ratio beyond the network": (["{in}/good.pt", "--ratio", 200000], ["largest ratio"]),
    "missing data": (["{in}/good.pt", "--ratio", 8, "--data", "mnist:{in}/nothing"], ["nothing"]),
    "truncated data": (["{in}/good.pt", "--ratio", 8, "--data", "mnist:{in}/truncated"], ["train-images"]),
    "an unknown data set": (["{in}/good.pt", "--ratio", 8, "--data", "mnits:{in}"], ["mnist"]),
    "an unwritable output": (["{in}/good.pt", "--ratio", 8, "-o", "{in}/file/out"], ["file/out"]),
    "an unknown target": (["{in}/good.pt", "--ratio", 8, "--target", "tflight"], ["tflight", "tflite", "onnx"]),
    "an unknown criterion": (["{in}/good.pt", "--ratio", 8, "--method", "magnitud"], ["magnitude"]),
    "no ratio": (["{in}/good.pt"], ["--ratio"]),
    "a shape that is none": (["{in}/good.pt", "--ratio", 8, "--input-shape", "big"], ["big"]),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_input_is_one_line_with_a_remedy_and_writes_nothing(case: str, inputs: Path, tmp_path: Path) -> None:
    words, expected = REFUSALS[case]
    words = [str(w).replace("{in}", str(inputs)) for w in words]
    before = sorted(tmp_path.rglob("*"))
    out = [] if "-o" in words or case == "no ratio" else ["-o", tmp_path / "out"]
    result = run("compress", *words, *out)
    assert result.exit_code == 2, result.output
    said = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(said) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in expected:
        assert word in said[0], said[0]
    assert sorted(tmp_path.rglob("*")) == before, "something was written"


def test_an_unholdable_ratio_names_the_largest_that_works(checkpoint: Path, small_mnist: Path, tmp_path: Path) -> None:
    words = ["compress", checkpoint, "-o", tmp_path / "out", "--data", small_mnist, *SHORT]
    refused = run(*words, "--ratio", 200_000)
    assert refused.exit_code == 2
    numbers = re.findall(r"[0-9][0-9,]*(?:\.[0-9]+)?", refused.stderr)
    largest = float(numbers[-1].replace(",", ""))
    assert run(*words, "--ratio", largest).exit_code == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["weights"]["kept"] == report["weights"]["alive"]


def test_a_failed_check_leaves_no_artifact(
    checkpoint: Path, small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the runtime computes something else, the command fails with exit code 1 and nothing to ship."""
    from edgeprune import formats

    true_load = formats.load

    def wrong_load(*a: Any, **k: Any) -> Any:
        runner = true_load(*a, **k)
        run_it = runner.run
        monkeypatch.setattr(runner, "run", lambda *x: [y * np.float32(1.001) for y in run_it(*x)])
        return runner

    monkeypatch.setattr(formats, "load", wrong_load)
    out = tmp_path / "out"
    result = run("compress", checkpoint, "--ratio", 8, "-o", out, "--data", small_mnist, *SHORT)
    assert result.exit_code == 1, result.output
    assert "relative error" in result.stderr
    assert not list(out.glob("model.*"))
    assert not (out / "report.json").exists()


def test_the_input_is_never_modified(checkpoint: Path, small_mnist: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert run("compress", checkpoint, "--ratio", 8, "-o", tmp_path / "out", *SHORT, "--data", small_mnist).exit_code == 0
    assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() == digest


def test_the_version_is_told() -> None:
    assert run("--version").stdout.strip() == f"edgeprune, version {edgeprune.__version__}"


def test_every_public_name_resolves_and_is_documented() -> None:
    for name in edgeprune.__all__:
        thing = getattr(edgeprune, name)
        assert name == "__version__" or (thing.__doc__ and thing.__doc__.strip()), name
