"""The HTML page: one file, no script, nothing fetched.

gathering.py   what it is made of
sections.py    the parts of one run
devices.py     measurements
comparing.py   several runs side by side
charts.py      SVG that stretches
markup.py      HTML as nested calls
page.css       its looks, for phones and for the dark
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...files import write_atomic
from ...profiling.emulation import Emulation
from . import comparing, devices, sections
from .gathering import Gathered, gather
from .layer_times import layer_times
from .markup import Html, element, joined

STYLE = Path(__file__).with_name("page.css")
# Nothing is fetched, whatever a name in a report says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

__all__ = ["Gathered", "comparison_page", "gather", "page", "write_page"]


def write_page(sources: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], *, compare: bool = False) -> None:
    """Writes one self-contained HTML page of folders, report.json files and profiles; several, or `compare`, side by side.

    Raises EdgepruneError for a source that holds neither, before anything is written.
    """
    found = [gather(source) for source in sources]
    text = comparison_page(found) if compare or len(found) > 1 else page(found[0])
    write_atomic(out, text.encode())


def page(found: Gathered) -> str:
    """The page of one run, or of measurements alone."""
    report, records = found.report, found.records
    parts: list[Html] = []
    if report is None:
        parts.append(element("h1", f"Profile of {found.name}"))
    else:
        parts.append(element("h1", f"{found.name}: {sections.times_fewer(report)}"))
        parts += [sections.subtitle(report), sections.tiles(report), sections.warnings(report.warnings)]
        parts += [sections.before_and_after(report), sections.layers(report, layer_times(report, records))]
        if report.rounds:
            parts.append(sections.rounds(report))
    if records:
        parts.append(devices.comparison(records))
    timed = [record for record in records if not isinstance(record, Emulation) and record.ops]
    if timed:
        parts.append(sections.heading("Time, op by op", "Beside what each op computes and moves."))
        parts += [devices.ops(record) for record in timed]
    if report is not None:
        parts += [sections.proof(report), sections.made_by(report)]
    return document(found.name, parts)


def comparison_page(found: Sequence[Gathered]) -> str:
    """Several runs side by side."""
    return document("comparison", comparing.parts(found))


def document(title: str, parts: Sequence[Html]) -> str:
    head = joined(
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", f"edgeprune: {title}"),
        element("style", Html(STYLE.read_text(encoding="utf-8"))),
    )
    body = element("body", element("main", *parts))
    return "<!doctype html>\n" + element("html", element("head", head), body, lang="en") + "\n"
