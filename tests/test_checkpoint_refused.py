"""What is no checkpoint, is damaged, or would run code: refused, and how."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_files import LENET, SHAPE, Custom, Runs, exported, refusal, same, saved
from torch import nn

from edgeprune.checkpoint import load, save_checkpoint
from edgeprune.errors import EdgepruneError
from edgeprune.models import lenet_300_100

# --- pickles


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
