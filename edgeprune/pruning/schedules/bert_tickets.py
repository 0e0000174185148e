"""Lottery tickets of a pre-trained network: cut, go back to the pre-trained weights, fine-tune, again (Chen et al. 2020).

The masks come from fine-tuned weights, what they keep is the pre-trained network: a part of it that learns the task as well as
the whole. The task's head is not cut and not rewound; embeddings, norms and biases are not cut, but rewound.
The paper cuts without all-alive pruning.
"""

from __future__ import annotations

from ..run import Run


def bert_tickets(run: Run) -> None:
    """Fine-tunes what is given, which is the first round, then cuts a tenth of all weights a round, down to the budget.

    With other rounds than that makes, every one cuts the same number of weights.
    """
    cuts = tenths(run.probe.total, run.first_kept, run.budget)
    if run.plan.rounds != len(cuts):
        cuts = even(run.first_kept, run.budget, run.plan.rounds)
    for number, kept in enumerate([run.first_kept, *cuts]):
        if number < len(run.records):
            continue
        if number:
            run.cut(kept, len(cuts) + 1)
        else:
            run.begin_round(kept, len(cuts) + 1)
        run.rewind_weights()
        loss = run.train(run.plan.recipe)
        run.close_round(loss, run.plan.recipe.epochs if loss is not None else 0)


def tenths(total: int, start: int, budget: int) -> list[int]:
    """How many of `total` weights each round keeps on the way from `start`: 90 %, 80 %, ..., the last exactly `budget`.

    >>> tenths(1000, 1000, 250)
    [900, 800, 700, 600, 500, 400, 300, 250]
    """
    marks = [total * (10 - i) // 10 for i in range(1, 10)]
    return [*(kept for kept in marks if budget < kept < start), *([budget] if budget < start else [])]


def even(start: int, budget: int, rounds: int) -> list[int]:
    """How many weights each of so many rounds keeps that all cut the same number.

    >>> even(1000, 250, 3)
    [750, 500, 250]
    """
    return [start - (start - budget) * (i + 1) // rounds for i in range(rounds)] if budget < start else []
