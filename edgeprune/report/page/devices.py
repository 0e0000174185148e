"""Measurements on a page: the devices side by side, and each one's ops by time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...profiling.documents import Record
from ...profiling.emulation import Emulation
from ...profiling.estimate import Estimate, OpEstimate
from ...profiling.result import Latency, OpTime, Profile
from ...profiling.tool_result import ToolProfile
from .. import words
from .charts import Bar, bars
from .markup import Html, element, joined, table
from .sections import heading

MOST_OPS = 16  # bars; what remains is one more


def title(record: Record) -> str:
    used = record.accelerator if isinstance(record, Profile) else None
    return f"{record.target}{f' {used.name}' if used else ''}: {Path(record.path).name}"


def titles(records: Sequence[Record]) -> list[str]:
    """A name for each; with the folder where several files would be called the same."""
    plain = [title(record) for record in records]
    longer = ["/".join(Path(record.path).parts[-2:]) for record in records]
    return [
        name if plain.count(name) == 1 else name.replace(Path(record.path).name, path)
        for name, record, path in zip(plain, records, longer, strict=True)
    ]


def badge(record: Record) -> Html:
    return element("span", record.provenance, class_=f"badge {record.provenance}")


def comparison(records: Sequence[Record], names: Sequence[str] | None = None) -> Html:
    """Latency of everything that has one, and all figures below."""
    shown = list(names or titles(records))
    timed = [(name, record) for name, record in zip(shown, records, strict=True) if not isinstance(record, Emulation)]
    about = "Each figure says whether it was measured, or estimated with its band; an emulator tells no time."
    parts = [heading("Devices", about)]
    if timed:
        parts.append(element("div", bars([_bar(name, record) for name, record in timed]), class_="card long"))
    parts.append(_figures(records, shown))
    notes = [
        f"{title(record)}: {each}" for record in records if isinstance(record, Profile | ToolProfile) for each in record.warnings
    ]
    if notes:
        parts.append(element("ul", *(element("li", each) for each in notes), class_="warnings"))
    return joined(*parts)


def _bar(name: str, record: Profile | Estimate | ToolProfile) -> Bar:
    if isinstance(record, Estimate):
        note = f"estimated, {words.milliseconds(record.low_ms)} to {words.milliseconds(record.high_ms)}"
        return Bar(name, record.ms, words.milliseconds(record.ms), "estimated", record.low_ms, record.high_ms, note)
    if isinstance(record, ToolProfile):
        figure = "mean" if record.latency_ms.p50 is None else "p50"
        ms, runs = record.latency_ms.middle, record.latency_ms.n
        return Bar(name, ms, words.milliseconds(ms), "measured", note=f"{record.tool}, {figure} of {runs:,} runs")
    t = record.latency_ms
    software = "software, " if record.accelerator and record.accelerator.software else ""
    return Bar(name, t.p50, words.milliseconds(t.p50), "measured", note=f"{software}{record.runtime}, p50 of {t.n:,} runs")


def _figures(records: Sequence[Record], shown: Sequence[str]) -> Html:
    head = ["device and file", "", "what ran it", "p50", "p90", "p99", "load", "first run", "peak memory", "file"]
    ms = words.milliseconds
    rows: list[list[str]] = []
    for name, record in zip(shown, records, strict=True):
        if isinstance(record, Profile):
            t, special = record.latency_ms, record.accelerator or record.browser
            on = words.runs_on(record) if special else f"{record.device.cpu}, {_threads(record.threads)}"
            times = [t.p50, t.p90, t.p99, record.load_ms, record.first_run_ms]
            sizes = [record.peak_memory_bytes, record.bytes]
            ran = f"{record.runtime} on {on}, {record.reached}, {record.date[:10]}"
            cells = [ran, *map(ms, times), *map(words.size, sizes)]
        elif isinstance(record, ToolProfile):
            said = record.latency_ms
            ran = f"{record.tool} on {record.device.cpu}, {_threads(record.threads)}, {record.reached}, {record.date[:10]}"
            mean = f"mean {ms(said.mean)}" if said.p50 is None else ms(said.p50)
            figures = [mean, *map(ms, (said.p90, said.p99, record.load_ms, record.first_run_ms))]
            cells = [ran, *figures, *map(words.size, (record.memory.peak_bytes, record.bytes))]
        elif isinstance(record, Estimate):
            cells = [f"nothing: a model of {record.engine}, {_threads(record.threads)}", ms(record.ms), *[words.NOTHING] * 6]
        else:
            same = "same class as here" if record.same_class else "ANOTHER class than here"
            number = record.instructions
            counted = f"{words.operations(number)} instructions a run" if number is not None else "instructions not counted"
            ran = f"{record.runtime} by {record.emulator}, {record.date[:10]}: {counted}, {same}"
            cells = [ran, *[words.NOTHING] * 6, words.size(record.program_bytes)]
        rows.append([name, badge(record), *cells])
    return table(head, rows, words=3)


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def ops(record: Profile | Estimate | ToolProfile) -> Html:
    """Where one artifact's time goes, op by op, beside multiply-adds and bytes moved."""
    every: Sequence[OpTime | OpEstimate] = record.ops
    total = sum(op.ms for op in every) or 1e-12

    def said(ms: float) -> str:
        return f"{words.milliseconds(ms)}, {100 * ms / total:.0f} %"

    longest = sorted(every, key=lambda op: -op.ms)[:MOST_OPS]
    rows = [Bar(op.name, op.ms, said(op.ms), record.provenance, note=op.kind) for op in longest]
    if len(every) > MOST_OPS:
        rest = total - sum(op.ms for op in longest)
        rows.append(Bar(f"{len(every) - MOST_OPS} more", rest, said(rest), "before"))
    head = ["op", "kind", "time", "multiply-adds", "bytes", "multiply-adds a second"]
    listed = [
        [op.name, op.kind, words.milliseconds(op.ms), words.operations(op.multiply_adds), words.operations(op.bytes),
         words.operations(round(1e3 * op.multiply_adds / op.ms)) if op.multiply_adds and op.ms else words.NOTHING]
        for op in every
    ]  # fmt: skip
    about = f"{title(record)}, {record.provenance}"
    if isinstance(record, Profile | ToolProfile):
        t = record.latency_ms
        run = words.milliseconds(t.p50 if isinstance(t, Latency) else t.middle)
        about += f" by {record.ops_by}; the sum is {words.milliseconds(total)}, a run without timing its parts takes {run}"
    folded = element("details", element("summary", f"All {len(every)} ops"), table(head, listed, words=2))
    return element("div", element("p", about, class_="muted"), bars(rows), folded, class_="card long alone")
