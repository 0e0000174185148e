"""Runs every model of a folder in tflite-runtime and prints {name: largest relative error}; for a Python that has that package.

python other_runtime.py FOLDER [DELEGATE]: FOLDER has <number>.tflite, <number>.npz (in0..., out0...) and names.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from edgeprune.formats import load


def error_of(path: Path, delegate: str | None) -> float:
    with np.load(path.with_suffix(".npz")) as stored:
        inputs = [stored[key] for key in sorted(k for k in stored if k.startswith("in"))]
        expected = [stored[key] for key in sorted(k for k in stored if k.startswith("out"))]
    found = load(path, runtime="tflite-runtime", delegate=delegate).run(*inputs)
    errors = [np.abs(a - b).max() / max(np.abs(b).max(), 1e-30) for a, b in zip(found, expected, strict=True)]
    return float(np.nan_to_num(max(errors), nan=np.inf))


def main(folder: Path, delegate: str | None = None) -> None:
    names = json.loads((folder / "names.json").read_text())
    errors: dict[str, float | str] = {}
    for number, name in enumerate(names):
        try:
            errors[name] = error_of(folder / f"{number}.tflite", delegate)
        except Exception as error:  # one bad model must not hide the others
            errors[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(errors))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
