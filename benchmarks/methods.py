"""Every pruning method at every ratio, with and without all-alive pruning: the same network, data and epochs for all.

    python benchmarks/methods.py                       # LeNet-300-100 on MNIST; goes on where it was stopped
    python benchmarks/methods.py --network lenet_5
    python benchmarks/methods.py --choose              # the learning rate, on a validation part of the training data
    python benchmarks/methods.py --table               # only writes the tables and plots from what was run

Writes methods.jsonl (one line a run), methods.md and methods_NETWORK.svg beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from methods_table import plot, tables
from torch import nn

import edgeprune
from edgeprune.data import Data, held_out
from edgeprune.models import build_model
from edgeprune.pruning import METHODS, Recipe, train
from edgeprune.pruning.schedules import DENSE_COPY

HERE = Path(__file__).parent
RUNS, TABLE = HERE / "methods.jsonl", HERE / "methods.md"
SAMPLE = HERE.parent / "samples" / "mnist"
RATIOS = (1024, 512, 128, 32, 8)
# Methods of the literature on untrained networks start from one here; all others from a trained one.
AT_INITIALISATION = ("synflow", "force", "iterative-snip", "snip", "grasp")
EPOCHS, LR = {"lenet_300_100": 5, "lenet_5": 2}, 1e-2  # an iterative method cuts once an epoch
DENSE = Recipe(10, 2e-3)


def network(name: str, data: Data, seed: int, trained: bool) -> nn.Module:
    """Initialised by the seed; the trained one is trained once a seed and kept in the working folder.

    The untrained one has Kaiming-normal weights and no biases, as in the papers: a bias lets a neuron without inputs look alive.
    """
    torch.manual_seed(seed)
    net = build_model(f"edgeprune.models:{name}")
    for layer in [] if trained else net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    if trained:
        kept = Path(f"out/methods-{name}-{seed}.pt")
        if kept.exists():
            net.load_state_dict(torch.load(kept, weights_only=True))
        else:
            assert data.train is not None
            train(net, data.train, DENSE, seed=seed)
            kept.parent.mkdir(exist_ok=True)
            torch.save(net.state_dict(), kept)
    return net


def jobs(name: str, seeds: int, methods: list[str], ratios: list[int]) -> Iterator[dict[str, Any]]:
    for seed in range(seeds):
        for ratio in ratios:
            for method in methods:
                for aap in (True, False):
                    yield {"network": name, "method": method, "ratio": ratio, "aap": aap, "seed": seed}


def measured(job: dict[str, Any], data: Data, lr: float = LR) -> dict[str, Any]:
    start = job["method"] in AT_INITIALISATION
    net = network(job["network"], data, job["seed"], trained=not start)
    began = time.perf_counter()
    epochs = EPOCHS[job["network"]]
    in_rounds = METHODS[job["method"]].schedule is None
    own_lr = METHODS[job["method"]].schedule in DENSE_COPY  # these train by SGD, which has learning rates of its own
    pruned = edgeprune.prune(
        net, job["ratio"], data=data, method=job["method"], aap=job["aap"], seed=job["seed"], lr=None if own_lr else lr,
        rounds=epochs if in_rounds else None, epochs=1 if in_rounds else epochs,
    )  # fmt: skip
    return {
        **job, "kept": pruned.kept, "alive": pruned.alive, "total": pruned.total, "accuracy": pruned.accuracy_after,
        "dense": None if start else pruned.accuracy_before, "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def done() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []


def run(wanted: Iterator[dict[str, Any]], data: Data, limit: float) -> None:
    started = time.monotonic()
    for job in wanted:
        if time.monotonic() - started > limit:
            return
        if any(all(each[key] == value for key, value in job.items()) for each in done()):
            continue
        found = measured(job, data)
        with open(RUNS, "a") as file:
            file.write(json.dumps(found) + "\n")
        print(found, flush=True)
    print("nothing left to run", flush=True)


def choose(name: str, data: Data) -> None:
    """Prints validation accuracy by learning rate; the test images are not looked at."""
    part = held_out(data, 10_000)
    for method in ("synflow", "magnitude"):
        for lr in (1.2e-3, 3.6e-3, 1e-2):
            job = {"network": name, "method": method, "ratio": 128, "aap": True}
            found = [measured({**job, "seed": seed}, part, lr)["accuracy"] for seed in (100, 101)]
            print(f"{name} {method} 128x lr {lr:g}: validation accuracy {100 * statistics.mean(found):.2f} %", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--network", default="lenet_300_100", choices=["lenet_300_100", "lenet_5"])
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--methods", default=",".join([*AT_INITIALISATION, *(m for m in METHODS if m not in AT_INITIALISATION)]))
    options.add_argument("--ratios", default=",".join(map(str, RATIOS)))
    options.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    options.add_argument("--choose", action="store_true", help="compare learning rates on a validation part")
    options.add_argument("--table", action="store_true", help="do not run anything")
    given = options.parse_args()
    torch.set_num_threads(1)
    if not given.table:
        mnist = edgeprune.load_data(f"mnist:{SAMPLE / 'data'}")
        if given.choose:
            choose(given.network, mnist)
        else:
            ratios = [int(ratio) for ratio in given.ratios.split(",")]
            run(jobs(given.network, given.seeds, given.methods.split(","), ratios), mnist, given.seconds)
    TABLE.write_text(tables(done(), EPOCHS, LR))
    for name in sorted({each["network"] for each in done()}):
        mine = [each for each in done() if each["network"] == name]
        if len({each["ratio"] for each in mine}) > 1:
            (HERE / f"methods_{name}.svg").write_text(plot(mine, name))
