"""Random graphs, compiled with every compiler at hand and for other processors, against the graph itself."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close
from programs import SANITIZED, run_in_c
from random_graphs import Layers, build, inputs_for, outputs_of

from edgeprune.formats.c import convolutions
from edgeprune.graph import Graph, Value
from edgeprune.ops import Conv

TOLERANCE = 1e-5
GRAPHS = 500
EVERY = range(GRAPHS)

WIDTHS = (("-DEP_LANES=1",), (), ("-march=native",))  # single floats, what the target begins with, the machine's widest
QUICK = ("-O3", "-ffp-contract=fast", "-march=native")  # as a model is compiled to be used
QEMU = ("qemu-aarch64", "-cpu", "cortex-a72")  # by name: some versions compute wrongly on their default
WASM = ("-target", "wasm32-wasi", "-msimd128", "-O2")


@dataclass(frozen=True)
class Program:
    """How some of the graphs are compiled and run. `tools` are commands, `packages` are Python's."""

    name: str
    compiler: Sequence[str]
    flags: Sequence[str]
    seeds: range
    launcher: Sequence[str] = ()
    tools: Sequence[str] = ()
    packages: Sequence[str] = ()
    form: str = ""  # the one that convolutions that can take it take, whatever it costs

    def skip_where_it_cannot_run(self) -> None:
        missing = [tool for tool in self.tools if shutil.which(tool) is None]
        missing += [f"the package {name}" for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            pytest.skip(f"needs {' and '.join(missing)}")


def sanitized(compiler: str) -> list[Program]:
    """All graphs, a third of them at each width."""
    return [
        Program(" ".join((compiler, *width)), [compiler], (*SANITIZED, *width), EVERY[i :: len(WIDTHS)], tools=[compiler])
        for i, width in enumerate(WIDTHS)
    ]


PROGRAMS = (
    *sanitized("gcc"),
    *sanitized("clang"),
    Program("gcc dense", ["gcc"], SANITIZED, EVERY[4::5], tools=["gcc"], form="dense"),
    *(
        Program(" ".join(("gcc stripes", *width)), ["gcc"], (*SANITIZED, *width), EVERY[i::9], tools=["gcc"], form="stripes")
        for i, width in enumerate(WIDTHS)
    ),
    Program("clang stripes", ["clang"], SANITIZED, EVERY[4::9], tools=["clang"], form="stripes"),
    Program("gcc optimised", ["gcc"], QUICK, EVERY[::5], tools=["gcc"]),
    Program("clang optimised", ["clang"], QUICK, EVERY[1::5], tools=["clang"]),
    Program(
        "aarch64",
        ["aarch64-linux-gnu-gcc"],
        ("-O2", "-static"),
        EVERY[2::5],
        QEMU,
        tools=["aarch64-linux-gnu-gcc", "qemu-aarch64"],
    ),
    Program(
        "wasm32",
        [sys.executable, "-m", "ziglang", "cc"],
        WASM,
        EVERY[3::5],
        [sys.executable, str(Path(__file__).with_name("run_wasm.py"))],
        packages=["ziglang", "wasmtime"],
    ),
)


def drawn(seed: int) -> Graph:
    """Of two graphs one with every op there is, and one of little but convolutions: how they lie in memory is what is special."""
    if seed % 2:
        whole = build(seed, 1 + seed % 8, convolutional=seed % 4 != 3, coming=True, several=True, dtype=np.float32)
        return whole.plain()
    rng = np.random.default_rng(seed)
    b = Layers(rng, np.float32, whole=False)
    x = b.input(Value((int(rng.integers(1, 7)), int(rng.integers(5, 14)), int(rng.integers(5, 14)))))
    full = rng.random() < 0.5
    for _ in range(2 + seed % 5):
        outs = int(rng.integers(3, 11))
        x = (b.conv, b.conv, b.conv, b.activation, b.pool, b.residual)[int(rng.integers(6))](x)
        value = b.values[x]
        if min(value.shape[1:]) >= 3:
            kept = rng.random((outs, value.channels, 3, 3)) < 0.3
            weight = b.numbers(outs, value.channels, 3, 3) * (full or (kept[:, :1] if seed % 4 else kept))
            step = int(rng.choice([1, 1, 2]))
            x = b.add(Conv(weight, b.bias(outs), (step, step), ((1, 1), (1, 1))), x)
    x = b.conv(x)
    return Graph(b.inputs, (x,), tuple(b.nodes))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_random_graphs_are_the_same_function_in_c(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program.skip_where_it_cannot_run()
    if program.form:
        monkeypatch.setattr(convolutions, "cost", lambda form, *rest: float(form != program.form))
    seeds = program.seeds
    graphs = [drawn(seed) for seed in seeds]
    inputs = [inputs_for(graph, 2, seed) for graph, seed in zip(graphs, seeds, strict=True)]
    made = run_in_c(graphs, inputs, tmp_path, program.compiler, program.flags, program.launcher)
    for seed, graph, arrays, outputs in zip(seeds, graphs, inputs, made, strict=True):
        for output, reference in zip(outputs, outputs_of(graph, arrays), strict=True):
            try:
                assert_close(reference, output, TOLERANCE)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}\n{graph}") from None
