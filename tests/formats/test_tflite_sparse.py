"""Every form in which TFLite runs a sparse convolution gives what the graph gives, in both runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from cases_sparse import FORMS, SPARSE_CASES
from closeness import assert_close
from older_runtime import errors_in_the_older, older_python
from test_formats import inputs_of, outputs_of

from edgeprune.formats import LayerEncoding, load, read, write
from edgeprune.formats.tflite import writer
from edgeprune.graph import Graph
from edgeprune.sparse import Choice, Option

TOLERANCE = 1e-5


def write_as(form: str, graph: Graph, path: Path) -> list[LayerEncoding]:
    """Every layer in this form where it has it; a 1x1 convolution that needs no patches is plain csr."""

    def the_form(options: Sequence[Option], *, optimize: str) -> Choice:
        names = [option.encoding for option in options]
        wanted = "csr" if form == "csr patches" and "csr" in names else form
        return Choice(wanted if wanted in names else "dense", "the test wants it")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "choose", the_form)
        return write(graph, path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SPARSE_CASES)
def test_a_sparse_convolution_computes_the_same_in_every_form(name: str, form: str, tmp_path: Path) -> None:
    graph = SPARSE_CASES[name]
    encodings = write_as(form, graph, tmp_path / "m.tflite")
    assert {e.encoding for e in encodings} <= {form, "csr", "dense"}
    runner = load(tmp_path / "m.tflite")
    for batch in (1, 3):
        arrays = inputs_of(graph, batch, name)
        for found, expected in zip(runner.run(*arrays), outputs_of(graph, arrays), strict=True):
            assert_close(found, expected, TOLERANCE)


@pytest.mark.parametrize("form", ["csr patches", "csr bands"])
def test_the_forms_are_made_of_stock_operators_without_a_transpose(form: str, tmp_path: Path) -> None:
    write_as(form, SPARSE_CASES["residual network"], tmp_path / "m.tflite")
    kinds = set(read(tmp_path / "m.tflite").counts)
    assert "FULLY_CONNECTED" in kinds
    assert not kinds & {"CONV_2D", "DENSIFY", "TRANSPOSE"}


def test_the_older_runtime_computes_the_same_in_every_form(tmp_path: Path) -> None:
    python = older_python()
    cases = {}
    for name, graph in SPARSE_CASES.items():
        for form in FORMS[:-1]:
            write_as(form, graph, tmp_path / f"{len(cases)}.tflite")
            arrays = inputs_of(graph, 3, name)
            cases[f"{name} as {form}"] = (arrays, outputs_of(graph, arrays))
    errors = errors_in_the_older(python, tmp_path, cases)
    wrong = {name: error for name, error in errors.items() if not isinstance(error, float) or error > TOLERANCE}
    assert not wrong
