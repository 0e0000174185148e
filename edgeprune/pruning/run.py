"""One pruning run as a schedule sees it: cut, retrain, close the round; saved after every round."""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import EdgepruneError
from ..files import write_atomic
from .alive import all_alive, reserved, top
from .compacting import compacted
from .criteria import Context, Criterion, Refit
from .defaults import Plan
from .flow import Probe
from .masks import Masks
from .measuring import evaluate, recalibrate
from .places import Place, agreed, leads
from .progress import Progress, Round
from .recipe import Recipe, derived_seed
from .robust import Threat, robust_accuracy
from .training import Objective, Steering, snapshot, train

if TYPE_CHECKING:
    from ..data import Data, Split

STATE_FILE = "pruning-state.pt"
STATE_VERSION = 2


@dataclass
class Run:
    """Everything a schedule needs. `module` and `masks` change from round to round; `budget` is where the last one ends."""

    module: nn.Module
    probe: Probe
    masks: Masks
    budget: int
    plan: Plan
    criterion: Criterion
    data: Data | None
    retrain: str
    aap: bool
    place: Place
    seed: int
    progress: Progress
    first_kept: int  # weights before the first cut
    rewind_to: dict[str, Tensor]  # the state that weight rewinding goes back to
    refit: Refit | None = None  # what changes the kept weights after a cut
    teacher: nn.Module | None = None  # the dense network, where its answers count in training
    objective: Objective | None = None  # what trainings minimise, where it is not the plain loss
    reserve: Masks | None = None  # a path into every output, within the last budget: what no round may cut
    records: list[Round] = field(default_factory=list)
    accuracy_before: float | None = None
    robust_before: float | None = None
    state_path: Path | None = None
    fingerprint: dict[str, Any] = field(default_factory=dict)
    _started: float = 0.0
    _asked: tuple[int, dict[str, Tensor]] | None = None  # scores before anything was changed, and the budget they are for

    @property
    def threat(self) -> Threat | None:
        """What trainings are against, where they are against anything."""
        return getattr(self.objective, "threat", None)

    def scores(self, budget: int | None = None) -> dict[str, Tensor]:
        """The criterion's opinion of the network as it is now, for a cut to `budget` (by default the last one's)."""
        budget = budget or self.budget
        known, self._asked = self._asked, None
        return known[1] if known is not None and known[0] == budget else self.criterion(self.module, self.context(budget))

    def can_hold_the_budget(self) -> None:
        """Raises Unholdable where it cannot; the scores it takes are those of the first cut, if that has the same budget."""
        self._asked = (self.budget, self.reserve_paths() if self.aap else self.scores())

    def context(self, budget: int | None = None) -> Context:
        """What a criterion may look at."""
        return Context(
            self.masks,
            self.probe,
            budget or self.budget,
            self.data.train if self.data is not None else None,
            device=self.place.device,
            seed=derived_seed(self.seed, len(self.records), 0),
            objective=self.objective,
            aap=self.aap,
        )

    def select(
        self, scores: Mapping[str, Tensor], budget: int, eligible: Masks, reserve: bool | Mapping[str, Tensor] = True
    ) -> Masks:
        """Masks that keep the `budget` best eligible weights by `scores`, all of them alive unless the run does without."""
        if self.aap:
            return agreed(all_alive(self.probe, scores, budget, eligible=eligible, reserve=reserve))
        return agreed(top(self.probe, scores, budget, eligible=eligible))

    def cut(self, budget: int, rounds: int) -> None:
        """Begins a round: keeps `budget` of the weights that are not masked yet."""
        self.begin_round(budget, rounds)
        self.progress.phase(f"choosing {budget:,} weights")
        scores = self.reserve_paths(budget) if self.aap else self.scores(budget)
        self.masks = self.select(scores, budget, self.masks, self.reserve or True)
        if self.refit is not None:
            self.progress.phase("making up for what was cut")
            self.refit(self.module, self.context(budget))
        self.masks.apply(self.module)

    def begin_round(self, budget: int, rounds: int) -> None:
        """Says that a round begins that ends with `budget` weights."""
        self._started = time.perf_counter()
        self.progress.round_started(len(self.records) + 1, rounds, budget)

    def reserve_paths(self, budget: int | None = None) -> dict[str, Tensor]:
        """Chooses by present scores, which it returns, the paths that are still to be there after the last round.

        A round that looked at its own budget alone could leave weights that connect every output only together, so that a
        later one has no way to its budget.
        """
        scores = self.scores(budget)
        self.reserve = reserved(self.probe, scores, self.budget, self.masks, self.reserve)
        return scores

    def rewind_weights(self) -> None:
        """Every parameter and statistic as it was where weights rewind to, under the present masks."""
        self.module.load_state_dict(self.rewind_to)
        self.masks.apply(self.module)

    def recalibrate(self) -> None:
        """Batch norms measured anew on the cut network."""
        if self.data is not None and self.data.train is not None:
            self.progress.phase("measuring batch norms anew")
            with self._small(self.data.train):
                recalibrate(self.module, self.data.train, place=self.place, seed=self.seed)

    def _small(self, split: Split) -> AbstractContextManager[Masks]:
        """The network at the size of what is left, inside the block."""
        return compacted(self.module, self.masks, split.first(2)[0], self.probe)

    def train(self, recipe: Recipe, steering: Steering | None = None) -> float | None:
        """Retrains under the masks, or as `steering` has it; the last epoch's mean loss, None where nothing is to be done."""
        if self.data is None or self.data.train is None or self.retrain == "none" or recipe.epochs == 0:
            return None
        self._asked = None
        self.progress.phase("retraining")
        seed = derived_seed(self.seed, len(self.records))
        return train(
            self.module,
            self.data.train,
            recipe,
            masks=None if steering is not None else self.masks,
            probe=self.probe,
            steering=steering,
            teacher=self.teacher,
            objective=self.objective,
            place=self.place,
            seed=seed,
            progress=self.progress,
        )

    def robust_accuracy(self) -> float | None:
        """The test accuracy under the attack that training is against, of 20 steps; None where it is against none."""
        if self.threat is None or self.data is None:
            return None
        self.progress.phase("attacking")
        return robust_accuracy(self.module, self.data.test, self.threat, place=self.place)

    def close_round(self, loss: float | None, epochs: int) -> None:
        """Measures, records and saves what the round left."""
        accuracy = None
        if self.data is not None:
            self.progress.phase("measuring accuracy")
            with self._small(self.data.test):
                accuracy = evaluate(self.module, self.data.test, place=self.place)
        seconds = time.perf_counter() - self._started
        alive = self.probe.alive(self.masks).kept
        record = Round(len(self.records) + 1, self.masks.kept, alive, self.masks.total, accuracy, loss, epochs, seconds)
        self.records.append(record)
        self.save()
        self.progress.round_finished(record)

    def save(self) -> None:
        """Writes the state, whole or not at all, where the run has a work folder; one process writes for all."""
        if self.state_path is None or not leads():
            return
        state = {
            "version": STATE_VERSION,
            "fingerprint": self.fingerprint,
            "module": snapshot(self.module),
            "masks": dict(self.masks),
            "reserve": None if self.reserve is None else dict(self.reserve),
            "records": [record.to_dict() for record in self.records],
            "accuracy_before": self.accuracy_before,
            "robust_before": self.robust_before,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomic(self.state_path, buffer.getvalue())

    def restore(self) -> bool:
        """Takes up a saved state; False where there is none.

        Raises EdgepruneError where it is damaged, or was made with other arguments (the message says which).
        """
        if self.state_path is None or not self.state_path.exists():
            return False
        try:
            state = torch.load(self.state_path, weights_only=True)
            saved, version = state["fingerprint"], state["version"]
        except Exception as error:  # what torch says of a damaged file is long, and advises loading it unsafely
            raise EdgepruneError(
                f"{self.state_path} is not a readable state ({type(error).__name__}); delete it and start again"
            ) from error
        if version != STATE_VERSION:
            raise EdgepruneError(
                f"{self.state_path} is of version {version}, this is {STATE_VERSION}; start again without resuming"
            )
        differing = [key for key in self.fingerprint if saved.get(key) != self.fingerprint[key]]
        if differing:
            said = "; ".join(f"{key} was {saved.get(key)!r} and is now {self.fingerprint[key]!r}" for key in differing)
            raise EdgepruneError(
                f"cannot resume {self.state_path}: {said}; give the same values, or start again without resuming"
            )
        self.module.load_state_dict(state["module"])
        self.masks = Masks.of(state["masks"])
        self.reserve = None if state["reserve"] is None else Masks.of(state["reserve"])
        self.records = [Round(**record) for record in state["records"]]
        self.accuracy_before = state["accuracy_before"]
        self.robust_before = state["robust_before"]
        return True


def digest(tensors: Mapping[str, Tensor]) -> str:
    """A short fingerprint of names, shapes and every bit of the values."""
    total = hashlib.sha256()
    for name, value in tensors.items():
        total.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]


def budgets(start: int, end: int, rounds: int) -> list[int]:
    """How many weights each round keeps, the last exactly `end`. Cuts grow gentler: the first takes three times the last one's
    share of the way, counted in powers, because a network that is nearly empty loses most by a deep cut.

    >>> budgets(1000, 10, 2)
    [31, 10]
    """
    shares = [1.5 - i / (rounds - 1) for i in range(rounds)] if rounds > 1 else [1.0]
    gone, steps = 0.0, []
    for share in shares[:-1]:
        gone += share / sum(shares)
        steps.append(max(math.floor(start * (end / start) ** gone), end))
    return [*steps, end]
