"""Schedules that change masks while a network trains: what must stay the same, what must move, and where they end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from nets import LeNet300, made_up
from torch import Tensor, nn

from edgeprune.pruning import Context, Masks, Recipe, prunable, prune, train
from edgeprune.pruning import run as run_file
from edgeprune.pruning.criteria.quotas import erk_shares
from edgeprune.pruning.schedules import DENSE_COPY, SCHEDULES, WITHIN_TRAINING
from edgeprune.pruning.schedules.ac_dc import SPARSE
from edgeprune.pruning.schedules.gradual import cubic
from edgeprune.pruning.schedules.rewiring import Rewiring
from edgeprune.pruning.steering import Held, MaskedPoint, interval

DATA = made_up((16,), 512)
GIVEN: dict[str, Any] = {"data": DATA, "batch_size": 32, "lr": 0.01}


def net() -> nn.Module:
    torch.manual_seed(0)
    made = LeNet300(16, 32, 16)
    train(made, DATA.train, Recipe(3, 0.01, batch_size=32))
    return made


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Masks, dict[str, Tensor]]]:
    """(masks, the weights right after they were set) of every change, as it comes."""
    seen: list[tuple[Masks, dict[str, Tensor]]] = []
    hold = Held.hold

    def watched(self: Held, masks: Masks) -> None:
        hold(self, masks)
        seen.append((masks, {name: w.detach().clone() for name, w in prunable(self.module).items()}))

    monkeypatch.setattr(Held, "hold", watched)
    return seen


def counts(masks: Masks) -> list[int]:
    return [int(mask.sum()) for mask in masks.values()]


def test_the_cubic_curve_starts_and_ends_where_it_should() -> None:
    assert (cubic(1000, 100, 0.0), cubic(1000, 100, 1.0), cubic(1000, 100, 2.0)) == (1000, 100, 100)
    assert 1 - cubic(10**6, 10**5, 0.25) / 10**6 == pytest.approx(0.9 * 0.578, abs=1e-3)
    assert 1 - cubic(10**6, 10**5, 0.5) / 10**6 == pytest.approx(0.9 * 0.875, abs=1e-3)


@pytest.mark.parametrize(
    ("steps", "wanted", "every"), [(32_000, 100, 320), (2000, 16, 20), (1000, 100, 50), (10, 100, 1), (0, 16, 1)]
)
def test_masks_change_between_twenty_and_a_hundred_times(steps: int, wanted: int, every: int) -> None:
    assert interval(steps, wanted) == every


@pytest.mark.parametrize("method", ["rigl", "set"])
def test_the_layers_counts_stay_and_what_grows_starts_at_zero(method: str, held: list[Any]) -> None:
    prune(net(), 10, method=method, aap=False, epochs=8, **GIVEN)
    assert len(held) > 10
    first = counts(held[0][0])
    wanted = [share * w.numel() for share, w in zip(erk_shares(SHAPES, 118).values(), prunable(net()).values(), strict=True)]
    assert all(abs(a - b) <= 1 for a, b in zip(first, wanted, strict=True))
    assert all(counts(masks) == first for masks, _ in held)
    changed = 0
    for (before, _), (after, weights) in itertools.pairwise(held):
        for name, mask in after.items():
            grown = mask & ~before[name]
            changed += int(grown.sum())
            assert (weights[name][grown] == 0).all()
            assert (weights[name][~mask] == 0).all()
    assert changed > 0


SHAPES = {name: w.shape for name, w in prunable(LeNet300(16, 32, 16)).items()}


def test_rigl_drops_the_smallest_and_grows_where_the_gradient_is_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    rewired = Rewiring.rewired

    def watched(self: Rewiring, dropped: float, growth: dict[str, Tensor]) -> Masks:
        before, weights = self.run.masks, {name: weight.clone() for name, weight in self.weights().items()}
        after = rewired(self, dropped, growth)
        seen.append((dropped, before, weights, growth, after, self.counts))
        return after

    monkeypatch.setattr(Rewiring, "rewired", watched)
    prune(net(), 5, method="rigl", aap=False, epochs=6, **GIVEN)
    shares = [dropped for dropped, *_ in seen]
    assert 0.28 < shares[0] < 0.3
    assert all(a > b for a, b in itertools.pairwise(shares))
    assert shares[-1] < 0.01
    for dropped, before, weights, growth, after, count in seen:
        for name, mask in after.items():
            kept = round(count[name] * (1 - dropped))
            size = weights[name].abs().masked_fill(~before[name], -1).reshape(-1)
            stays = torch.zeros(mask.numel(), dtype=torch.bool)
            stays[size.sort(descending=True, stable=True).indices[:kept]] = True
            assert mask.reshape(-1)[stays].all()
            grown, not_grown = mask.reshape(-1) & ~stays, ~mask.reshape(-1) & ~stays
            g = growth[name].abs().reshape(-1)
            if grown.any() and not_grown.any():
                assert g[grown].min() >= g[not_grown].max()


def test_rigl_leaves_out_the_update_of_the_step_that_changes_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {}
    for method in ("rigl", "set"):
        taken: list[int] = []
        step = torch.optim.AdamW.step

        def watched(self: Any, *given: Any, taken: list[int] = taken, step: Callable[..., Any] = step) -> Any:
            taken.append(1)
            return step(self, *given)

        with monkeypatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", watched)
            prune(net(), 5, method=method, aap=False, epochs=5, **GIVEN)
        steps[method] = len(taken)
    assert steps["set"] - 24 == 5 * 8
    assert steps["rigl"] < steps["set"]


@pytest.mark.parametrize("method", [name for name, each in SCHEDULES.items() if each in DENSE_COPY])
@pytest.mark.parametrize("aap", [True, False])
def test_the_gradient_is_that_at_the_masked_point_and_moves_masked_weights_too(
    aap: bool, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    before, update = MaskedPoint.before, MaskedPoint.update

    def watched_before(self: MaskedPoint, step: int) -> None:
        dense = {name: w.detach().clone() for name, w in prunable(self.module).items()}
        before(self, step)
        seen.append([self.run.masks, dense, {n: p.detach().clone() for n, p in self.module.named_parameters()}])

    def watched_update(self: MaskedPoint, step: int) -> bool:
        going_on = update(self, step)
        gradients = {name: w.grad.clone() for name, w in prunable(self.module).items()}
        seen[-1] += [gradients, {name: w.detach().clone() for name, w in prunable(self.module).items()}]
        return going_on

    monkeypatch.setattr(MaskedPoint, "before", watched_before)
    monkeypatch.setattr(MaskedPoint, "update", watched_update)
    x, y = DATA.train.first(256)

    class Whole(type(DATA.train)):  # type: ignore[misc]
        """Always the same one batch, so that its gradient can be taken again."""

        def batches(self, *given: Any, **settings: Any) -> Any:
            yield x, y

    data = made_up((16,), 512)
    data.train.__class__ = Whole
    pruned = prune(net(), 10, method=method, aap=aap, epochs=20, data=data, batch_size=256, lr=0.1)
    assert len(seen) == 20
    for masks, dense, at, gradients, restored in seen:
        fresh = LeNet300(16, 32, 16)
        fresh.load_state_dict(at)
        assert all((at[name][~mask] == 0).all() for name, mask in masks.items())
        F.cross_entropy(fresh(x), y).backward()
        for name, weight in prunable(fresh).items():
            # To rounding: the threads of this backward pass may be others.
            assert torch.allclose(weight.grad, gradients[name], rtol=1e-5, atol=1e-8)
            assert torch.equal(restored[name], dense[name])
    last_masks, _, _, last_gradients, _ = seen[-1]
    assert any((last_gradients[name][~mask] != 0).any() for name, mask in last_masks.items())
    assert all((prunable(pruned.module)[name][~mask] == 0).all() for name, mask in pruned.masks.items())
    came_back = [(after[n] & ~first[n]).any() for (first, *_), (after, *_) in itertools.pairwise(seen) for n in after]
    assert any(came_back)
    (_, _, _, first_gradients, dense), (_, moved, *_) = seen[:2]
    for name, weight in moved.items():
        assert torch.equal(weight != dense[name], first_gradients[name] != 0)


@pytest.mark.parametrize("method", ["dpf", "dnw", "rigl"])
def test_a_dense_copy_is_trained_by_an_optimizer_that_leaves_small_gradients_small(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AdamW moves a weight as far for a small gradient as for a large one, and masked weights, noise, displaced the others."""
    used: list[str] = []
    monkeypatch.setattr(run_file, "train", lambda module, split, recipe, **given: used.append(recipe.optimizer) or 0.0)
    prune(net(), 10, method=method, data=DATA)
    assert used == ["adamw" if method == "rigl" else "sgd"]


def smallest(module: nn.Module, context: Context) -> dict[str, Tensor]:
    return {name: -weight.abs() for name, weight in context.weights(module).items()}


def test_gradual_pruning_never_takes_back_and_follows_its_curve(held: list[Any]) -> None:
    # The smallest weights first: a weight that is gone, and so zero, would be the best of all.
    prune(net(), 20, method="gradual", criterion=smallest, epochs=10, **GIVEN)
    kept = [masks.kept for masks, _ in held]
    assert kept[0] == 1184
    assert kept[-1] == 59
    assert len(kept) > 10
    assert all(a > b for a, b in itertools.pairwise(kept))
    for (before, _), (after, _) in itertools.pairwise(held):
        assert not any((mask & ~before[name]).any() for name, mask in after.items())


def test_dense_and_sparse_phases_take_turns_and_the_last_is_sparse(held: list[Any]) -> None:
    prune(net(), 8, method="ac-dc", epochs=25, **GIVEN)
    kept = [masks.kept for masks, _ in held]
    assert kept == [1184] + [148, 1184] * (len(SPARSE) - 1) + [148]
    chosen = [masks for masks, _ in held[1::2]]
    assert any(not a.same(b) for a, b in itertools.pairwise(chosen))


def test_discovered_wirings_are_the_largest_weights_of_every_layer_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Masks] = []
    before = MaskedPoint.before

    def watched(self: MaskedPoint, step: int) -> None:
        dense = self.dense()
        before(self, step)
        for name, mask in self.run.masks.items():
            assert dense[name][mask].min() >= dense[name][~mask].max()
        seen.append(self.run.masks)

    monkeypatch.setattr(MaskedPoint, "before", watched)
    prune(net(), 8, method="dnw", criterion="layerwise", aap=False, epochs=4, **GIVEN)
    assert len(seen) == 4 * 8
    assert all(counts(masks) == [64, 64, 20] for masks in seen)
    assert any(not a.same(b) for a, b in itertools.pairwise(seen))


@pytest.mark.parametrize("schedule", [name for name, each in SCHEDULES.items() if each in WITHIN_TRAINING])
@pytest.mark.parametrize("epochs", [0, 1])
def test_a_training_too_short_for_its_schedule_still_ends_at_the_budget(schedule: str, epochs: int) -> None:
    data = made_up((16,), 64)
    pruned = prune(net(), 8, data=data, schedule=schedule, epochs=epochs, batch_size=32)
    assert (pruned.kept, pruned.alive) == (148, 148)
    assert all((prunable(pruned.module)[name][~mask] == 0).all() for name, mask in pruned.masks.items())


@pytest.mark.parametrize("schedule", [name for name, each in SCHEDULES.items() if each in WITHIN_TRAINING])
def test_what_an_earlier_run_masked_stays_masked(schedule: str) -> None:
    made = net()
    first = prune(made, 3, data=DATA, schedule="one-shot", epochs=1)
    second = prune(first.module, 12, schedule=schedule, epochs=3, masks=first.masks, **GIVEN)
    assert (second.kept, second.alive) == (98, 98)
    assert not any((mask & ~first.masks[name]).any() for name, mask in second.masks.items())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_masked_weights_are_zero_after_ten_steps_with_momentum_and_decay(optimizer: str) -> None:
    made = net()
    masks = prune(made, 8, data=DATA, schedule="one-shot", epochs=0).masks
    recipe = Recipe(10, 0.05, batch_size=256, optimizer=optimizer, weight_decay=5e-4)
    train(made, DATA.train, recipe, masks=masks)
    assert all((prunable(made)[name][~mask] == 0).all() for name, mask in masks.items())
