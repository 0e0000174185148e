"""Two processes under torchrun prune as one does with the same batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeprune.pruning import METHODS
from edgeprune.pruning.schedules import WITHIN_TRAINING

SCRIPT = """
import os, sys, json
sys.path.insert(0, {here!r})
import torch
torch.set_num_threads(1)
from nets import CifarResNet, LeNet300, made_up
from edgeprune.pruning import Progress, Recipe, prune, train

class Told(Progress):
    said = 0
    def round_started(self, *given): Told.said += 1

found = []
def add(name, net, data, method, epochs):
    p = prune(net, 10, data=data, method=method, rounds=2, epochs=epochs, batch_size=32, lr=0.01, progress=Told(),
              work_dir=os.path.join({out!r}, name))
    found.append((name, {{n: m for n, m in p.masks.items()}}, p.module.state_dict(), p.accuracy_after, p.rounds[-1].loss))

data = made_up((16,), 522)  # the last batch of 5 is shared unevenly
torch.manual_seed(0)
net = LeNet300(16, 32, 16)
for method in {methods!r}:
    add(method, net, data, method, 3)
normed, images = CifarResNet(1, 4), made_up((3, 8, 8), 512)
train(normed, images.train, Recipe(8, 0.01, batch_size=32))
for method in {normed!r}:
    add("batch norm, " + method, normed, images, method, 12)
torch.save((found, Told.said), os.path.join({out!r}, "rank" + os.environ.get("RANK", "alone") + ".pt"))
"""
CHANGING = [name for name, method in METHODS.items() if method.schedule in WITHIN_TRAINING]
PLAIN = ["magnitude", "synflow", "snip", "iterative-snip", "hydra", *CHANGING]
NORMED = ["magnitude", "rigl", "dpf"]
NAMES = [*PLAIN, *(f"batch norm, {name}" for name in NORMED)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each process found, by its rank; "alone" is one process with the same batches."""
    out = tmp_path_factory.mktemp("processes")
    script = out / "script.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent), methods=PLAIN, normed=NORMED, out=str(out)))
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    together = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(script)]
    for command in (together, [sys.executable, str(script)]):
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert run.returncode == 0, run.stderr[-3000:]
    return {file.stem.removeprefix("rank"): torch.load(file, weights_only=True) for file in out.glob("rank*.pt")}


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_both_processes_end_with_the_same_bits(results: dict[str, Any], number: int) -> None:
    first, second = results["0"][0][number], results["1"][0][number]
    assert all(torch.equal(mask, second[1][name]) for name, mask in first[1].items())
    assert all(torch.equal(value, second[2][name]) for name, value in first[2].items())
    assert first[3:] == second[3:]


# Not SET: what it grew at one change has had the same steps of Adam, of nearly the same size each, so that rounding alone decides
# which of them is the smallest at the next.
@pytest.mark.parametrize("method", [name for name in PLAIN if name != "set"])
def test_two_processes_find_what_one_does(results: dict[str, Any], method: str) -> None:
    number = PLAIN.index(method)
    together, alone = results["0"][0][number], results["alone"][0][number]
    assert all(torch.equal(mask, alone[1][name]) for name, mask in together[1].items())
    for name, value in together[2].items():
        assert torch.allclose(value, alone[2][name], rtol=1e-3, atol=1e-5), name
    assert together[4] == pytest.approx(alone[4], rel=1e-4)
    assert together[3] == pytest.approx(alone[3], abs=2 / 260)


@pytest.mark.parametrize("method", NORMED)
def test_batch_norms_that_measure_half_a_batch_cost_no_accuracy(results: dict[str, Any], method: str) -> None:
    """They are not those of the whole batch, so that the weights are not the same; the network is as good."""
    number = NAMES.index(f"batch norm, {method}")
    together, alone = results["0"][0][number], results["alone"][0][number]
    assert sum(int(mask.sum()) for mask in together[1].values()) == sum(int(mask.sum()) for mask in alone[1].values())
    assert together[3] == pytest.approx(alone[3], abs=0.1)
    assert min(together[3], alone[3]) > 0.5


def test_only_the_leading_process_reports(results: dict[str, Any]) -> None:
    assert results["0"][1] == results["alone"][1] > 0
    assert results["1"][1] == 0
