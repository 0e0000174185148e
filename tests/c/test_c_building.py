"""C models compiled for this machine and for others: what comes out, how large it is, what is said where nothing can."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import edgeprune
from edgeprune.cli import main
from edgeprune.errors import EdgepruneError
from edgeprune.formats import c, footprint
from edgeprune.formats.c import building
from edgeprune.graph import Graph, Node, Value
from edgeprune.inspection import inspect_artifact, inspect_graph
from edgeprune.ops import Activation, Conv, Flatten, Linear, MaxPool
from edgeprune.profiling.native import processor_of

SAMPLE = Path(__file__).parents[2] / "samples" / "mnist" / "lenet_300_100.pt"
PROCESSORS = {"aarch64": "aarch64", "armv7": "armv7", "riscv64": "riscv64", "x86-64": "x86_64", "cortex-m4": "armv7"}


def net() -> Graph:
    """Two convolutions, of which one channel leads nowhere and one weight reads nothing that varies."""
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, 2, 3, 3), (4, 6, 3, 3)))
    first[2], second[:, 4] = 0, 0
    head = rng.standard_normal((3, 4 * 3 * 3)).astype(np.float32) * (rng.random((3, 36)) < 0.3)
    padded = ((1, 1), (1, 1))
    nodes = (
        Node("first", Conv(first, None, (1, 1), padded), ("x",)),
        Node("relu", Activation("relu"), ("first",)),
        Node("pool", MaxPool((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), ("relu",)),
        Node("second", Conv(second, rng.standard_normal(4).astype(np.float32), (1, 1), padded), ("pool",)),
        Node("flat", Flatten(), ("second",)),
        Node("head", Linear(head.astype(np.float32)), ("flat",)),
    )
    return Graph({"x": Value((2, 6, 6))}, ("head",), nodes)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.c"
    c.write(net(), path)
    return path


def test_a_shared_library_for_this_machine_counts_its_code_and_constants(model: Path) -> None:
    built = c.build(model, model.with_name(c.file_name(model, c.HOST)))
    assert built.path.name == "model-host.so"
    assert footprint(model).bytes < built.bytes < built.path.stat().st_size
    size = subprocess.run(["size", "-A", str(built.path)], capture_output=True, text=True, check=True).stdout
    sections = {name: int(n) for name, n in re.findall(r"^(\.\S+) +(\d+)", size, re.MULTILINE)}
    assert built.bytes == sum(n for name, n in sections.items() if name.startswith((".text", ".rodata", ".data")))


@pytest.mark.parametrize("target", c.CROSS)
def test_a_model_is_built_for_another_processor(target: str, model: Path, tmp_path: Path) -> None:
    cross = c.CROSS[target]
    if not (cross.gcc and shutil.which(cross.gcc)) and importlib.util.find_spec("ziglang") is None:
        pytest.skip(f"needs {cross.gcc or 'the package ziglang'}")
    built = c.build(model, tmp_path / c.file_name(model, target), target)
    assert built.bytes > footprint(model).bytes
    if target == "wasm32":
        assert built.path.read_bytes().startswith(b"\0asm")
    else:
        assert processor_of(built.path) == PROCESSORS[target]


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
def test_a_real_network_at_1024x_takes_under_12_kb_on_a_cortex_m4(tmp_path: Path) -> None:
    loaded = edgeprune.load(SAMPLE)
    pruned = edgeprune.prune(loaded.module, 1024, example_inputs=loaded.example_inputs)
    written = c.write(edgeprune.shrink(edgeprune.capture(pruned.module, loaded.example_inputs)), tmp_path / "model.c")
    assert c.build(tmp_path / "model.c", tmp_path / "model.o", "cortex-m4").bytes < 12 * 1024
    # The image is read where the caller has it.
    assert written.arena.bytes < 4 * 28 * 28


def test_a_target_that_nobody_knows_is_refused_with_those_there_are(model: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgepruneError, match=r"'arm64'.*aarch64.*cortex-m4"):
        c.build(model, tmp_path / "out", "arm64")
    assert not (tmp_path / "out").exists()


def test_without_a_compiler_the_error_names_both_that_would_do(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EdgepruneError, match=r"apt-get install gcc-riscv64-linux-gnu.*edgeprune\[zig\]"):
        c.build(model, tmp_path / "out", "riscv64")


def test_constants_are_counted_by_their_bytes_not_their_text() -> None:
    text = (
        "static const float a[3] = {1.5f,2.0f,3.0f};\nstatic const uint8_t b[5] = {\n1,2,\n3,4,5\n};\n"
        "static const ep_conv c = {a, b, 7, {EP_NONE, 0.0f, 0.0f}};\n"
    )
    assert building.constant_bytes(text) == 12 + 5 + 4 * 6


def test_what_a_model_takes_is_its_constants_and_with_the_arena_its_memory(model: Path) -> None:
    takes, written = footprint(model), c.sources(net())
    assert takes.what == "constants"
    assert sum(e.bytes for e in written.encodings) < takes.bytes < model.stat().st_size / 4
    assert takes.memory == takes.bytes + written.arena.bytes


def test_dead_connections_are_counted_in_c_too(model: Path) -> None:
    graph, found = net(), inspect_artifact(model)
    expected = {layer.name: layer.dead for layer in inspect_graph(graph).layers}
    dead = [layer.dead for layer in found.layers]
    assert [expected["first"], expected["second"], expected["head"]] == dead
    assert sum(d or 0 for d in dead) > 0


def test_the_command_line_builds_and_the_report_says_of_what_the_size_is(tmp_path: Path) -> None:
    options = ["--target", "c", "--no-measure", "--build", "-o", str(tmp_path / "out"), "-q"]
    done = CliRunner().invoke(main, ["export", str(SAMPLE), *options])
    assert done.exit_code == 0, done.output
    (artifact,) = json.loads((tmp_path / "out" / "report.json").read_text())["artifacts"]
    assert artifact["bytes_of"] == "code and constants"
    assert 4 * 266_610 < artifact["bytes"] < 4 * 266_610 * 1.1
    assert footprint(tmp_path / "out" / "model.c").memory == artifact["peak_memory_bytes"]
    assert (tmp_path / "out" / "model-host.so").exists()


@pytest.mark.parametrize(("options", "words"), [(["--target", "onnx", "--build"], "--target"), (["--build", "z80"], "'z80'")])
def test_a_build_that_cannot_be_is_refused_before_anything_is_read(options: list[str], words: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["export", "nothing.pt", "--target", "c", *options, "-o", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert words in done.output
    assert not (tmp_path / "out").exists()
