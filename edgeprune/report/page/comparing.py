"""Several runs, or several measurements, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import words
from ..schema import Artifact, Report
from . import devices
from .charts import Bar, Line, bars, fractions_over_ratio
from .gathering import Gathered
from .markup import Html, element, table
from .sections import commands, heading

Reading = tuple[float | None, str]
STYLES = ("s0", "s1", "s2", "s3")


def parts(found: Sequence[Gathered]) -> list[Html]:
    """Figure by figure, a bar for each; then all of them as a table, the rounds, and the devices."""
    names = _names(found)
    made = [element("h1", f"{len(found)} side by side"), element("p", ", ".join(names), class_="muted")]
    runs = [(name, each.report) for name, each in zip(names, found, strict=True) if each.report is not None]
    if runs:
        figures = _figures([report for _, report in runs])
        cards = [_card(title, runs, read) for title, read in figures]
        made += [heading("Figures"), element("div", *(card for card in cards if card), class_="cards")]
        rows: list[list[str]] = [[title, *(read(report)[1] for _, report in runs)] for title, read in figures]
        made += [heading("All figures"), table(["", *(name for name, _ in runs)], rows, words=1)]
        made += _accuracies(runs)
    records = [
        (f"{name}: {shown}", each)
        for name, run in zip(names, found, strict=True)
        for shown, each in zip(devices.titles(run.records), run.records, strict=True)
    ]
    if records:
        made.append(devices.comparison([record for _, record in records], [name for name, _ in records]))
    if runs:
        made.append(heading("How they were made"))
        made += [element("div", element("h3", name), *commands(report), class_="card alone") for name, report in runs]
    return made


def _names(found: Sequence[Gathered]) -> list[str]:
    """Each its own, whatever the folders are called."""
    given = [each.name for each in found]
    return [f"{name} ({given[: i + 1].count(name)})" if given.count(name) > 1 else name for i, name in enumerate(given)]


def _figures(reports: Sequence[Report]) -> list[tuple[str, Callable[[Report], Reading]]]:
    found: list[tuple[str, Callable[[Report], Reading]]] = [
        ("Ratio of weights", lambda r: (r.ratio.weights, words.times(r.ratio.weights))),
        ("Weights kept", lambda r: (r.weights.kept, words.count(r.weights.kept))),
        ("Accuracy", lambda r: (r.accuracy.after, words.share(r.accuracy.after))),
        ("Multiply-adds, zeros skipped", lambda r: (r.multiply_adds.effective, words.operations(r.multiply_adds.effective))),
    ]
    for name in dict.fromkeys(artifact.format for report in reports for artifact in report.artifacts):
        found += [
            (f"Size, {name}", _of(name, lambda a: (a.bytes, words.size(a.bytes)))),
            (f"Latency, {name}", _of(name, _latency)),
            (f"Peak memory, {name}", _of(name, lambda a: (a.peak_memory_bytes, words.size(a.peak_memory_bytes)))),
        ]
    return [(title, read) for title, read in found if any(read(report)[0] is not None for report in reports)]


def _of(format: str, read: Callable[[Artifact], Reading]) -> Callable[[Report], Reading]:
    """The reading of the artifact in that format."""

    def found(report: Report) -> Reading:
        artifact = next((each for each in report.artifacts if each.format == format), None)
        return (None, words.NOTHING) if artifact is None else read(artifact)

    return found


def _latency(artifact: Artifact) -> Reading:
    p50 = artifact.latency_ms.p50 if artifact.latency_ms else None
    return p50, words.milliseconds(p50)


def _card(title: str, runs: Sequence[tuple[str, Report]], read: Callable[[Report], Reading]) -> Html:
    rows = [Bar(name, *read(report), STYLES[i % len(STYLES)]) for i, (name, report) in enumerate(runs)]
    largest = 1.0 if title == "Accuracy" else None
    return element("div", element("h3", title), bars(rows, largest), class_="card long")


def _accuracies(runs: Sequence[tuple[str, Report]]) -> list[Html]:
    lines = []
    for i, (name, report) in enumerate(runs):
        known = [(r.total / r.kept, r.accuracy) for r in report.rounds if r.accuracy is not None and r.kept]
        if not known and report.accuracy.after is not None:
            known = [(report.ratio.weights, report.accuracy.after)]
        points = tuple((x, y, f"{name}: {words.share(y)} at {words.times(x)}") for x, y in known)
        if points:
            lines.append(Line(name, points, STYLES[i % len(STYLES)]))
    if not lines:
        return []
    return [heading("Accuracy over ratio"), element("div", fractions_over_ratio(lines), class_="card")]
