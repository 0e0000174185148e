"""The parts of the page of one run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence

from .. import words
from ..schema import Artifact, Report
from .charts import Bar, Line, bars, fractions_over_ratio, share_bar
from .markup import Html, element, joined, table


def heading(title: str, about: str = "") -> Html:
    return joined(element("h2", title), *([element("p", about, class_="muted")] if about else []))


def times_fewer(report: Report) -> str:
    return "exported as it is" if report.ratio.requested is None else f"{words.times(report.ratio.weights)} fewer weights"


def subtitle(report: Report) -> Html:
    """What came of it in one line."""
    w = report.weights
    alive = "all alive" if w.alive == w.kept else f"{w.alive:,} of them alive"
    files = ", ".join(artifact.path for artifact in report.artifacts)
    return element("p", f"{w.kept:,} of {w.total:,} weights kept, {alive}; {files}; {report.date[:10]}", class_="muted")


def tiles(report: Report) -> Html:
    """The four or so numbers that everybody asks for first."""
    found = [(words.times(report.ratio.weights), "fewer weights")]
    a = report.accuracy
    if a.after is not None:
        was = "" if a.before is None else f", was {words.share(a.before)}"
        found.append((words.share(a.after), f"accuracy{was}"))
    for artifact in report.artifacts:
        dense = report.dense_of(artifact.format)
        if dense is not None:
            found.append((words.gain(dense.bytes, artifact.bytes), f"smaller {artifact.format} file"))
        if artifact.speedup is not None:
            found.append((words.times(artifact.speedup.value), f"as fast in {artifact.format}"))
    tiles = [element("div", element("b", number), element("span", what), class_="tile") for number, what in found]
    return element("div", *tiles, class_="tiles")


def before_and_after(report: Report) -> Html:
    """A card for every figure: what it was, what it is, how many times less."""
    w, m, a = report.weights, report.multiply_adds, report.accuracy
    cards = [_card("Weights", (w.total, words.count(w.total)), (w.kept, words.count(w.kept)))]
    skipped = [Bar("zeros skipped", m.effective, words.operations(m.effective))]
    after = (m.after, words.operations(m.after))
    cards.append(_card("Multiply-adds", (m.before, words.operations(m.before)), after, more=skipped))
    if a.after is not None:
        change = None if a.before is None else f"{100 * (a.after - a.before):+.2f} points"
        before = (a.before, words.share(a.before))
        cards.append(_card("Accuracy", before, (a.after, words.share(a.after)), gain=change, largest=1.0))
    for artifact in report.artifacts:
        cards += _cards_of(report, artifact)
    note = "Bars begin at zero. Peak memory is that of a process that holds the runtime too." if _measured(report) else ""
    return joined(heading("Before and after", note), element("div", *cards, class_="cards"))


def _measured(report: Report) -> bool:
    return any(each.latency_ms for each in report.artifacts)


def _cards_of(report: Report, artifact: Artifact) -> list[Html]:
    dense, name = report.dense_of(artifact.format), artifact.format
    size = (dense.bytes if dense else None, words.size(dense.bytes if dense else None))
    cards = [_card(f"Size, {name}", size, (artifact.bytes, words.size(artifact.bytes)))]
    if artifact.latency_ms is not None:
        was = dense.latency_ms.p50 if dense and dense.latency_ms else None
        now = artifact.latency_ms.p50
        gain = None if artifact.speedup is None else words.times(artifact.speedup.value)
        cards.append(_card(f"Latency, {name}", (was, words.milliseconds(was)), (now, words.milliseconds(now)), gain=gain))
    if artifact.peak_memory_bytes is not None:
        was_peak, peak = dense.peak_memory_bytes if dense else None, artifact.peak_memory_bytes
        cards.append(_card(f"Peak memory, {name}", (was_peak, words.size(was_peak)), (peak, words.size(peak))))
    return cards


def _card(
    title: str,
    before: tuple[float | None, str],
    after: tuple[float, str],
    *,
    gain: str | None = None,
    more: Sequence[Bar] = (),
    largest: float | None = None,
) -> Html:
    rows = [Bar("before", *before, "before")] if before[0] is not None else []
    rows.append(Bar("after", *after))
    worse = before[0] is not None and (after[0] > before[0]) != (gain is not None and "points" in gain) and after[0] != before[0]
    said = gain or (words.gain(before[0], after[0]) if before[0] else "")
    head = element("h3", title, element("span", said, class_="gain worse" if worse else "gain"))
    return element("div", head, bars([*rows, *more], largest), class_="card")


def layers(report: Report, times: Mapping[str, tuple[str, Mapping[str, float]]]) -> Html:
    """Every layer: what is left of it, how it is stored, and how long it takes by each artifact whose times are known."""
    head = ["layer", "kind", "before", "after", "weights", "kept", "", "alive", "density", "stored as"]
    head += [f"time, {name}" for name in times]
    largest = max((layer.weights for layer in report.layers), default=1)
    rows: list[list[str]] = []
    for layer in report.layers:
        dead = layer.kept - layer.alive
        title = f"{layer.kept:,} of {layer.weights:,} weights kept"
        rows.append([
            layer.name, layer.kind, words.shape(layer.shape_before), words.shape(layer.shape_after),
            words.count(layer.weights), words.count(layer.kept), share_bar(layer.weights, layer.kept, largest, title),
            words.count(layer.alive) + (f" ({dead:,} dead)" if dead else ""), words.density(layer.density),
            stored_as(layer.encoding),
            *(words.milliseconds(known.get(layer.name)) for _, known in times.values()),
        ])  # fmt: skip
    whole = report.weights
    rows.append(["all", "", "", "", words.count(whole.total), words.count(whole.kept), "", words.count(whole.alive), "", "",
                 *(words.milliseconds(sum(known.values())) for _, known in times.values())])  # fmt: skip
    about = "The bars show weights before and kept, on a logarithmic scale. Density is that of the weight as it is stored."
    if times:
        about += " Times: " + "; ".join(f"{name} {how}" for name, (how, _) in times.items()) + "."
    return joined(heading("Layers", about), table(head, rows, words=2))


def stored_as(encoding: Mapping[str, str]) -> str:
    """One word where all formats agree."""
    if len(set(encoding.values())) == 1:
        return next(iter(encoding.values()))
    return ", ".join(f"{name} {how}" for name, how in encoding.items())


def rounds(report: Report) -> Html:
    """Accuracy over the ratio, round by round."""
    known = [r for r in report.rounds if r.accuracy is not None and r.kept]
    rows = [
        [str(r.number), words.times(r.total / max(r.kept, 1)), words.count(r.kept), words.count(r.alive), words.share(r.accuracy),
         words.NOTHING if r.loss is None else f"{r.loss:.3g}", words.count(r.epochs), words.seconds(r.seconds)]
        for r in report.rounds
    ]  # fmt: skip
    parts = [heading("Accuracy over ratio", "After each round of pruning and retraining, on the test samples.")]
    if known:
        points = tuple((r.total / r.kept, r.accuracy or 0.0, _round(r.number, r.total / r.kept, r.accuracy)) for r in known)
        before = report.accuracy.before
        level = None if before is None else (before, f"before: {words.share(before)}")
        parts.append(element("div", fractions_over_ratio([Line("", points, "s0")], level), class_="card"))
    head = ["round", "ratio", "kept", "alive", "accuracy", "loss", "epochs", "took"]
    return joined(*parts, table(head, rows))


def _round(number: int, ratio: float, accuracy: float | None) -> str:
    return f"round {number}: {words.share(accuracy)} at {words.times(ratio)}"


def proof(report: Report) -> Html:
    """What each file was checked against."""
    rows: list[list[str]] = []
    for artifact in report.artifacts:
        p = artifact.parity
        cells = [artifact.path, artifact.runtime or words.NOTHING, words.size(artifact.bytes), words.size(artifact.gzip_bytes)]
        if p is None:
            cells += ["not verified", words.NOTHING, words.NOTHING]
        else:
            cells += [f"{p.max_relative_error:.1g}", words.share(p.top1_agreement), words.count(p.samples)]
        rows.append(cells)
    head = ["file", "runtime", "size", "gzipped", "relative error", "same class", "samples"]
    about = "Each file ran in its real runtime, beside the pruned network, on the same inputs."
    return joined(heading("Proof", about), table(head, rows, words=2))


def made_by(report: Report) -> Html:
    """Commands, versions, settings."""
    run = {"seed": report.seed, "took": words.seconds(report.seconds) if report.seconds else None}
    cards = [_facts(title, facts) for title, facts in (("Run", run | report.settings), ("Measured on", report.device)) if facts]
    return joined(heading("How it was made"), *commands(report), element("div", *cards, class_="cards"))


def commands(report: Report) -> tuple[Html, ...]:
    """The command line, and the versions in one line."""
    called = report.command if report.command[:1] == ("edgeprune",) else ("edgeprune", *report.command)
    command = shlex.join(called) if report.command else "(called from Python)"
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return element("pre", command), element("p", f"{report.date}; {versions}", class_="muted")


def _facts(title: str, facts: Mapping[str, object]) -> Html:
    said = {
        name: value if isinstance(value, str) else f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
        for name, value in facts.items()
        if value is not None
    }
    pairs = [part for name, value in said.items() for part in (element("dt", name.replace("_", " ")), element("dd", value))]
    return element("div", element("h3", title), element("dl", *pairs), class_="card")


def warnings(found: Sequence[str]) -> Html:
    return element("ul", *(element("li", each) for each in found), class_="warnings") if found else Html("")
