"""The project's two commands, on a machine with Python 3.11 or newer, a C compiler and the package registries.

    python3 dev.py demo    installs into .venv and compresses the shipped MNIST network 1024x
    python3 dev.py test    installs into .venv and runs lint, types and tests

`python3 dev.py nightly` runs the long proofs as well.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BIN = "Scripts" if os.name == "nt" else "bin"


def run(*command: object, **settings: object) -> None:
    print("+", " ".join(map(str, command)), flush=True)
    code = subprocess.run(list(map(str, command)), cwd=ROOT, check=False, **settings).returncode  # type: ignore[call-overload]
    if code:
        sys.exit(code)


def environment(name: str, *requirements: str) -> Path:
    """The Python of a virtual environment that holds `requirements`; made when it is missing or out of date."""
    folder = ROOT / name
    python = folder / BIN / "python"
    recipe = "".join(requirements) + (ROOT / "pyproject.toml").read_text() + (ROOT / "constraints.txt").read_text()
    stamp, digest = folder / ".installed", hashlib.sha256(recipe.encode()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == digest):
        venv.create(folder, with_pip=True)
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
        stamp.write_text(digest)
    return python


def main_environment() -> Path:
    return environment(".venv", "-c", "constraints.txt", "-e", ".[dev]")


def tflite_runtime() -> dict[str, str]:
    """Where the tests find tflite-runtime, which needs an older numpy and so an environment of its own."""
    if sys.version_info >= (3, 12) or not sys.platform.startswith("linux"):
        return {}  # no wheel exists; the tests that want it say so and skip
    return {"EDGEPRUNE_TFLITE_RUNTIME_PYTHON": str(environment(".venv-tflite", "tflite-runtime==2.14.0", "numpy<2"))}


def demo() -> None:
    python = main_environment()
    sample, started = "samples/mnist", time.monotonic()
    run(
        python, "-m", "edgeprune", "compress", f"{sample}/lenet_300_100.pt", "--ratio", "1024", "--target", "tflite,onnx",
        "-o", "out/mnist-1024x", *sys.argv[2:],
    )  # fmt: skip
    print(f"done in {time.monotonic() - started:.0f} s; the artifacts and report.json are in out/mnist-1024x")


def test(*options: str) -> None:
    python = main_environment()
    variables = {**os.environ, **tflite_runtime()}
    run(python, "-m", "ruff", "check", ".")
    run(python, "-m", "mypy")
    run(python, "-m", "pytest", "-n", "2", *options, *sys.argv[2:], env=variables)


def nightly() -> None:
    os.environ.setdefault("EDGEPRUNE_RANDOM_GRAPHS", "20000")
    test("--nightly")


COMMANDS = {"demo": demo, "test": test, "nightly": nightly}

if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  this file runs before anything checks the version
        sys.exit(f"edgeprune needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python3 dev.py {{{','.join(COMMANDS)}}} [options passed on]")
    COMMANDS[sys.argv[1]]()
