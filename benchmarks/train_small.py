"""Retraining at the size of what is left, against retraining the whole network under its masks: accuracy and seconds.

    python benchmarks/train_small.py --data FOLDER     # the folder of mnist/, cifar10/ and checkpoints/; goes on where it was stopped
    python benchmarks/train_small.py --table           # only writes the table from what was run

Both ways cut the same weights by the same criterion and see the same batches; only sums are added in another order. Writes
train_small.jsonl (one line a run) and train_small.md beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import edgeprune
from edgeprune.models import lenet_5
from edgeprune.pruning import Masks, Recipe, run, train, training

HERE = Path(__file__).parent
RUNS, TABLE = HERE / "train_small.jsonl", HERE / "train_small.md"
SEEDS = range(3)


@dataclass(frozen=True)
class Task:
    """One network, one method, one budget. `limit`: that many images for training, evenly spaced."""

    net: str
    data: str
    method: str
    ratio: int
    rounds: int
    epochs: int
    limit: int

    def key(self) -> dict[str, Any]:
        """What a run of it is known by."""
        return {"net": self.net, "method": self.method, "ratio": self.ratio, "limit": self.limit}


TASKS = (
    Task("LeNet-5", "mnist", "magnitude", 64, 4, 2, 12_000),
    Task("ResNet-20", "cifar10", "l1-filters", 2, 1, 1, 10_000),
    Task("LeNet-5", "mnist", "magnitude", 512, 6, 2, 12_000),
    Task("LeNet-5", "mnist", "magnitude", 1024, 6, 2, 12_000),
    Task("ResNet-20", "cifar10", "l1-filters", 4, 1, 1, 10_000),
    Task("ResNet-20", "cifar10", "magnitude", 64, 4, 1, 10_000),
)


def network(task: Task, folder: Path, data: Any) -> nn.Module:
    """LeNet-5 trained here for three epochs; ResNet-20 as its authors published it."""
    if task.net == "ResNet-20":
        path = folder / "checkpoints" / "resnet-cifar10" / "resnet20-12fca82f.th"
        return edgeprune.load(path, model="edgeprune.models:resnet20", input_shape=(3, 32, 32)).module
    torch.manual_seed(0)
    module = lenet_5()
    train(module, data.train, Recipe(3, 0.003, 128), seed=0)
    return module


@contextlib.contextmanager
def whole(module: nn.Module, masks: Masks, sample: Any, probe: Any = None) -> Iterator[Masks]:
    """In the place of `compacted`: nothing is made smaller."""
    yield masks


class Clock:
    """In the place of `train`: adds up the processor seconds of all trainings."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> float:
        before = time.process_time()
        try:
            return train(*args, **kwargs)
        finally:
            self.seconds += time.process_time() - before


def done() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []


def runs_of(task: Task, small: bool) -> list[dict[str, Any]]:
    return [one for one in done() if one["small"] == small and task.key().items() <= one.items()]


def measure(folder: Path) -> None:
    torch.set_num_threads(1)
    compacted = training.compacted
    for seed, task in itertools.product(SEEDS, TASKS):
        missing = [small for small in (True, False) if seed not in {one["seed"] for one in runs_of(task, small)}]
        if not missing:
            continue
        data = edgeprune.load_data(f"{task.data}:{folder / task.data}", limit=task.limit)
        module = network(task, folder, data)
        settings: dict[str, Any] = {"rounds": task.rounds, "epochs": task.epochs, "batch_size": 128, "method": task.method}
        for small in missing:
            training.compacted = run.compacted = compacted if small else whole
            run.train = clock = Clock()
            before = time.process_time()
            pruned = edgeprune.prune(module, task.ratio, data=data, seed=seed, **settings)
            one = {
                **task.key(), "small": small, "seed": seed, "kept": pruned.kept, "before": pruned.accuracy_before,
                "accuracy": pruned.accuracy_after, "all": time.process_time() - before, "training": clock.seconds,
            }  # fmt: skip
            with open(RUNS, "a") as file:
                file.write(json.dumps(one) + "\n")
            print(one, flush=True)


def table() -> str:
    lines = [
        "# Retraining at the size of what is left", "",
        "Learning-rate rewinding on a part of the training images, one thread of a busy machine, both ways in turn: processor",
        "seconds of the trainings, and of the whole call with cutting, measuring and probing; the median over the seeds. *Small*",
        "trains the rows and columns that still hold weights, and no channel that nothing reads; *whole* the full layers under",
        "their masks, otherwise by the same code. Test accuracy: median (min to max). `magnitude` cuts single weights, in rounds;",
        "`l1-filters` takes out whole filters at once. Made by `python benchmarks/train_small.py`.", "",
        "| network | method | ratio | weights | rounds x epochs, images | dense | small | whole | training small | whole | call small "
        "| whole | seeds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    missing = []
    for task in TASKS:
        some = {small: runs_of(task, small) for small in (True, False)}
        both = {one["seed"] for one in some[True]} & {one["seed"] for one in some[False]}
        some = {small: [one for one in some[small] if one["seed"] in both] for small in some}
        if not both:
            missing.append(f"{task.net} by {task.method} at {task.ratio}x")
            continue
        first = some[True][0]
        accuracy = {small: [100 * one["accuracy"] for one in some[small]] for small in some}
        said = {s: f"{statistics.median(a):.2f} % ({min(a):.2f} to {max(a):.2f})" for s, a in accuracy.items()}
        seconds = [
            f"{statistics.median(one[what] for one in some[small]):.1f} s"
            for what in ("training", "all")
            for small in (True, False)
        ]
        lines.append(
            f"| {task.net} | {task.method} | {task.ratio}x | {first['kept']:,} | {task.rounds} x {task.epochs}, {task.limit:,} "
            f"| {100 * first['before']:.2f} % | {said[True]} | {said[False]} | {' | '.join(seconds)} "
            f"| {len(both)} |"
        )
    lines += [
        "", "Cut weight by weight to 64x, LeNet-5 keeps weights in every channel of its convolutions, where its time goes: small",
        "training saves nothing there. Equal trainings differ by some ten percent of processor time on a busy machine.",
    ]  # fmt: skip
    if missing:
        lines += ["", f"Not run yet: {'; '.join(missing)}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--table", action="store_true", help="do not run anything")
    options.add_argument("--data", type=Path, help="the folder of mnist/, cifar10/ and checkpoints/")
    given = options.parse_args()
    if not given.table:
        if given.data is None:
            options.error("give --data, or --table")
        measure(given.data)
    TABLE.write_text(table())
