from __future__ import annotations

import dataclasses
import io
import re

import pytest
from example_report import EXAMPLE

from edgeprune.report import Weights, show, to_text, words


def row(text: str, start: str) -> list[str]:
    """The cells of the first row that begins so."""
    (line, *_) = (line for line in text.splitlines() if line.strip().startswith(start))
    return re.split(r"\s{2,}", line.strip())


def test_a_layer_is_a_row() -> None:
    assert row(to_text(EXAMPLE), "fc1") == [
        "fc1", "Linear", "235,200", "170", "170", "300×784", "24×784", "0.9 %", "tflite csr, onnx coo",
    ]  # fmt: skip


def test_one_word_will_do_where_the_formats_agree() -> None:
    assert row(to_text(EXAMPLE), "fc2")[-1] == "csr"


def test_a_removed_layer_is_gone() -> None:
    assert "gone" in to_text(EXAMPLE)


@pytest.mark.parametrize(
    ("start", "cells"),
    [
        ("weights  ", ["weights", "266,200", "259", "1,028×"]),
        ("parameters", ["parameters", "266,610", "430", "620×"]),
        ("multiply-adds", ["multiply-adds", "266 k", "5,021", "53.0×"]),
        ("accuracy", ["accuracy", "98.12 %", "80.34 %", "-17.78 points"]),
        ("tflite file", ["tflite file", "1.07 MB", "3,412 B", "313×"]),
        ("latency", ["latency (p50)", "19 µs", "2.1 µs", "9.10×"]),
        ("peak memory", ["peak memory", "41.0 MB", "38.0 MB", "1.08×"]),
        ("onnx file", ["onnx file", "–", "6,204 B", "–"]),
    ],
)
def test_totals_stand_before_and_after(start: str, cells: list[str]) -> None:
    assert row(to_text(EXAMPLE), start) == cells


def test_files_say_their_bytes_and_their_proof() -> None:
    text = to_text(EXAMPLE)
    assert "model.tflite: 3,412 bytes; verified on 10,000 samples: relative error 2e-07, top-1 100.00 %" in text
    assert "model.onnx: 6,204 bytes; not verified" in text
    assert "warning: onnx was not measured" in text


def test_what_is_no_terminal_gets_no_escape_codes_and_a_fixed_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    show(EXAMPLE, stream)
    assert "\x1b" not in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 100
    assert stream.getvalue() == to_text(EXAMPLE)


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    show(dataclasses.replace(EXAMPLE, weights=Weights(10, 5, 4)), stream)
    assert "\x1b[" in stream.getvalue()


def test_names_that_look_like_markup_are_shown_as_they_are() -> None:
    layer = dataclasses.replace(EXAMPLE.layers[0], name="blocks[bold]")
    text = to_text(dataclasses.replace(EXAMPLE, layers=(layer,), warnings=("see [red] there",)))
    assert "blocks[bold]" in text
    assert "see [red] there" in text


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (words.size(9_999), "9,999 B"),
        (words.size(10_000), "10.0 kB"),
        (words.size(999_600), "1.00 MB"),
        (words.size(None), "–"),
        (words.operations(40_800_000), "40.8 M"),
        (words.seconds(4.06), "4.1 s"),
        (words.seconds(59.96), "1 min 00 s"),
        (words.seconds(3599.7), "1 h 00 min"),
        (words.times(9.999), "10.0×"),
        (words.times(4.0), "4.00×"),
        (words.milliseconds(0.00351), "3.51 µs"),
        (words.milliseconds(2500.0), "2.5 s"),
        (words.gain(10, 0), "–"),
        (words.share(1.0), "100.00 %"),
        (words.density(0.0031), "0.31 %"),
    ],
)
def test_numbers_read_well(made: str, wanted: str) -> None:
    assert made == wanted
