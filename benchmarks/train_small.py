"""Retraining at the size of what is left, against retraining the whole network under its masks: accuracy and seconds.

    python benchmarks/train_small.py --data FOLDER     # the folder of mnist/, cifar10/ and checkpoints/; goes on where it was stopped
    python benchmarks/train_small.py --table           # only writes the table from what was run

Both ways cut the same weights by the same criterion and see the same batches; only sums are added in another order. Writes
train_small.jsonl (one line a run) and train_small.md beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
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
from edgeprune.pruning import Masks, Recipe, train, training

HERE = Path(__file__).parent
RUNS, TABLE = HERE / "train_small.jsonl", HERE / "train_small.md"
SEEDS = range(3)


@dataclass(frozen=True)
class Task:
    """One network, one budget. `limit`: that many images for training, evenly spaced."""

    name: str
    data: str
    ratio: int
    rounds: int
    epochs: int
    limit: int
    batch_size: int


TASKS = (
    Task("LeNet-5", "mnist", 64, 4, 2, 12_000, 128),
    Task("LeNet-5", "mnist", 512, 6, 2, 12_000, 128),
    Task("ResNet-20", "cifar10", 64, 4, 1, 4_000, 128),
    Task("ResNet-20", "cifar10", 256, 5, 1, 4_000, 128),
)


def network(task: Task, folder: Path, data: Any) -> nn.Module:
    """LeNet-5 trained here for three epochs; ResNet-20 as its authors published it."""
    if task.name == "ResNet-20":
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


def done() -> dict[tuple[str, int, bool, int], dict[str, Any]]:
    lines = RUNS.read_text().splitlines() if RUNS.exists() else []
    return {(run["net"], run["ratio"], run["small"], run["seed"]): run for run in map(json.loads, lines)}


def measure(folder: Path) -> None:
    torch.set_num_threads(1)
    compacted = training.compacted
    for task in TASKS:
        missing = [(s, small) for s in SEEDS for small in (True, False) if (task.name, task.ratio, small, s) not in done()]
        if not missing:
            continue
        data = edgeprune.load_data(f"{task.data}:{folder / task.data}", limit=task.limit)
        module = network(task, folder, data)
        settings = {"rounds": task.rounds, "epochs": task.epochs, "batch_size": task.batch_size}
        for seed, small in missing:
            training.compacted = compacted if small else whole
            start, before = time.perf_counter(), time.process_time()
            pruned = edgeprune.prune(module, task.ratio, data=data, seed=seed, schedule="iterative", **settings)
            run = {
                "net": task.name, "ratio": task.ratio, "small": small, "seed": seed, "kept": pruned.kept,
                "before": pruned.accuracy_before, "accuracy": pruned.accuracy_after, "rounds": task.rounds, "epochs": task.epochs,
                "images": task.limit, "seconds": time.perf_counter() - start, "processor": time.process_time() - before,
            }  # fmt: skip
            with open(RUNS, "a") as file:
                file.write(json.dumps(run) + "\n")
            print(run, flush=True)
        training.compacted = compacted


def table() -> str:
    runs = list(done().values())
    lines = [
        "# Retraining at the size of what is left", "",
        "The iterative schedule with learning-rate rewinding on a part of the training images, one thread of a busy machine:",
        "processor seconds for the whole call, the median over seeds, cutting, probing and measuring included. *Small* trains the",
        "rows and columns that still hold weights, *whole* the full layers under their masks. Test accuracy: median (min to max).",
        "Made by `python benchmarks/train_small.py`.", "",
        "| network | ratio | weights | rounds x epochs, images | dense | small | whole | seconds small | seconds whole |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for task in TASKS:
        some = {small: [r for r in runs if (r["net"], r["ratio"], r["small"]) == (task.name, task.ratio, small)] for small in (True, False)}
        if not all(some.values()):
            continue
        first = some[True][0]
        accuracy = {small: [100 * r["accuracy"] for r in some[small]] for small in some}
        said = {s: f"{statistics.median(a):.2f} % ({min(a):.2f} to {max(a):.2f})" for s, a in accuracy.items()}
        seconds = {small: statistics.median(r["processor"] for r in some[small]) for small in some}
        lines.append(
            f"| {task.name} | {task.ratio}x | {first['kept']:,} | {task.rounds} x {task.epochs}, {task.limit:,} "
            f"| {100 * first['before']:.2f} % | {said[True]} | {said[False]} | {seconds[True]:.1f} | {seconds[False]:.1f} |"
        )
    counts = sorted({sum(1 for r in runs if (r["net"], r["ratio"], r["small"]) == (t.name, t.ratio, True)) for t in TASKS})
    lines += ["", f"Seeds a row: {', '.join(map(str, counts))}."]
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
