from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from edgeprune.errors import EdgepruneError
from edgeprune.profiling.records import from_plain, to_plain


@dataclass(frozen=True)
class Inner:
    count: int
    share: float | None = None


@dataclass(frozen=True)
class Outer:
    name: str
    parts: tuple[Inner, ...]
    by_name: dict[str, Inner] = field(default_factory=dict)
    ready: bool = False
    anything: Any = None


RECORD = Outer("a", (Inner(1, 0.5), Inner(2)), {"x": Inner(3)}, True, {"k": [1, None]})
PLAIN: dict[str, Any] = {
    "name": "a",
    "parts": [{"count": 1, "share": 0.5}, {"count": 2, "share": None}],
    "by_name": {"x": {"count": 3, "share": None}},
    "ready": True,
    "anything": {"k": [1, None]},
}


def test_a_record_becomes_plain_and_comes_back() -> None:
    assert to_plain(RECORD) == PLAIN
    assert from_plain(Outer, PLAIN, "it") == RECORD


def test_a_whole_number_will_do_for_a_float() -> None:
    assert from_plain(Inner, {"count": 1, "share": 1}, "it").share == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": [{"count": "two"}]}, "it.parts[0].count is 'two', not a whole number"),
        ({"parts": [{"count": True}]}, "it.parts[0].count is True, not a whole number"),
        ({"parts": [{"count": 1, "share": float("nan")}]}, "it.parts[0].share is nan, not a finite number"),
        ({"parts": {}}, "it.parts is {}, not a list"),
        ({"by_name": {"x": 3}}, "it.by_name.x is 3, not an object with fields"),
        ({"name": None}, "it.name is None, not a text"),
        ({"colour": 1}, "it has the unknown field 'colour'; it can hold: name, parts, by_name, ready, anything"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgepruneError) as caught:
        from_plain(Outer, PLAIN | change, "it")
    assert str(caught.value) == message


def test_a_missing_field_is_refused() -> None:
    with pytest.raises(EdgepruneError, match="it lacks the field 'name'"):
        from_plain(Outer, {"parts": []}, "it")


@pytest.mark.parametrize("value", [float("inf"), object(), {1, 2}])
def test_what_json_cannot_say_is_not_made_plain(value: Any) -> None:
    with pytest.raises(ValueError, match=r"anything\.deep\[0\]"):
        to_plain(Outer("a", (), anything={"deep": [value]}))
