"""The removal rules: what each op answers the passes, when an answer makes a difference, and the rules taken away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgeprune import passes
from edgeprune.graph import Graph, Op
from edgeprune.ops import COMING, COMPOSED, OPS

Rule = tuple[type[Op], str]


def _some(masks: Sequence[np.ndarray]) -> bool:
    return any(not m.all() for m in masks)


# By the name of the question: whether an answer, of an op to what it was asked, is more than the safe default says.
TELLS: dict[str, Callable[[Op, tuple[Any, ...], Any], bool]] = {
    "constant": lambda op, asked, found: not np.isnan(found).all(),
    "needs": lambda op, asked, found: bool(asked[1].any()) and _some(found),
    "ties": lambda op, asked, found: _some(found) and any(m.any() for m in found),
    "keep": lambda op, asked, found: _some(asked[1:]),
    "silence": lambda op, asked, found: found is not op,
    "absorb": lambda op, asked, found: found is not op,
    "without_constants": lambda op, asked, found: found is not None,
    "without_shift": lambda op, asked, found: found is not None,
    "identity": lambda op, asked, found: bool(found),
    "as_affine": lambda op, asked, found: found is not None,
    "then_affine": lambda op, asked, found: found is not None,
}


def rules() -> list[Rule]:
    """Every op with every question that it answers itself, or by a base of its own."""
    return [(op, name) for op in (*OPS, *COMING, *COMPOSED) for name in TELLS if getattr(op, name) is not getattr(Op, name)]


def named(rule: Rule) -> str:
    return f"{rule[0].__name__}.{rule[1]}"


@contextmanager
def counted(fired: Counter[Rule]) -> Iterator[None]:
    """Counts, while it lasts, the answers that make a difference."""
    own = {rule: rule[0].__dict__.get(rule[1]) for rule in rules()}

    def counting(rule: Rule) -> Callable[..., Any]:
        answer = getattr(*rule)

        def ask(self: Op, *asked: Any) -> Any:
            found = answer(self, *asked)
            # A question that an op passes on to its base is that op's.
            if type(self) is rule[0] and TELLS[rule[1]](self, asked, found):
                fired[rule] += 1
            return found

        return ask

    wrapped = {rule: counting(rule) for rule in own}
    for (op, name), ask in wrapped.items():
        setattr(op, name, ask)
    try:
        yield
    finally:
        _restored(own)


def _restored(own: dict[Rule, Any]) -> None:
    for (op, name), answer in own.items():
        if answer is None:
            delattr(op, name)
        else:
            setattr(op, name, answer)


@contextmanager
def replaced(rule: Rule, answer: Callable[..., Any]) -> Iterator[None]:
    """Another answer to one question of one op, while it lasts."""
    own = {rule: rule[0].__dict__.get(rule[1])}
    setattr(*rule, answer)
    try:
        yield
    finally:
        _restored(own)


# What no check can see, and why that is no gap.
EXEMPT = {
    "Embedding.needs deleted": "what it reads is an input, and inputs keep all their places",
    "Embedding.needs less": "what it reads is an input, and inputs keep all their places",
    "Embedding.ties loose": "what it reads is an input, and inputs keep all their places",
    "Constant.needs deleted": "what it reads is an input, and inputs keep all their places",
    "Embedding.silence deleted": "columns that stay for their shape become zero, which is not smaller",
    "LayerNorm.silence deleted": "channels that stay for their shape become zero, which is not smaller",
    "GroupNorm.silence deleted": "channels that stay for their shape become zero, which is not smaller",
    "Linear.ties loose": "that is its answer: rows and columns are nobody's but their own",
    "Constant.ties loose": "that is its answer: it does not depend on what it reads",
    "Constant.needs less": "there is none to say less of: it does not depend on what it reads",
    "WindowAttention.without_constants deleted": "its answer is the default: the map it reads is no mask",
    "FromWindows.without_constants deleted": "its answer is the default",
    "FromWindows.absorb deleted": "its answer is the default",
    "Add.without_shift deleted": "no random graph hands a shift on through a sum to the end; tests/passes/push_shifts.txt does",
    "Select.without_shift deleted": "no random graph hands a shift on through one to the end; tests/test_rules.py does",
    "Pad.needs deleted": "few random graphs pad what is then read in part; tests/test_rules.py does",
    "Scatter.ties loose": "the channels it adds are needed, and so live already",
    "Scatter.identity deleted": "what holds a number is never nothing",
    "Scatter.without_shift deleted": "its answer is that of Select, which is seen there",
    "untie left out": "`shrink` calls it for `optimize` alone, which tests/test_untie.py checks",
}

PASSES = ("fold_affine", "merge_borders", *(step.__name__ for step in passes.UNTIL_STABLE), "untie")


@contextmanager
def passes_replaced(name: str, wrap: Callable[[Callable[[Graph], Graph]], Callable[[Graph], Graph]]) -> Iterator[None]:
    """One pass wrapped wherever `shrink` finds it, while it lasts."""
    own, steps = getattr(passes, name), passes.UNTIL_STABLE
    other = wrap(own)
    setattr(passes, name, other)
    passes.UNTIL_STABLE = tuple(other if step is own else step for step in steps)
    try:
        yield
    finally:
        setattr(passes, name, own)
        passes.UNTIL_STABLE = steps
