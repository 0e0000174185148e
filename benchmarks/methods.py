"""Every pruning method at every ratio, with and without all-alive pruning: the same network, data and epochs for all.

    python benchmarks/methods.py                       # LeNet-300-100 on MNIST; goes on where it was stopped
    python benchmarks/methods.py --network lenet_5
    python benchmarks/methods.py --choose              # the learning rates, on a validation part of the training data
    python benchmarks/methods.py --table               # only writes the tables and plots from what was run

Writes methods.jsonl (one line a run), methods.md and methods_NETWORK.svg beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from methods_plot import plot
from methods_table import several_ratios, tables
from torch import nn

import edgeprune
from edgeprune.data import Data, held_out
from edgeprune.models import build_model
from edgeprune.pruning import METHODS, SCHEDULES, Recipe, train
from edgeprune.pruning.schedules import DENSE_COPY

HERE = Path(__file__).parent
RUNS, TABLE = HERE / "methods.jsonl", HERE / "methods.md"
SAMPLE = HERE.parent / "samples" / "mnist"
RATIOS = (1024, 512, 128, 32, 8)
# Methods of the literature on untrained networks start from one here; all others from a trained one.
AT_INITIALISATION = ("synflow", "force", "iterative-snip", "snip", "grasp")
UNSTRUCTURED = (*AT_INITIALISATION, *(m.name for m in METHODS.values() if not m.structured and m.name not in AT_INITIALISATION))
# By when a method cuts: those that start alike and train alike have one learning rate, the best of --choose.
# Those that train a dense copy do so by SGD, which has rates of its own.
INIT, ROUNDS, ONCE, WITHIN, COPY = "at initialisation", "in rounds", "once", "within one training", "of a dense copy"


@dataclass(frozen=True)
class Setting:
    """What every method gets on a network: evenly spaced training and test images, and epochs of them in all (one a round)."""

    images: int
    tests: int
    epochs: int
    batch_size: int
    lr: dict[str, float]


SETTINGS = {
    "lenet_300_100": Setting(20_000, 10_000, 6, 128, {INIT: 3e-2, ROUNDS: 1e-2, ONCE: 3e-2, WITHIN: 1e-2, COPY: 3e-2}),
    "lenet_5": Setting(10_000, 2_500, 2, 32, {INIT: 3e-2, ROUNDS: 1e-2, ONCE: 3e-2, WITHIN: 1e-2, COPY: 3e-2}),
}
DENSE = Recipe(10, 2e-3)


def kind(method: str) -> str:
    if method in AT_INITIALISATION:
        return INIT
    schedule = METHODS[method].schedule
    if schedule is None:
        return ROUNDS
    return ONCE if schedule is SCHEDULES["one-shot"] else COPY if schedule in DENSE_COPY else WITHIN


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
        assert data.train is not None
        kept = Path(f"out/methods-{name}-{len(data.train)}-{seed}.pt")
        if kept.exists():
            net.load_state_dict(torch.load(kept, weights_only=True))
        else:
            train(net, data.train, DENSE, seed=seed)
            kept.parent.mkdir(exist_ok=True)
            torch.save(net.state_dict(), kept)
    return net


def jobs(name: str, seeds: int, methods: list[str], ratios: list[int], arms: list[bool]) -> Iterator[dict[str, Any]]:
    for ratio in ratios:
        for seed in range(seeds):
            for method in methods:
                for aap in arms:
                    yield {"network": name, "method": method, "ratio": ratio, "aap": aap, "seed": seed, **recipe(name, method)}


def recipe(name: str, method: str) -> dict[str, Any]:
    """What a row was trained with: another recipe makes it another row."""
    setting = SETTINGS[name]
    return {
        "images": setting.images, "tests": setting.tests, "epochs": setting.epochs, "batch": setting.batch_size,
        "lr": setting.lr[kind(method)],
    }  # fmt: skip


def mnist(setting: Setting) -> Data:
    train, test = (edgeprune.load_data(f"mnist:{SAMPLE / 'data'}", limit=limit) for limit in (setting.images, setting.tests))
    return replace(train, test=test.test)


def measured(job: dict[str, Any], data: Data) -> dict[str, Any]:
    start = job["method"] in AT_INITIALISATION
    net = network(job["network"], data, job["seed"], trained=not start)
    began = time.process_time()
    in_rounds = kind(job["method"]) == ROUNDS
    pruned = edgeprune.prune(
        net, job["ratio"], data=data, method=job["method"], aap=job["aap"], seed=job["seed"], lr=job["lr"],
        batch_size=job["batch"], rounds=job["epochs"] if in_rounds else None, epochs=1 if in_rounds else job["epochs"],
    )  # fmt: skip
    return {
        **job, "kept": pruned.kept, "alive": pruned.alive, "total": pruned.total, "accuracy": pruned.accuracy_after,
        "dense": None if start else pruned.accuracy_before, "seconds": round(time.process_time() - began, 1),
    }  # fmt: skip


def done() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []


def current() -> list[dict[str, Any]]:
    """The runs whose recipe is that of the settings above."""
    return [each for each in done() if each.items() >= recipe(each["network"], each["method"]).items()]


def written() -> str:
    """The tables of those runs."""
    return tables(current(), {name: asdict(setting) for name, setting in SETTINGS.items()}, sorted(RATIOS), UNSTRUCTURED, kind)


def run(wanted: Iterator[dict[str, Any]], data: Data, limit: float) -> None:
    started = time.monotonic()
    for job in wanted:
        if time.monotonic() - started > limit:
            return
        if any(each.items() >= job.items() for each in done()):
            continue
        found = measured(job, data)
        with open(RUNS, "a") as file:
            file.write(json.dumps(found) + "\n")
        print(found, flush=True)
    print("nothing left to run", flush=True)


def choose(name: str, data: Data, methods: list[str], rates: list[float]) -> None:
    """Prints validation accuracy by learning rate; the test images are not looked at."""
    assert data.train is not None
    part = held_out(data, len(data.train) // 5)
    for method in methods:
        for lr in rates:
            job = {"network": name, "method": method, "ratio": 128, "aap": True, **recipe(name, method), "lr": lr}
            found = [measured({**job, "seed": seed}, part)["accuracy"] for seed in (100, 101)]
            print(f"{name} {method} 128x lr {lr:g}: validation accuracy {100 * statistics.mean(found):.2f} %", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--network", default="lenet_300_100", choices=list(SETTINGS))
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--methods", default=",".join(UNSTRUCTURED))
    options.add_argument("--ratios", default=",".join(map(str, RATIOS)))
    options.add_argument("--arms", default="no,yes", help="without all-alive pruning, with it")
    options.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    options.add_argument("--choose", action="store_true", help="compare learning rates on a validation part")
    options.add_argument("--rates", default="0.0036,0.01,0.03", help="the learning rates to compare")
    options.add_argument("--table", action="store_true", help="do not run anything")
    given = options.parse_args()
    torch.set_num_threads(1)
    if not given.table:
        data = mnist(SETTINGS[given.network])
        if given.choose:
            choose(given.network, data, given.methods.split(","), [float(rate) for rate in given.rates.split(",")])
        else:
            ratios, arms = [int(ratio) for ratio in given.ratios.split(",")], [arm == "yes" for arm in given.arms.split(",")]
            run(jobs(given.network, given.seeds, given.methods.split(","), ratios, arms), data, given.seconds)
    TABLE.write_text(written())
    for name in SETTINGS:
        if several_ratios(mine := [each for each in current() if each["network"] == name]):
            (HERE / f"methods_{name}.svg").write_text(plot(mine, name, kind))
