"""Charts as SVG that stretches: everything across stands in percent, text keeps its size, and nothing needs a script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .markup import Html, element, joined

HEIGHT = 206  # pixels of the field of a line chart; page.css leaves room for its labels


@dataclass(frozen=True)
class Bar:
    """One bar. `style` is a class of page.css; `low` and `high` draw a whisker."""

    label: str
    value: float | None
    text: str
    style: str = "after"
    low: float | None = None
    high: float | None = None
    note: str = ""


def bars(rows: Sequence[Bar], largest: float | None = None) -> Html:
    """Horizontal bars on one scale that begins at zero; `largest` fills the width."""
    top = largest or max((max(row.value or 0, row.high or 0) for row in rows), default=0) or 1
    return element("div", *(_bar(row, top) for row in rows), class_="bars")


def _bar(row: Bar, top: float) -> Html:
    parts = [element("rect", class_="track", width="100%", height="100%", rx=3)]
    if row.value is not None:
        # However little is left, it is seen.
        parts += [element("rect", class_=row.style, width=w, height="100%", rx=2) for w in ("2", _percent(row.value / top))]
    if row.low is not None and row.high is not None:
        low, high = _percent(row.low / top), _percent(row.high / top)
        parts.append(element("line", class_="whisker", x1=low, x2=high, y1="50%", y2="50%"))
        parts += [element("line", class_="whisker", x1=x, x2=x, y1="20%", y2="80%") for x in (low, high)]
    chart = element("svg", *parts, role="img", aria_label=f"{row.label}: {row.text}")
    label = element("span", row.label, *([element("small", row.note)] if row.note else []), class_="label")
    return element("div", label, chart, element("span", row.text, class_="value"), class_="bar")


def share_bar(before: float, after: float, largest: float, title: str) -> Html:
    """Two counts on a logarithmic scale from 1 to `largest`: what there was behind what is left."""

    def across(count: float) -> str:
        return _percent(math.log10(count + 1) / math.log10(max(largest, 1) + 1))

    return element(
        "svg",
        element("title", title),
        element("rect", class_="before", width=across(before), height="100%", rx=2),
        element("rect", class_="after", width=across(after), height="100%", rx=2),
        class_="inline",
        role="img",
    )


@dataclass(frozen=True)
class Line:
    """Points (x, y) in drawing order, x above zero, y a fraction. Each has a line of text for who asks."""

    name: str
    points: tuple[tuple[float, float, str], ...]
    style: str


def fractions_over_ratio(lines: Sequence[Line], level: tuple[float, str] | None = None) -> Html:
    """Fractions over ratios, the ratios on a logarithmic scale. `level` is a horizontal line and its name."""
    xs = [x for line in lines for x, _, _ in line.points]
    ys = [y for line in lines for _, y, _ in line.points] + ([level[0]] if level else [])
    left, right = math.floor(math.log2(min(xs))), math.ceil(math.log2(max(xs)))
    right = max(right, left + 1)
    y_ticks = _fraction_ticks(min(ys), max(ys))
    bottom, top = y_ticks[0], y_ticks[-1]

    def across(x: float) -> str:
        return _percent((math.log2(x) - left) / (right - left))

    def up(y: float) -> float:
        return round(HEIGHT * (1 - (y - bottom) / (top - bottom)), 1)

    field: list[str] = []
    for tick in y_ticks:
        field.append(element("line", class_="grid", x1="0", x2="100%", y1=up(tick), y2=up(tick)))
        field.append(element("text", f"{100 * tick:g} %", x=-8, y=up(tick) + 4, text_anchor="end"))
    step = math.ceil((right - left) / 6)
    for power in range(left, right + 1, step):
        at = across(2.0**power)
        field.append(element("line", class_="grid", x1=at, x2=at, y1=0, y2=HEIGHT))
        field.append(element("text", f"{2.0**power:g}×", x=at, y=HEIGHT + 18, text_anchor="middle"))
    if level:
        field.append(element("line", class_="level", x1="0", x2="100%", y1=up(level[0]), y2=up(level[0])))
        field.append(element("text", level[1], x="100%", y=up(level[0]) + 14, text_anchor="end", class_="muted"))
    for line in lines:
        for (x1, y1, _), (x2, y2, _) in zip(line.points, line.points[1:], strict=False):
            field.append(element("line", class_=f"line {line.style}", x1=across(x1), y1=up(y1), x2=across(x2), y2=up(y2)))
        for x, y, text in line.points:
            dot = element("circle", element("title", text), class_=f"dot {line.style}", cx=across(x), cy=up(y), r=4.5)
            field.append(dot)
    names = [element("span", line.name, class_=f"key {line.style}") for line in lines] if len(lines) > 1 else []
    frame = element("div", element("svg", *field, height=HEIGHT, overflow="visible", role="img"), class_="plot")
    return joined(frame, *([element("p", *names, class_="keys")] if names else []))


def _fraction_ticks(low: float, high: float) -> list[float]:
    """A few round fractions from at most `low` to at least `high`."""
    for step in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25):
        first, last = math.floor(low / step), math.ceil(high / step)
        if last - first <= 6:
            break
    last = max(last, first + 1)
    return [round(i * step, 4) for i in range(first, last + 1)]


def _percent(share: float) -> str:
    return f"{100 * min(max(share, 0), 1):.2f}%"
