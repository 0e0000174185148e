"""Lottery tickets of the small pre-trained BERT of samples/text: what a task learns on a part of it, and what another task does.

    python benchmarks/bert_tickets.py            # goes on where it was stopped; an hour and more of one core
    python benchmarks/bert_tickets.py --table    # only writes the table from what was run

For every seed: tickets of the source task (cut a tenth, rewind to the pre-trained weights, fine-tune, again), and the same number of
weights left at random, or the ticket's places with weights drawn anew. Then the source task's masks are fine-tuned on the target
task, whose own tickets are found as well. All alive, as everywhere. Writes bert_tickets.jsonl (one line a fine-tuning) and
bert_tickets.md beside this file.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.data import Data
from edgeprune.pruning import Masks, Progress, Round, evaluate, prune, train
from edgeprune.pruning.defaults import FINE_TUNING
from edgeprune.pruning.recipe import derived_seed
from edgeprune.pruning.run import STATE_FILE
from edgeprune.sources import Source

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "samples" / "text"
RUNS, TABLE = HERE / "bert_tickets.jsonl", HERE / "bert_tickets.md"
SOURCE, TARGET = "language", "kind"
SEEDS = range(3)
COMPARED = (50, 70, 90)  # per cent of zeros at which the ticket is compared with others
SETTINGS: dict[str, Any] = {"method": "bert-tickets", "epochs": 3, "lr": 3e-3, "batch_size": 64}

Key = tuple[int, str, str, int]  # seed, task, what, per cent of zeros


def opened(task: str, seed: int) -> tuple[nn.Module, Data]:
    """The pre-trained network with a new head (and pooler) for the task, drawn by the seed."""
    source = Source(SAMPLE / "pretrained", model="transformers:BertForSequenceClassification", data=f"text:{SAMPLE / task}").open()
    module, data = source.loaded.module, source.data
    assert data is not None
    torch.manual_seed(seed)
    for part in (module.bert.pooler, module.classifier):
        part.apply(module._init_weights)
    return module, data


def drawn_anew(module: nn.Module, seed: int) -> nn.Module:
    """The same network as before any training."""
    fresh = copy.deepcopy(module)
    torch.manual_seed(1000 + seed)
    fresh.apply(fresh._init_weights)
    return fresh


class Keeper(Progress):
    """Keeps the masks of every round, by the per cent of zeros."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.masks: dict[int, dict[str, Tensor]] = {}

    def round_finished(self, record: Round) -> None:
        zeros = round(100 * (1 - record.kept / record.total))
        self.masks[zeros] = torch.load(self.state, weights_only=True)["masks"]


def tickets(module: nn.Module, data: Data, seed: int, file: Path) -> dict[int, float]:
    """The accuracy by the per cent of zeros; the masks go into `file`."""
    with tempfile.TemporaryDirectory() as folder:
        keeper = Keeper(Path(folder) / STATE_FILE)
        pruned = prune(module, 10, data=data, seed=seed, work_dir=folder, progress=keeper, **SETTINGS)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(keeper.masks, file)
    return {round(100 * (1 - r.kept / r.total)): float(r.accuracy or 0) for r in pruned.rounds}


def fine_tuned(module: nn.Module, data: Data, seed: int, masks: Mapping[str, Tensor]) -> float:
    """The accuracy after fine-tuning under these masks; nothing more is cut."""
    if Masks.of(masks).kept == Masks.of(masks).total:
        whole = copy.deepcopy(module)
        recipe = replace(FINE_TUNING, epochs=SETTINGS["epochs"], lr=SETTINGS["lr"], batch_size=SETTINGS["batch_size"])
        train(whole, data.train, recipe, seed=derived_seed(seed, 0))
        return evaluate(whole, data.test)
    ratio = Masks.of(masks).total / (Masks.of(masks).kept + 0.5)
    pruned = prune(module, ratio, data=data, seed=seed, masks=masks, **SETTINGS)
    assert len(pruned.rounds) == 1
    return float(pruned.accuracy_after or 0)


def at_random(module: nn.Module, data: Data, seed: int, percent: int) -> Masks:
    """Masks that leave the rest of 100 per cent of the weights, by chance."""
    ratio = 100 / (100 - percent)
    return prune(module, ratio, data=data, criterion="random", rounds=1, seed=seed, **{**SETTINGS, "epochs": 0}).masks


def on_the_source(seed: int, work: Path) -> None:
    """The source task's tickets, and what they are compared with, as far as they are not there yet."""
    module, data = opened(SOURCE, seed)
    if not (work / f"{SOURCE}-{seed}.pt").exists() or not has((seed, SOURCE, "rounds", 90)):
        add_all(seed, SOURCE, tickets(module, data, seed, work / f"{SOURCE}-{seed}.pt"))
    kept = torch.load(work / f"{SOURCE}-{seed}.pt", weights_only=True)
    anew = drawn_anew(module, seed)
    for percent in COMPARED:
        if not has(key := (seed, SOURCE, "ticket", percent)):
            add(key, fine_tuned(module, data, seed, kept[percent]))
        if not has(key := (seed, SOURCE, "random", percent)):
            add(key, fine_tuned(module, data, seed, at_random(module, data, seed, percent)))
    for percent in (0, *COMPARED):
        if not has(key := (seed, SOURCE, "drawn anew", percent)):
            add(key, fine_tuned(anew, data, seed, kept[percent]))


def on_the_target(seed: int, work: Path) -> None:
    """The source task's masks on the target task."""
    module, data = opened(TARGET, seed)
    kept = torch.load(work / f"{SOURCE}-{seed}.pt", weights_only=True)
    for percent in (0, *COMPARED):
        if not has(key := (seed, TARGET, "transfer", percent)):
            add(key, fine_tuned(module, data, seed, kept[percent]))
    for percent in COMPARED:
        if not has(key := (seed, TARGET, "random", percent)):
            add(key, fine_tuned(module, data, seed, at_random(module, data, seed, percent)))


def targets_own(seed: int, work: Path) -> None:
    """The target task's own tickets."""
    module, data = opened(TARGET, seed)
    if not (work / f"{TARGET}-{seed}.pt").exists() or not has((seed, TARGET, "rounds", 90)):
        add_all(seed, TARGET, tickets(module, data, seed, work / f"{TARGET}-{seed}.pt"))
    kept = torch.load(work / f"{TARGET}-{seed}.pt", weights_only=True)
    for percent in COMPARED:
        if not has(key := (seed, TARGET, "ticket", percent)):
            add(key, fine_tuned(module, data, seed, kept[percent]))


def rows() -> Iterable[tuple[Key, float]]:
    for line in RUNS.read_text().splitlines() if RUNS.exists() else []:
        row = json.loads(line)
        yield (row["seed"], row["task"], row["what"], row["zeros"]), row["accuracy"]


def has(key: Key) -> bool:
    return any(found == key for found, _ in rows())


def add_all(seed: int, task: str, accuracies: Mapping[int, float]) -> None:
    for percent, accuracy in accuracies.items():
        if not has(key := (seed, task, "rounds", percent)):
            add(key, accuracy)


def add(key: Key, accuracy: float) -> None:
    seed, task, what, zeros = key
    row = {"seed": seed, "task": task, "what": what, "zeros": zeros, "accuracy": round(accuracy, 5)}
    with RUNS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(row, flush=True)
    TABLE.write_text(table())


def table() -> str:
    found: dict[tuple[str, str, int], list[float]] = {}
    for (_, task, what, zeros), accuracy in rows():
        found.setdefault((task, what, zeros), []).append(100 * accuracy)

    def cell(task: str, what: str, zeros: int) -> str:
        values = found.get((task, what, zeros))
        if not values:
            return ""
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.1f}{spread} ({len(values)})"

    lines = [HEADER]
    for task, columns in ((SOURCE, ("rounds", "ticket", "random", "drawn anew")), (TARGET, ("rounds", "ticket", "transfer", "random"))):
        lines += ["", f"## Task `{task}`", "", "| zeros | " + " | ".join(TITLES[c] for c in columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for zeros in range(0, 100, 10):
            cells = [cell(task, column, zeros) for column in columns]
            lines.append(f"| {zeros} % | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


TITLES = {
    "rounds": "in its rounds",
    "ticket": "its ticket, new head",
    "random": "as many at random, new head",
    "drawn anew": "the ticket's places, weights and head drawn anew",
    "transfer": f"the ticket of `{SOURCE}`, new head",
}
HEADER = f"""# Lottery tickets of a pre-trained BERT

    python benchmarks/bert_tickets.py

The BERT of [samples/text](../samples/text) (two layers of width 64, 102,400 weights that may be cut, pre-trained by filling in masked
tokens), fine-tuned for {SETTINGS["epochs"]} epochs a round with AdamW, batch {SETTINGS["batch_size"]}, learning rate {SETTINGS["lr"]:g} falling in a line, gradients clipped at 1.
Test accuracy in per cent: mean ± standard deviation over seeds (how many). A seed draws the head and the pooler, which the pre-training
does not have, and the order of the samples. In its rounds the head goes on from round to round, and so has learned longer at every
cut; with a new head all columns have had the same training, and may be compared. 0 % is the whole network. The test parts hold 961 and 896 texts: one fine-tuning is known to about 1.6 points.

Half of the weights gone, a ticket learns its task better than the whole network does in as many epochs, and at 70 % still does; as many
weights left at random are 12 to 15 points behind, and the ticket's places without the pre-trained weights further. On the other task
the ticket of `language` loses 0.3 points to the whole network at 50 % and 2.2 at 70 %, and is 8 points ahead of random places; the
task's own ticket is 4 to 5 points better still."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "edgeprune-bert-tickets", help="keeps masks")
    given = parser.parse_args()
    for step in [] if given.table else (on_the_source, on_the_target, targets_own):
        for seed in SEEDS:
            step(seed, given.work)
    TABLE.write_text(table())


if __name__ == "__main__":
    main()
