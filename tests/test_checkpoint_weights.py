"""Weights and masks in files that others wrote: what is taken, and what is missing said by name."""

from __future__ import annotations

import argparse
import json
import logging
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_files import LENET, SHAPE, refusal, same, saved
from torch import nn
from torch.nn.utils import prune as torch_prune

from edgeprune.checkpoint import load
from edgeprune.data import Preprocessing, load_data
from edgeprune.models import lenet_300_100, resnet20

# --- other people's files


@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model", "net", "network", "weights", "ema", "whatever"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module.", "model."])
def test_a_state_dict_is_found_under_the_usual_keys_and_prefixes(tmp_path: Path, key: str | None, prefix: str) -> None:
    module = resnet20()
    state = OrderedDict((prefix + name, value) for name, value in module.state_dict().items())
    path = saved(tmp_path / "net.pth", state if key is None else {key: state, "epoch": 3, "optimizer": {"state": {}}})
    loaded = load(path, model="edgeprune.models:resnet20", input_shape=(3, 32, 32))
    assert same(loaded.module, module, torch.randn(2, 3, 32, 32))
    assert loaded.meta == ({} if key is None else {"epoch": 3})


def test_a_state_dict_two_levels_down_is_found(tmp_path: Path) -> None:
    module = lenet_300_100()
    path = saved(tmp_path / "net.pt", {"checkpoint": {"model": module.state_dict()}})
    assert same(load(path, model=LENET, input_shape=SHAPE).module, module)


def test_averaged_weights_are_taken_without_their_count(tmp_path: Path) -> None:
    module = lenet_300_100()
    averaged = torch.optim.swa_utils.AveragedModel(module)
    path = saved(tmp_path / "net.pt", {"model": averaged.state_dict()})
    assert same(load(path, model=LENET, input_shape=SHAPE).module, module)


def test_of_several_state_dicts_the_usual_one_is_taken_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    module, other = lenet_300_100(), lenet_300_100()
    path = saved(tmp_path / "net.pt", {"state_dict_ema": other.state_dict(), "state_dict": module.state_dict()})
    with caplog.at_level(logging.WARNING, "edgeprune"):
        assert same(load(path, model=LENET, input_shape=SHAPE).module, module)
    assert "state_dict_ema" in caplog.text


def test_several_state_dicts_under_unusual_keys_are_refused(tmp_path: Path) -> None:
    state = lenet_300_100().state_dict()
    message = refusal(saved(tmp_path / "net.pt", {"left": state, "right": state}), model=LENET)
    assert "left, right" in message


def test_plain_values_of_training_scripts_do_not_stop_it(tmp_path: Path) -> None:
    module = lenet_300_100()
    content = {"model": module.state_dict(), "args": argparse.Namespace(lr=0.1), "best": np.float64(0.9), "at": np.int64(3)}
    assert same(load(saved(tmp_path / "net.pt", content), model=LENET, input_shape=SHAPE).module, module)


def test_the_old_file_format_is_read(tmp_path: Path) -> None:
    module = lenet_300_100()
    torch.save(module.state_dict(), tmp_path / "net.pt", _use_new_zipfile_serialization=False)
    assert same(load(tmp_path / "net.pt", model=LENET, input_shape=SHAPE).module, module)


def test_a_state_dict_without_a_network_asks_for_one(tmp_path: Path) -> None:
    message = refusal(saved(tmp_path / "net.pt", lenet_300_100().state_dict()))
    assert "--model torchvision:resnet18" in message


def test_a_file_that_does_not_say_its_shape_asks_for_it(tmp_path: Path) -> None:
    message = refusal(saved(tmp_path / "net.pt", lenet_300_100().state_dict()), model=LENET)
    assert "--input-shape" in message


def test_a_shape_that_the_network_does_not_take_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", lenet_300_100().state_dict())
    message = refusal(path, model=LENET, input_shape=(3, 32, 32))
    assert "(1, 3, 32, 32)" in message
    assert "--input-shape" in message


def test_missing_unexpected_and_misshapen_weights_are_counted_and_named(tmp_path: Path) -> None:
    state = lenet_300_100().state_dict()
    for name in ("fc1.weight", "fc1.bias"):
        del state[name]
    state |= {f"extra{i}": torch.zeros(1) for i in range(5)}
    state["fc3.weight"] = torch.zeros(10, 7)
    message = refusal(saved(tmp_path / "net.pt", state), model=LENET, input_shape=SHAPE)
    for part in (
        "2 missing (fc1.weight, fc1.bias)",
        "5 unexpected (extra0, extra1, extra2, ...)",
        "1 of another shape (fc3.weight is (10, 7) in the file, (10, 100) in the network)",
        "--model",
    ):
        assert part in message


def test_another_number_of_classes_is_said_as_such(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", lenet_300_100(7).state_dict())
    message = refusal(path, model=LENET, input_shape=SHAPE)
    assert "--model-arg num_classes=7" in message


def test_a_torchvision_network_takes_its_number_of_classes_from_the_file(tmp_path: Path) -> None:
    from edgeprune.vision import torchvision

    module = torchvision.models.resnet18(num_classes=7)
    path = saved(tmp_path / "net.pt", module.state_dict())
    loaded = load(path, model="torchvision:resnet18", input_shape=(3, 64, 64))
    assert loaded.model_args == {"num_classes": 7}
    assert same(loaded.module, module, torch.randn(1, 3, 64, 64))
    assert "fc.weight" in refusal(path, model="torchvision:resnet18", model_args={"num_classes": 5}, input_shape=(3, 64, 64))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(tmp_path: Path, bad: float) -> None:
    state = lenet_300_100().state_dict()
    state["fc2.bias"][3] = bad
    assert "fc2.bias" in refusal(saved(tmp_path / "net.pt", state), model=LENET, input_shape=SHAPE)


# --- masks that others stored


def by_torch_prune(module: nn.Module) -> dict[str, torch.Tensor]:
    for layer in ("fc1", "fc2"):
        torch_prune.l1_unstructured(module.get_submodule(layer), "weight", 0.5)
    return module.state_dict()


def test_masks_of_torch_prune_are_applied(tmp_path: Path) -> None:
    module = lenet_300_100()
    path = saved(tmp_path / "net.pt", {f"module.{name}": value for name, value in by_torch_prune(module).items()})
    loaded = load(path, model=LENET, input_shape=SHAPE)
    assert same(loaded.module, module)
    assert loaded.masks is not None
    assert sorted(loaded.masks) == ["fc1.weight", "fc2.weight"]
    assert int(loaded.masks["fc1.weight"].sum()) == 784 * 150
    assert loaded.module.get_parameter("fc1.weight")[~loaded.masks["fc1.weight"]].eq(0).all()


@pytest.mark.parametrize("form", ["beside", "dict", "nested", "by layer"])
def test_masks_in_other_forms_are_applied(tmp_path: Path, form: str) -> None:
    state = lenet_300_100().state_dict()
    mask = (torch.rand(10, 100) < 0.5).float()
    content: dict[str, Any] = {
        "beside": {**state, "fc3.weight_mask": mask},
        "dict": {"state_dict": state, "masks": {"fc3.weight": mask, "fc2.weight": None}},
        "nested": {"state_dict": state, "scheduler": {"masks_dict": {"fc3.weight": mask}}},
        "by layer": {"state_dict": state, "masks": {"fc3": mask}},
    }[form]
    loaded = load(saved(tmp_path / "net.pt", content), model=LENET, input_shape=SHAPE)
    assert loaded.masks is not None
    assert torch.equal(loaded.masks["fc3.weight"], mask.bool())
    assert torch.equal(loaded.module.get_parameter("fc3.weight"), state["fc3.weight"] * mask)


def test_masks_are_left_out_when_asked_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = lenet_300_100().state_dict()
    path = saved(tmp_path / "net.pt", {"state_dict": state, "masks": {"fc3.weight": torch.zeros(10, 100)}})
    with caplog.at_level(logging.WARNING, "edgeprune"):
        loaded = load(path, model=LENET, input_shape=SHAPE, stored_masks="ignore")
    assert "ignored" in caplog.text
    assert loaded.masks is None
    assert torch.equal(loaded.module.get_parameter("fc3.weight"), state["fc3.weight"])


@pytest.mark.parametrize(
    ("masks", "part"),
    [
        ({"fc9.weight": torch.ones(2)}, "fc9.weight"),
        ({"fc3.weight": torch.ones(2)}, "(2,)"),
        ({"fc3.weight": torch.full((10, 100), 0.5)}, "0 and 1"),
    ],
)
def test_a_mask_that_fits_no_weight_is_refused(tmp_path: Path, masks: dict[str, torch.Tensor], part: str) -> None:
    path = saved(tmp_path / "net.pt", {"state_dict": lenet_300_100().state_dict(), "masks": masks})
    message = refusal(path, model=LENET, input_shape=SHAPE)
    assert part in message
    assert "--stored-masks ignore" in message


def test_a_buffer_that_only_sounds_like_a_mask_stays_one(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Linear):\n"
        "    def __init__(self):\n"
        "        super().__init__(4, 2)\n"
        "        self.register_buffer('weight_mask', torch.ones(2, 4))\n"
    )
    state = {"weight": torch.ones(2, 4), "bias": torch.zeros(2), "weight_mask": torch.full((2, 4), 3.0)}
    loaded = load(saved(tmp_path / "net.pt", state), model=f"{tmp_path}/own.py:Net", input_shape=(4,))
    assert loaded.masks is None
    assert loaded.module.get_buffer("weight_mask").eq(3).all()


# --- safetensors


def safetensors(tensors: dict[str, torch.Tensor]) -> bytes:
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    names = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64", torch.bool: "BOOL"}
    for name, tensor in tensors.items():
        raw = tensor.numpy().tobytes()
        table[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    head = json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + body


@pytest.mark.parametrize("name", ["net.safetensors", "net.bin"])
def test_safetensors_are_read(tmp_path: Path, name: str) -> None:
    module = resnet20()
    (tmp_path / name).write_bytes(safetensors(dict(module.state_dict())))
    loaded = load(tmp_path / name, model="edgeprune.models:resnet20", input_shape=(3, 32, 32))
    assert same(loaded.module, module, torch.randn(2, 3, 32, 32))


def test_half_precision_weights_are_taken_as_float32(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in lenet_300_100().state_dict().items()}
    (tmp_path / "net.safetensors").write_bytes(safetensors(state))
    loaded = load(tmp_path / "net.safetensors", model=LENET, input_shape=SHAPE)
    assert torch.equal(loaded.module.get_parameter("fc1.weight"), state["fc1.weight"].float())


@pytest.mark.parametrize("how", ["cut", "beyond", "shape", "negative", "dtype", "header", "list"])
def test_damaged_safetensors_are_refused(tmp_path: Path, how: str) -> None:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    change = {
        "beyond": {"data_offsets": [0, 80]},
        "shape": {"shape": [3]},
        "negative": {"shape": [-2, -1], "data_offsets": [0, 8]},
        "dtype": {"dtype": "F99"},
    }
    table: Any = {"a": entry | change.get(how, {})}
    head = json.dumps([1] if how == "list" else table).encode()
    data = struct.pack("<Q", len(head) + (10**6 if how == "header" else 0)) + head + b"\0" * 8
    (tmp_path / "net.safetensors").write_bytes(data[:-4] if how == "cut" else data)
    assert "safetensors" in refusal(tmp_path / "net.safetensors", model=LENET)


# --- public checkpoints


@pytest.mark.parametrize("source", ["library", "file"])
def test_the_public_resnet20_has_its_published_accuracy(shared_data: Path, tmp_path: Path, source: str) -> None:
    (tmp_path / "own.py").write_text("from edgeprune.models import resnet20\n")
    model = "edgeprune.models:resnet20" if source == "library" else f"{tmp_path}/own.py:resnet20"
    path = shared_data / "checkpoints" / "resnet-cifar10" / "resnet20-12fca82f.th"
    loaded = load(path, model=model, input_shape=(3, 32, 32))
    statistics = Preprocessing(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "rgb", (32, 32))
    # A tenth of the test set, evenly spread, on one of the two roads; the whole of it on the other.
    test = load_data(
        f"cifar10:{shared_data / 'cifar10'}", preprocessing=statistics, limit=None if source == "file" else 1000
    ).test
    with torch.no_grad():
        right = sum(int((loaded.module(x).argmax(1) == y).sum()) for x, y in test.batches(500))
    assert right / len(test) == pytest.approx(0.9173, abs=0.0002 if source == "file" else 0.03)


def test_a_public_checkpoint_with_masks_beside_its_weights_is_read(shared_data: Path) -> None:
    path = shared_data / "checkpoints" / "resnet20-channel-masked" / "checkpoint_trained_ch_regularized_dense.pth.tar"
    loaded = load(path, model="edgeprune.models:resnet20_conv_shortcut", input_shape=(3, 32, 32))
    assert loaded.masks is not None
    assert len(loaded.masks) == 7
    assert float(loaded.masks["layer1.2.conv2.weight"].float().mean()) == 0.5
    assert loaded.meta["epoch"] == 179
