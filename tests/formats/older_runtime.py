"""Files run in tflite-runtime, the older of the two packages, by another Python that has it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

PYTHON = "EDGEPRUNE_TFLITE_RUNTIME_PYTHON"


def older_python() -> str:
    """The interpreter; skips the test where there is none."""
    python = os.environ.get(PYTHON)
    if not python:
        pytest.skip(f"needs another Python with tflite-runtime 2.14 and numpy 1; name it in {PYTHON}")
    return python


def errors_in_the_older(
    python: str,
    folder: Path,
    cases: Mapping[str, tuple[Sequence[np.ndarray], Sequence[np.ndarray]]],
    delegate: Path | None = None,
) -> dict[str, float | str]:
    """Per case (inputs, expected outputs), whose file is `folder`/<number>.tflite: the relative error, or what went wrong."""
    for number, (inputs, outputs) in enumerate(cases.values()):
        stored = {f"in{i}": a for i, a in enumerate(inputs)} | {f"out{i}": a for i, a in enumerate(outputs)}
        np.savez(folder / f"{number}.npz", **stored)  # type: ignore[arg-type]
    (folder / "names.json").write_text(json.dumps(list(cases)))
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(here.parents[1])}
    command = [python, str(here / "other_runtime.py"), str(folder), *([] if delegate is None else [str(delegate)])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2000:]}"
    found: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return found
