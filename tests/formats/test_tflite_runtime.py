"""The same .tflite files in tflite-runtime, the older of the two packages that run them."""

from __future__ import annotations

import pytest
from cases import CASES
from older_runtime import errors_in_the_older, older_python
from test_formats import inputs_of, outputs_of

from edgeprune.formats import write


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float | str]:
    """Per case, the largest relative error at a batch of 3, or what went wrong."""
    python, folder = older_python(), tmp_path_factory.mktemp("models")
    cases = {}
    for number, (name, graph) in enumerate(CASES.items()):
        write(graph, folder / f"{number}.tflite")
        arrays = inputs_of(graph, 3, name)
        cases[name] = (arrays, outputs_of(graph, arrays))
    return errors_in_the_older(python, folder, cases)


@pytest.mark.parametrize("name", CASES)
def test_the_older_runtime_computes_what_the_graph_computes(name: str, errors: dict[str, float | str]) -> None:
    error = errors[name]
    assert isinstance(error, float), error
    assert error <= 1e-5
