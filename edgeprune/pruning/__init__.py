"""Choosing which weights stay, and retraining those: everything about pruning that needs torch.

pruned = prune(module, 1024, data=data)      # pruned.module, pruned.masks, pruned.accuracy_after
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..errors import EdgepruneError
from .alive import Unholdable, all_alive, reserved, top
from .arguments import check_settings, checked_ratio, example, named, rewind_point, starting_masks
from .criteria import CRITERIA, REFITS, Context, Criterion
from .defaults import Plan, choose
from .flow import Probe
from .heads import head_state, head_weights
from .masks import Masks, prunable
from .measuring import evaluate, recalibrate
from .methods import METHODS, Method, find_method
from .places import Place, leads
from .progress import Progress, Round
from .recipe import Recipe
from .robust import ROBUST, Threat, robust_accuracy
from .run import STATE_FILE, Run, digest
from .schedules import DENSE_COPY, PRETRAINED, SCHEDULES, STRUCTURED, TRAINING_FIRST, WITHIN_TRAINING, Schedule, tenths
from .training import set_mode, train

if TYPE_CHECKING:
    from ..data import Data

__all__ = [
    "CRITERIA",
    "METHODS",
    "RETRAIN",
    "ROBUST",
    "SCHEDULES",
    "Context",
    "Criterion",
    "Masks",
    "Method",
    "Place",
    "Plan",
    "Probe",
    "Progress",
    "Pruned",
    "Recipe",
    "Round",
    "Schedule",
    "Threat",
    "Unholdable",
    "all_alive",
    "choose",
    "evaluate",
    "find_method",
    "head_weights",
    "leads",
    "prunable",
    "prune",
    "recalibrate",
    "reserved",
    "robust_accuracy",
    "top",
    "train",
]

RETRAIN = ("lr-rewind", "fine-tune", "weight-rewind", "none")


@dataclass(frozen=True)
class Pruned:
    """A pruned network in eval mode on the CPU, its masks, and how it came about.

    `kept`, `alive` and `total` count prunable weights that the network's output depends on; accuracies are fractions of the
    test part, None without data; robust ones count what holds against PGD of 20 steps, None without robust training.
    """

    module: nn.Module
    masks: Masks
    kept: int
    alive: int
    total: int
    accuracy_before: float | None
    accuracy_after: float | None
    rounds: list[Round]
    robust_before: float | None = None
    robust_after: float | None = None


def prune(
    module: nn.Module,
    ratio: float,
    *,
    data: Data | None = None,
    example_inputs: Sequence[Any] | None = None,
    method: str | Method | Criterion | Schedule = "magnitude",
    criterion: str | Criterion | None = None,
    schedule: str | Schedule | None = None,
    retrain: str = "lr-rewind",
    rewind_to: Mapping[str, Tensor] | None = None,
    distill: float = 0.0,
    robust: str | None = None,
    epsilon: float = 8 / 255,
    aap: bool = True,
    rounds: int | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    precision: str = "32-true",
    work_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    masks: Mapping[str, Tensor] | None = None,
) -> Pruned:
    """Keeps floor(N / ratio) of the N prunable weights of a copy of `module`, all of them alive, and retrains it.

    `method` is a name of METHODS, or a function of yours: a criterion `(module, context)` or a schedule `(run)`; `criterion`
    and `schedule` replace that part of it. With `data` the default is iterative with learning-rate rewinding; without (or
    without its `train` part) it is one cut, and nothing is retrained. `retrain="weight-rewind"` goes back to `rewind_to`, the
    state dict of an initialisation or an early step, or else to the given weights. `distill` is the share of the loss that
    comes from imitating the given network. `robust`, "trades" or "adversarial", trains for images of which an attacker moves
    every pixel by `epsilon`, in parts of the pixels' range. `example_inputs` are one call's arguments (batch of one), taken from
    the data where not given. `rounds`, `epochs` (per round), `lr` and `batch_size` are chosen from the ratio and the
    data where not given. `masks` are those of an already pruned network: what they mask stays masked, and the ratio still
    counts from N. `aap=False` keeps the best weights whether they are alive or not.

    With `work_dir` the state after each round is saved there, and `resume=True` goes on from it: the result is that of an
    uninterrupted run. Raises EdgepruneError for a ratio the network cannot hold (naming one that works), for unknown names,
    and for a state that was made with other arguments.
    """
    ratio = checked_ratio(ratio)
    check_settings(rounds, epochs, lr, batch_size)
    if resume and work_dir is None:
        raise EdgepruneError("resume needs work_dir, the folder in which the interrupted run kept its state")
    if retrain not in RETRAIN:
        raise EdgepruneError(f"retrain={retrain!r} is not known; choose one of {', '.join(RETRAIN)}")
    n_train = len(data.train) if data is not None and data.train is not None else 0
    chosen = find_method(method)
    criterion_name, score = named("criterion", criterion or chosen.criterion, CRITERIA)
    schedule_name, follow = named(
        "schedule",
        schedule or chosen.schedule or ("iterative" if n_train and retrain != "none" else "one-shot"),
        SCHEDULES,
    )
    if follow is SCHEDULES["iterative"] and not n_train:
        raise EdgepruneError(
            "the iterative schedule retrains between its cuts and needs training data; give data, or schedule='one-shot'"
        )
    if follow in PRETRAINED and retrain == "lr-rewind":
        retrain = "weight-rewind"  # what its rounds do
    own_retraining = "weight-rewind" if follow in PRETRAINED else "lr-rewind"
    if follow in WITHIN_TRAINING | TRAINING_FIRST | PRETRAINED and (not n_train or retrain != own_retraining):
        missing = (
            "training data; give data, or schedule='one-shot'" if not n_train else f"that; retrain={retrain!r} is for others"
        )
        how = "cuts within one training of" if follow in WITHIN_TRAINING else "trains, and only then cuts,"
        raise EdgepruneError(f"the {schedule_name} schedule {how} the given weights and needs {missing}")
    objective = None
    if robust is not None:
        if robust not in ROBUST:
            raise EdgepruneError(f"robust={robust!r} is not known; choose one of {', '.join(ROBUST)}")
        if data is None or not n_train:
            raise EdgepruneError(f"robust={robust!r} is a way of training and needs training data; give data")
        objective = ROBUST[robust](Threat.of(epsilon, data.preprocessing))
    if chosen.needs != "nothing" and criterion is None and not n_train:
        raise EdgepruneError(f"method {chosen.name} looks at training samples; give data, or choose magnitude, lamp or synflow")
    module = copy.deepcopy(module).cpu()
    set_mode(module, training=False)
    probe = Probe(module, example(example_inputs, data))
    head = head_weights(module, probe) if follow in PRETRAINED else frozenset()
    own_head = head_state(module, head) if head else frozenset()
    probe = probe.without(head)
    current = starting_masks(probe, {name: mask for name, mask in (masks or {}).items() if name not in head})
    current.apply(module)
    budget = math.floor(probe.total / ratio)
    first_kept = probe.alive(current).kept if aap else current.kept  # given masks may hold dead weights, which no round can keep
    if follow in PRETRAINED:
        rounds = rounds or len(tenths(probe.total, first_kept, budget))
    plan = choose(
        ratio * first_kept / probe.total,
        probe.total,
        n_train,
        batch_norm=any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules()),
        one_shot=follow in STRUCTURED | {SCHEDULES["one-shot"]},
        within_training=follow in WITHIN_TRAINING,
        pretrained=follow in PRETRAINED,
        dense_copy=follow in DENSE_COPY,
        rounds=rounds,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        retrain=retrain,
        distill=distill,
    )
    place = Place(device, precision)
    run = Run(
        module=module,
        probe=probe,
        masks=current,
        budget=budget,
        plan=plan,
        criterion=score,
        data=data,
        retrain=retrain,
        aap=aap,
        place=place,
        seed=seed,
        progress=(progress if leads() else None) or Progress(),
        first_kept=first_kept,
        rewind_to={name: value for name, value in rewind_point(module, rewind_to).items() if name not in own_head},
        refit=REFITS.get(score),
        teacher=copy.deepcopy(module).requires_grad_(False) if distill else None,
        objective=objective,
        state_path=Path(work_dir) / STATE_FILE if work_dir is not None else None,
    )
    run.fingerprint = {
        "ratio": ratio,
        "criterion": criterion_name,
        "schedule": schedule_name,
        "retrain": retrain,
        "aap": aap,
        "robust": None if robust is None else f"{robust} at {epsilon:g}",
        "rounds": plan.rounds,
        **asdict(plan.recipe),
        **{f"{name} of the last round": value for name, value in asdict(plan.last).items()},
        "seed": seed,
        "device": device,
        "precision": precision,
        "weights": digest(module.state_dict()),
        "rewind_to": digest(run.rewind_to),
        "masks": digest(current),
        "data": None if data is None else f"{data.spec} ({n_train} + {len(data.test)} samples)",
    }
    resumed = resume and run.restore()
    if not resumed:
        run.progress.phase("checking that the network can hold the budget")
        if budget > current.kept:
            raise Unholdable(
                f"ratio {ratio:g} keeps {budget:,} of {probe.total:,} weights, but the checkpoint has only "
                f"{current.kept:,} left; a ratio above {probe.total / max(1, current.kept):.4g} prunes further"
            )
        if budget < 1:
            raise Unholdable(f"ratio {ratio:g} keeps nothing; the network has {probe.total:,} weights that can be pruned")
        if follow not in STRUCTURED:  # those say themselves what they can hold
            run.can_hold_the_budget()
        if data is not None:
            run.accuracy_before = evaluate(module, data.test, place=place)
            run.robust_before = run.robust_accuracy()
    follow(run)
    set_mode(module, training=False)
    last = run.records[-1]
    return Pruned(
        module=module,
        masks=run.masks,
        kept=last.kept,
        alive=last.alive,
        total=last.total,
        accuracy_before=run.accuracy_before,
        accuracy_after=last.accuracy,
        rounds=run.records,
        robust_before=run.robust_before,
        robust_after=run.robust_accuracy(),
    )
