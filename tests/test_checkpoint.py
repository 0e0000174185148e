"""Files that hold their network, the project's own and exported programs: a saved one needs no further words."""

from __future__ import annotations

import copy
import io
import logging
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_files import LENET, SHAPE, Custom, Runs, X, exported, refusal, same, saved
from torch import nn

from edgeprune.checkpoint import load, save_checkpoint
from edgeprune.data import Preprocessing, load_data
from edgeprune.errors import EdgepruneError
from edgeprune.formats import load as load_artifact
from edgeprune.models import lenet_5, lenet_300_100
from edgeprune.profiling import profile

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


# --- exported programs


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
    for used in (load_artifact, profile):  # as an artifact, which is trusted no more than a checkpoint
        with pytest.raises(EdgepruneError, match=r"could run code when read.*edgeprune export .* --allow-pickle --target pt2"):
            used(path)
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
