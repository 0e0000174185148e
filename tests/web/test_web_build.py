"""What samples/web commits is what its build command makes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "samples" / "web"


def test_the_committed_network_is_what_the_build_command_makes(tmp_path: Path) -> None:
    pinned = re.findall(r"^ziglang==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[0]
    if importlib.util.find_spec("ziglang") is None or importlib.metadata.version("ziglang") != pinned:
        pytest.skip(f"needs the compiler that model.js was made with: pip install ziglang=={pinned}")
    spec = importlib.util.spec_from_file_location("web_build", WEB / "build.py")
    assert spec is not None
    assert spec.loader is not None
    command = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(command)
    command.build(WEB / "model.onnx", tmp_path)
    for name in ("model.js", "model.tflite"):
        assert (tmp_path / name).read_bytes() == (WEB / name).read_bytes(), f"{name} is stale: run python samples/web/build.py"
