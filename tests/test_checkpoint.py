"""Checkpoints: what is taken, what is refused and how, and that a saved one needs no further words."""

from __future__ import annotations

import argparse
import copy
import io
import json
import logging
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from edgeprune.checkpoint import load, save_checkpoint
from edgeprune.data import Preprocessing, load_data
from edgeprune.errors import EdgepruneError
from edgeprune.models import lenet_5, lenet_300_100, resnet20

LENET = "edgeprune.models:lenet_300_100"
SHAPE = (1, 28, 28)
X = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))


def refusal(path: Path, **how: Any) -> str:
    with pytest.raises(EdgepruneError) as caught:
        load(path, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def same(a: nn.Module, b: nn.Module, x: torch.Tensor = X) -> bool:
    with torch.no_grad():
        return torch.equal(a.eval()(x), b.eval()(x))


# --- the project's own file


def write_own(path: Path, **how: Any) -> nn.Module:
    module = lenet_300_100()
    save_checkpoint(path, module, **{"model": LENET, "input_shape": SHAPE, **how})
    return module


def test_a_saved_checkpoint_needs_no_further_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    preprocessing = Preprocessing(1 / 255, (0.1,), (0.3,), "gray", (28, 28))
    meta = {"accuracy": np.float64(0.5), "history": [{"kept": 3, "names": ("a", None)}], "done": True}
    module = write_own(Path("net.pt"), preprocessing=preprocessing, data="mnist:data", meta=meta)
    monkeypatch.chdir("/")
    loaded = load(tmp_path / "net.pt")
    assert same(loaded.module, module)
    assert not loaded.module.training
    assert loaded.input_shape == SHAPE
    assert [x.shape for x in loaded.example_inputs] == [(1, *SHAPE)]
    assert loaded.preprocessing == preprocessing
    assert loaded.data_spec == f"mnist:{tmp_path / 'data'}"
    assert (loaded.model_spec, loaded.masks) == (LENET, None)
    assert loaded.meta == {"accuracy": 0.5, "history": [{"kept": 3, "names": ["a", None]}], "done": True}


def test_a_saved_checkpoint_is_read_without_running_code(tmp_path: Path) -> None:
    write_own(tmp_path / "net.pt", meta={"a": 1})
    assert torch.load(tmp_path / "net.pt", weights_only=True)["format"] == "edgeprune.checkpoint"


def test_masks_come_back_as_they_were(tmp_path: Path) -> None:
    module = lenet_300_100()
    masks = {name: torch.rand(p.shape) < 0.1 for name, p in module.named_parameters() if p.dim() == 2}
    with torch.no_grad():
        for name, mask in masks.items():
            module.get_parameter(name).mul_(mask)
    save_checkpoint(tmp_path / "net.pt", module, model=LENET, input_shape=SHAPE, masks=masks)
    loaded = load(tmp_path / "net.pt")
    assert loaded.masks is not None
    assert loaded.masks.keys() == masks.keys()
    assert all(loaded.masks[name].dtype == torch.bool and torch.equal(loaded.masks[name], masks[name]) for name in masks)
    assert same(loaded.module, module)


def test_a_weight_outside_its_mask_is_not_saved(tmp_path: Path) -> None:
    mask = torch.zeros(10, 100, dtype=torch.bool)
    with pytest.raises(EdgepruneError, match=r"fc3\.weight is not zero"):
        write_own(tmp_path / "net.pt", masks={"fc3.weight": mask})
    assert not (tmp_path / "net.pt").exists()


def test_meta_that_is_not_plain_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgepruneError, match=r"meta\.net is a LeNet300"):
        write_own(tmp_path / "net.pt", meta={"net": lenet_300_100()})


def test_saving_changes_nothing_and_shares_nothing(tmp_path: Path) -> None:
    module = lenet_300_100().train()
    before = copy.deepcopy(module.state_dict())
    save_checkpoint(tmp_path / "net.pt", module, model=LENET, input_shape=SHAPE)
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_loading_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    write_own(tmp_path / "net.pt")
    before = (tmp_path / "net.pt").read_bytes()
    with torch.no_grad():
        next(load(tmp_path / "net.pt").module.parameters()).zero_()
    assert (tmp_path / "net.pt").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]


def test_a_checkpoint_and_its_data_can_be_moved_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    write_own(Path("here/net.pt"), data="mnist:here/data")
    (tmp_path / "here").rename(tmp_path / "there")
    assert load("there/net.pt").data_spec == f"mnist:{tmp_path / 'there' / 'data'}"


def test_the_shipped_sample_is_as_accurate_as_it_says(mnist_sample: Path) -> None:
    loaded = load(mnist_sample / "lenet_300_100.pt")
    assert loaded.data_spec is not None
    test = load_data(loaded.data_spec).test
    with torch.no_grad():
        right = sum(int((loaded.module(x).argmax(1) == y).sum()) for x, y in test.batches(1000))
    assert right / len(test) == pytest.approx(loaded.meta["accuracy"], abs=2e-4)
    assert right / len(test) >= 0.98


def test_a_file_may_not_choose_code_to_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n")
    write_own(tmp_path / "net.pt", model=f"{tmp_path}/own.py:make")
    message = refusal(tmp_path / "net.pt")
    assert "code would run" in message
    assert f"--model {tmp_path}/own.py:make" in message
    assert not ran.exists()


def test_a_network_of_the_users_own_is_rebuilt_once_they_say_so(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import torch\ndef make(n): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, n))\n"
    )
    module = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
    path = tmp_path / "net.pt"
    save_checkpoint(path, module, model=f"{tmp_path}/own.py:make", model_args={"n": 3}, input_shape=SHAPE)
    assert f"--model {tmp_path}/own.py:make" in refusal(path)
    loaded = load(path, model=f"{tmp_path}/own.py:make")
    assert same(loaded.module, module)
    assert loaded.model_args == {"n": 3}
    assert same(load(path, allow_pickle=True).module, module)


def test_data_that_would_run_code_is_left_out_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_own(tmp_path / "net.pt", data="antigravity:x")
    with caplog.at_level(logging.WARNING, "edgeprune"):
        assert load(tmp_path / "net.pt").data_spec is None
    assert "--data antigravity:x" in caplog.text


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"version": 2}, "version 2"),
        ({"state_dict": None}, "damaged"),
        ({"state_dict": {"fc1.weight": 3}}, "damaged"),
        ({"model": {"spec": 3, "args": {}}}, "damaged"),
        ({"model": {"spec": None, "args": {}}}, "damaged"),
        ({"input_shape": ["a"]}, "damaged"),
        ({"input_shape": [0, 3]}, "--input-shape"),
        ({"input_shape": [10**9, 10**9]}, "--input-shape"),
        ({"preprocessing": {"scale": 1}}, "preprocessing"),
        ({"masks": {"fc9.weight": torch.ones(2)}}, "fc9.weight"),
        ({"masks": {"fc1.weight": torch.ones(2)}}, "(2,)"),
    ],
)
def test_a_damaged_own_file_is_refused(tmp_path: Path, change: dict[str, Any], part: str) -> None:
    path = tmp_path / "net.pt"
    write_own(path)
    assert part in refusal(saved(path, torch.load(path, weights_only=True) | change))


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


# --- pickles


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)  # type: ignore[no-any-return]


class Runs:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("wrap", [False, True])
def test_a_pickled_module_needs_the_flag_that_says_it_runs_code(tmp_path: Path, wrap: bool) -> None:
    module = Custom()
    path = saved(tmp_path / "net.pt", {"model": module, "epoch": 1} if wrap else module)
    message = refusal(path, input_shape=(4,))
    assert all(part in message for part in ("Custom", "run code", "--allow-pickle"))
    assert same(load(path, input_shape=(4,), allow_pickle=True).module, module, torch.randn(2, 4))


def test_a_pickle_that_would_run_code_does_not(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", {"state_dict": lenet_300_100().state_dict(), "x": Runs(tmp_path / "ran")})
    assert "--allow-pickle" in refusal(path, model=LENET, input_shape=SHAPE)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_of_code_that_is_not_here_says_which(shared_data: Path) -> None:
    path = shared_data / "checkpoints" / "resnet20-channel-masked" / "custom-class.pth.tar"
    assert "distiller.thinning.ThinningRecipe" in refusal(path)
    assert "distiller" in refusal(path, allow_pickle=True)


# --- what is no checkpoint


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "empty"),
        (b"hello, world", "no checkpoint"),
        (b"\x80\x02junk", "no checkpoint"),
        (b"\x1c\0\0\0TFL3" + b"\0" * 50, "TFLite"),
        (b"\x1f\x8b" + b"\0" * 50, "gzipped"),
        (b"<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x89HDF\r\n", "Keras"),
    ],
)
def test_what_is_no_checkpoint_is_called_what_it_is(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(content)
    message = refusal(path, model=LENET)
    assert part in message
    assert str(path) in message


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.9999])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_checkpoint_says_to_copy_it_again(tmp_path: Path, share: float, zipped: bool) -> None:
    path = tmp_path / "net.pt"
    torch.save(lenet_300_100().state_dict(), path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "again" in refusal(path, model=LENET, input_shape=SHAPE)


@pytest.mark.parametrize("kind", ["own", "graph", "exported"])
def test_a_garbled_file_is_read_or_refused_and_nothing_else(tmp_path: Path, kind: str) -> None:
    module = lenet_300_100(in_features=16)
    path, shape = tmp_path / "net.pt", (1, 4, 4)
    if kind == "exported":
        exported(path, module, shape)
    else:
        model = LENET if kind == "own" else None
        save_checkpoint(path, module, model=model, model_args={"in_features": 16}, input_shape=shape)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    refused = []
    for _ in range(40):
        garbled = np.frombuffer(data, np.uint8).copy()
        # The ends hold the structure; the middle is weights, where any byte is as good as another.
        where = rng.integers(0, 3000, rng.choice([1, 3, 30])) * rng.choice([1, -1])
        garbled[where] = rng.integers(0, 256, len(where))
        path.write_bytes(garbled.tobytes())
        try:
            load(path)
        except EdgepruneError as error:
            refused.append(str(error))
    assert len(refused) > 10
    assert not any("\n" in message for message in refused)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "best.pth").touch()
    assert "best.pth" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "absent.pt")


def test_other_archives_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    assert "no PyTorch checkpoint" in refusal(tmp_path / "a.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "jit.pt")
    assert "TorchScript" in refusal(tmp_path / "jit.pt")


@pytest.mark.parametrize("content", [3, "text", torch.zeros(3), [torch.zeros(3)], {"a": 1, "b": "c"}, {}])
def test_an_object_without_weights_is_refused(tmp_path: Path, content: Any) -> None:
    message = refusal(saved(tmp_path / "net.pt", content), model=LENET)
    assert "state dict" in message


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


# --- exported programs


def exported(path: Path, module: nn.Module, shape: tuple[int, ...], batch: int | None = None) -> Path:
    x = torch.zeros(batch or 2, *shape)
    dynamic = None if batch else ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(module.eval(), (x,), dynamic_shapes=dynamic), path)
    return path


@pytest.mark.parametrize("batch", [None, 1])
def test_an_exported_program_needs_no_words(tmp_path: Path, batch: int | None) -> None:
    module = lenet_5()
    loaded = load(exported(tmp_path / "net.pt2", module, SHAPE, batch))
    assert loaded.input_shape == SHAPE
    x = loaded.example_inputs[0]
    with torch.no_grad():
        assert torch.equal(loaded.module(x), module(x))


def test_an_exported_program_can_be_copied_switched_trained_and_exported_again(tmp_path: Path) -> None:
    module = copy.deepcopy(load(exported(tmp_path / "net.pt2", lenet_300_100(), SHAPE)).module)
    module.train()
    module(X).sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    module.eval()
    again = torch.export.export(module, (X[:1],))
    assert torch.equal(again.module()(X[:1]), module(X[:1]))


def test_a_network_without_a_factory_is_saved_as_its_graph(tmp_path: Path) -> None:
    module = load(exported(tmp_path / "net.pt2", lenet_300_100(), SHAPE)).module
    with torch.no_grad():
        mask = torch.rand(10, 100) < 0.5
        module.get_parameter("fc3.weight").mul_(mask)
    save_checkpoint(tmp_path / "pruned.pt", module, model=None, input_shape=SHAPE, masks={"fc3.weight": mask})
    loaded = load(tmp_path / "pruned.pt")
    with torch.no_grad():
        assert torch.equal(loaded.module(X), module(X))
    assert loaded.masks is not None
    assert torch.equal(loaded.masks["fc3.weight"], mask)


def test_a_program_exported_in_training_mode_is_refused(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()
    torch.export.save(torch.export.export(module, (torch.zeros(2, 4),)), tmp_path / "net.pt2")
    assert "eval()" in refusal(tmp_path / "net.pt2")


def test_a_program_of_one_batch_size_says_what_it_cannot_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Views(Custom):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.view(1, 4))  # type: ignore[no-any-return]

    with caplog.at_level(logging.WARNING, "edgeprune"):
        loaded = load(exported(tmp_path / "net.pt2", Views(), (4,), batch=1))
    assert loaded.input_shape == (4,)
    assert "dynamic batch" in caplog.text


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_truncated_program_is_refused(tmp_path: Path, share: float) -> None:
    path = exported(tmp_path / "net.pt2", lenet_300_100(), SHAPE)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "again" in refusal(path)


def rewritten(path: Path, change: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize("place", ["sample_inputs/model.pt", "weights/weight_0"])
def test_a_program_with_a_pickle_that_would_run_code_is_refused(tmp_path: Path, place: str) -> None:
    path = exported(tmp_path / "net.pt2", lenet_300_100(), SHAPE)
    evil = io.BytesIO()
    torch.save(Runs(tmp_path / "ran"), evil)
    rewritten(
        path,
        lambda name, data: (
            evil.getvalue() if name.endswith(place) else data.replace(b'"use_pickle": false', b'"use_pickle": true')
        ),
    )
    assert "--allow-pickle" in refusal(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Symbol('s77', positive=True, integer=True)", "__import__('pathlib').Path('ran').touch()"),
        ("Symbol('s77', positive=True, integer=True)", "Symbol('s77').func.x"),
        ("torch.ops.aten.flatten.using_ints", "torch.os.system"),
        ("torch.ops.aten.flatten.using_ints", "torch.ops.load_library"),
        ("torch.ops.aten.flatten.using_ints", "_operator.attrgetter"),
        ('{\\"type\\": null', '{\\"type\\": \\"collections.defaultdict\\"'),
    ],
)
def test_a_program_that_names_more_than_a_network_needs_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = exported(tmp_path / "net.pt2", lenet_300_100(), SHAPE)
    found = []

    def change(name: str, data: bytes) -> bytes:
        found.append(old.encode() in data)
        return data.replace(old.encode(), new.encode())

    rewritten(path, change)
    assert any(found)
    message = refusal(path)
    assert "could run code" in message
    assert "--allow-pickle" in message


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
