"""A run that is stopped goes on to the very result of one that was not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import CifarResNet, made_up
from torch import nn

from edgeprune.errors import EdgepruneError
from edgeprune.pruning import Progress, Pruned, Recipe, Round, prune, train
from edgeprune.pruning.run import STATE_FILE, STATE_VERSION, Run


class Stop(Exception):
    pass


class StopAfter(Progress):
    """Raises when `round` is done (and saved), or in the middle of its training."""

    def __init__(self, number: int, in_training: bool) -> None:
        self.number, self.in_training, self.now = number, in_training, 0

    def round_started(self, number: int, rounds: int, kept: int) -> None:
        self.now = number

    def epoch_finished(self, epoch: int, epochs: int, loss: float, accuracy: float | None) -> None:
        if self.in_training and self.now == self.number:
            raise Stop

    def round_finished(self, record: Round) -> None:
        if not self.in_training and record.number == self.number:
            raise Stop


def network() -> nn.Module:
    torch.manual_seed(0)
    net = CifarResNet(1, 4)
    train(net, DATA.train, Recipe(2, 0.01, batch_size=32))
    return net


DATA = made_up((3, 8, 8), 128)
GIVEN: dict[str, Any] = {"ratio": 40, "data": DATA, "rounds": 3, "epochs": 2, "batch_size": 32, "criterion": "random", "seed": 5}


def same(a: Pruned, b: Pruned) -> bool:
    states = a.module.state_dict(), b.module.state_dict()
    return (
        all(torch.equal(value, states[1][name]) for name, value in states[0].items())
        and a.masks.same(b.masks)
        and [dataclasses.replace(r, seconds=0) for r in a.rounds] == [dataclasses.replace(r, seconds=0) for r in b.rounds]
        and (a.accuracy_before, a.accuracy_after) == (b.accuracy_before, b.accuracy_after)
    )


@pytest.mark.parametrize(("number", "in_training"), [(1, False), (2, False), (1, True), (3, True)])
@pytest.mark.parametrize("retrain", ["lr-rewind", "weight-rewind"])
def test_a_stopped_run_ends_as_if_it_had_not_been(tmp_path: Path, number: int, in_training: bool, retrain: str) -> None:
    whole = prune(network(), **GIVEN, retrain=retrain)
    with pytest.raises(Stop):
        prune(network(), **GIVEN, retrain=retrain, work_dir=tmp_path, progress=StopAfter(number, in_training))
    torch.manual_seed(99)  # another process has another random state
    resumed = prune(network(), **GIVEN, retrain=retrain, work_dir=tmp_path, resume=True)
    assert same(whole, resumed)


def test_finished_rounds_are_not_done_again(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        prune(network(), **GIVEN, work_dir=tmp_path, progress=StopAfter(2, False))
    started = []

    class Told(Progress):
        def round_started(self, number: int, rounds: int, kept: int) -> None:
            started.append(number)

    first = prune(network(), **GIVEN, work_dir=tmp_path, resume=True, progress=Told())
    assert started == [3]
    again = prune(network(), **GIVEN, work_dir=tmp_path, resume=True, progress=Told())
    assert started == [3]
    assert same(first, again)


def test_the_reserved_paths_go_on_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later round falls back on them only where its own search fails, so that a result alone would not show their loss."""
    seen: list[Any] = []
    save, restore = Run.save, Run.restore
    monkeypatch.setattr(Run, "save", lambda self: (seen.append(self.reserve), save(self))[1])
    monkeypatch.setattr(Run, "restore", lambda self: (restore(self), seen.append(self.reserve))[0])
    with pytest.raises(Stop):
        prune(network(), **GIVEN, work_dir=tmp_path, progress=StopAfter(2, False))
    prune(network(), **GIVEN, work_dir=tmp_path, resume=True)
    _, saved, restored, _ = seen
    assert saved.kept > 0
    assert restored.same(saved)


def test_without_resume_a_run_starts_from_the_beginning(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        prune(network(), **GIVEN, work_dir=tmp_path, progress=StopAfter(2, False))
    assert same(prune(network(), **GIVEN, work_dir=tmp_path), prune(network(), **GIVEN))


def test_resuming_where_nothing_was_saved_starts_from_the_beginning(tmp_path: Path) -> None:
    assert same(prune(network(), **GIVEN, work_dir=tmp_path / "new", resume=True), prune(network(), **GIVEN))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ratio": 41}, "ratio was 40.0 and is now 41.0"),
        ({"criterion": "magnitude"}, "criterion was 'random' and is now 'magnitude'"),
        ({"schedule": "one-shot"}, "schedule was 'iterative' and is now 'one-shot'"),
        ({"retrain": "weight-rewind"}, "retrain was 'lr-rewind' and is now 'weight-rewind'"),
        ({"aap": False}, "aap was True and is now False"),
        ({"rounds": 4}, "rounds was 3 and is now 4"),
        ({"epochs": 3}, "epochs was 2 and is now 3"),
        ({"lr": 0.5}, "lr was .* and is now 0.5"),
        ({"batch_size": 64}, "batch_size was 32 and is now 64"),
        ({"seed": 6}, "seed was 5 and is now 6"),
        ({"precision": "bf16-mixed"}, "precision was '32-true' and is now 'bf16-mixed'"),
        ({"data": made_up((3, 8, 8), 130)}, r"data was 'made-up \(64 \+ 64 samples\)' and is now"),
    ],
)
def test_other_arguments_are_refused_by_name(stopped: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(EdgepruneError, match=words):
        prune(network(), **{**GIVEN, **change}, work_dir=stopped, resume=True)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Stop):
        prune(network(), **GIVEN, work_dir=folder, progress=StopAfter(1, False))
    return folder


def test_another_checkpoint_is_refused(stopped: Path) -> None:
    net = network()
    net.linear.bias.data[0] += 1
    with pytest.raises(EdgepruneError, match="weights was"):
        prune(net, **GIVEN, work_dir=stopped, resume=True)


@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_a_damaged_state_is_refused_with_what_to_do(stopped: Path, tmp_path: Path, damage: str) -> None:
    whole = (stopped / STATE_FILE).read_bytes()
    (tmp_path / STATE_FILE).write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"what is this")
    with pytest.raises(EdgepruneError, match=r"^\S+ is not a readable state \(\w+\); delete it and start again$"):
        prune(network(), **GIVEN, work_dir=tmp_path, resume=True)


def test_a_state_of_another_version_is_refused(stopped: Path, tmp_path: Path) -> None:
    state = torch.load(stopped / STATE_FILE, weights_only=True)
    torch.save({**state, "version": 99}, tmp_path / STATE_FILE)
    with pytest.raises(EdgepruneError, match=f"of version 99, this is {STATE_VERSION}"):
        prune(network(), **GIVEN, work_dir=tmp_path, resume=True)
