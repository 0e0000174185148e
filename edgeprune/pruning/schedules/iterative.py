"""Iterative pruning: cut a share of the weights, retrain, again, until the budget is reached (Renda, Frankle and Carbin 2020).

What retraining starts from is the run's `retrain`:
  lr-rewind      the weights go on, the learning rate's curve is replayed from its start (the default);
  fine-tune      the weights go on at a small constant learning rate;
  weight-rewind  the weights that survive go back to what they were in the given checkpoint, and the curve is replayed.
The paper rewinds weights to an early training step; a finished checkpoint does not hold one, so its own weights stand in.
"""

from __future__ import annotations

from ..run import Run, budgets


def iterative(run: Run) -> None:
    """Every round cuts by the same factor among the weights not masked before; the last one ends at exactly the budget."""
    steps = budgets(run.first_kept, run.budget, run.plan.rounds)
    for number in range(len(run.records), len(steps)):
        run.cut(steps[number], len(steps))
        if run.retrain == "weight-rewind":
            run.rewind_weights()
        recipe = run.plan.last if number == len(steps) - 1 else run.plan.recipe
        loss = run.train(recipe)
        run.close_round(loss, recipe.epochs if loss is not None else 0)
