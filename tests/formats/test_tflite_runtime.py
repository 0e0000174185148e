"""The same .tflite files in tflite-runtime, the older of the two packages that run them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cases import CASES
from test_formats import inputs_of, outputs_of

from edgeprune.formats import write

PYTHON = "EDGEPRUNE_TFLITE_RUNTIME_PYTHON"


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float | str]:
    """Per case, the largest relative error at a batch of 3, or what went wrong."""
    python = os.environ.get(PYTHON)
    if not python:
        pytest.skip(f"needs another Python with tflite-runtime 2.14 and numpy 1; name it in {PYTHON}")
    folder = tmp_path_factory.mktemp("models")
    for number, (name, graph) in enumerate(CASES.items()):
        arrays = inputs_of(graph, 3, name)
        write(graph, folder / f"{number}.tflite")
        stored = {f"in{i}": a for i, a in enumerate(arrays)} | {f"out{i}": a for i, a in enumerate(outputs_of(graph, arrays))}
        np.savez(folder / f"{number}.npz", **stored)  # type: ignore[arg-type]
    (folder / "names.json").write_text(json.dumps(list(CASES)))
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(here.parents[1])}
    command = [python, str(here / "other_runtime.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2000:]}"
    found: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_older_runtime_computes_what_the_graph_computes(name: str, errors: dict[str, float | str]) -> None:
    error = errors[name]
    assert isinstance(error, float), error
    assert error <= 1e-5
