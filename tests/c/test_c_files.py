"""What the written files are: the same every time, strict C99, safe beside others, as small as they say."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close
from programs import COMPILERS, WARNINGS, run_in_c
from random_graphs import build, inputs_for

from edgeprune.errors import EdgepruneError, NotExportable
from edgeprune.formats import Metadata, c, companions, load, read, write
from edgeprune.formats.c import convolutions
from edgeprune.formats.c.compiler import compile_c
from edgeprune.formats.c.plan import Buffer, lower_bound, place
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, Add, Conv, Flatten, Linear, MaxPool

PADDED = ((1, 1), (1, 1))


def small_net(density: float = 0.2, classes: int = 4) -> Graph:
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(np.float32)

    def bias(n: int) -> np.ndarray:
        return rng.standard_normal(n).astype(np.float32)

    nodes = (
        Node("conv", Conv(weight(8, 3, 3, 3), bias(8), (1, 1), PADDED), ("image",)),
        Node("relu", Activation("relu"), ("conv",)),
        Node("pool", MaxPool((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), ("relu",)),
        Node("branch", Conv(weight(8, 8, 3, 3), bias(8), (1, 1), PADDED), ("pool",)),
        Node("add", Add(), ("branch", "pool")),
        Node("strided", Conv(weight(12, 8, 3, 3), bias(12), (2, 2), PADDED), ("add",)),
        Node("flat", Flatten(), ("strided",)),
        Node("scores", Linear(weight(classes, 192), bias(classes)), ("flat",)),
    )
    return Graph({"image": Value((3, 16, 16))}, ("scores",), nodes)


def test_the_same_graph_gives_the_same_text() -> None:
    assert c.sources(small_net()).files == c.sources(small_net()).files


def test_what_is_written_runs_and_equals_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    graph = small_net()
    c.write(graph, tmp_path / "model.c")
    assert {p.name for p in tmp_path.iterdir()} >= {"model.c", "model.h", "CMakeLists.txt"}
    runner = c.load(tmp_path / "model.c")
    x = inputs_for(graph, 3)
    assert runner.inputs == {"image": (3, 16, 16)}
    assert runner.outputs == {"scores": (4,)}
    assert_close(graph.run(*x), runner.run(*x)[0], 1e-5)
    compiled = list((tmp_path / "cache").rglob("*.so"))
    c.load(tmp_path / "model.c")
    assert list((tmp_path / "cache").rglob("*.so")) == compiled, "the same source was compiled twice"


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("flags", [("-O3",), ("-O2", "-march=native"), ("-Os", "-DEP_LANES=1")], ids=" ".join)
def test_a_model_compiles_without_a_warning(compiler: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    c.write(small_net(), tmp_path / "model.c")
    strict = (*WARNINGS, *flags, "-c")
    done = subprocess.run(
        [compiler, *strict, str(tmp_path / "model.c"), "-o", str(tmp_path / "model.o")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_the_header_is_read_by_cpp_too(tmp_path: Path) -> None:
    preprocessing = {"scale": 1 / 255, "mean": [0.1, 0.2, 0.3], "std": [1.0, 0.5, 0.25], "color": "rgb", "size": None}
    c.write(small_net(), tmp_path / "net.c", metadata=Metadata(preprocessing, ("cat", 'a "dog"?', "Ω")))
    (tmp_path / "use.cpp").write_text(
        '#include "net.h"\n'
        "static const float mean[] = NET_MEAN;\nstatic const char *const classes[] = NET_CLASSES;\n"
        "static const int shape[] = NET_INPUT0_SHAPE;\n"
        "int main() { static unsigned char arena[NET_ARENA_BYTES]; float in[NET_INPUT0_SIZE] = {0}, out[NET_OUTPUT0_SIZE];\n"
        "  return net_arena_bytes() != sizeof arena || net_run(in, out, arena) || mean[1] != 0.2f || shape[2] != 16 ||\n"
        "    classes[1][2] != '\"' || NET_SCALE != 1.0f / 255 || NET_BATCH != 1 || net_run(0, out, arena) != 1; }\n"
    )
    subprocess.run([COMPILERS[0], "-std=c99", "-c", "net.c"], cwd=tmp_path, check=True)
    subprocess.run(["g++", "-Wall", "-Werror", "use.cpp", "net.o", "-o", "use"], cwd=tmp_path, check=True)
    subprocess.run([str(tmp_path / "use")], check=True)


def test_the_suffix_alone_chooses_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    graph, path = small_net(), tmp_path / "model.c"
    encodings = write(graph, path, optimize="memory")
    assert [e.layer for e in encodings] == ["relu", "add", "strided", "scores"]
    assert all(e.encoding == "csr" and e.bytes < 4 * e.total for e in encodings)
    assert [p.name for p in companions(path)] == ["model.h", "CMakeLists.txt"]
    assert all(p.is_file() for p in companions(path))
    x = inputs_for(graph)
    assert_close(graph.run(*x), load(path).run(*x)[0], 1e-5)
    assert read(path).counts["Conv"] == 3
    with pytest.raises(EdgepruneError, match="goal"):
        write(graph, path, optimize="beauty")


def test_names_that_mean_something_to_c_do_no_harm(tmp_path: Path) -> None:
    nodes = (
        Node("add", Linear(np.eye(3, dtype=np.float32)), ("int",), source="a */ b ??/ \n#error"),
        Node("model_run", Activation("tanh"), ("add",)),
        Node("", Activation("relu"), ("model_run",)),
    )
    graph = Graph({"int": Value((3,))}, ("",), nodes)
    runner = _runner(graph, tmp_path / "static-3.c")
    x = inputs_for(graph)
    assert_close(graph.run(*x), runner.run(*x)[0], 1e-5)


def _runner(graph: Graph, path: Path) -> c.CRunner:
    c.write(graph, path)
    return c.CRunner(path)


def test_runs_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    graph = build(4, 6, dtype=np.float32)
    c.write(graph, tmp_path / "model.c")
    library = tmp_path / "model.so"
    compile_c([COMPILERS[0]], [tmp_path / "model.c"], library, ("-std=c99", "-O2", "-shared", "-fPIC"))
    run = ctypes.CDLL(str(library)).model_run
    run.argtypes = [ctypes.c_void_p] * 3
    written = c.sources(graph)
    xs = inputs_for(graph, 4)[0]
    expected = graph.run(xs)
    failed: list[str] = []

    def work(i: int) -> None:
        arena, out = np.zeros(written.arena.bytes, np.uint8), np.zeros(expected[i].shape, np.float32)
        for _ in range(300):
            run(xs[i].ctypes.data, out.ctypes.data, arena.ctypes.data)
            if not np.allclose(out, expected[i], rtol=1e-4, atol=1e-4 * np.abs(expected).max()):
                failed.append(f"sample {i}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_nothing_is_written_outside_the_arena_and_no_memory_is_asked_for(tmp_path: Path) -> None:
    c.write(small_net(), tmp_path / "model.c")
    subprocess.run([COMPILERS[0], "-std=c99", "-O2", "-fno-pic", "-fno-pie", "-c", "model.c"], cwd=tmp_path, check=True)
    if shutil.which("nm") is None:
        pytest.skip("needs nm")
    symbols = subprocess.run(["nm", "model.o"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split("\n")
    kinds = {line.split()[-1]: line.split()[-2] for line in symbols if line}
    assert {n for n, kind in kinds.items() if kind in "TDBCV"} == {"model_run", "model_arena_bytes"}
    assert not [n for n, kind in kinds.items() if kind in "dDbBC"], "a variable that is no constant"
    assert {n for n, kind in kinds.items() if kind == "U"} <= {"memset", "memcpy", "memmove", "_GLOBAL_OFFSET_TABLE_"}


@pytest.mark.parametrize("zero_bias", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("keeps", ["nothing else", "the branch's input"])
def test_rows_without_weights_add_their_bias_to_the_residual(zero_bias: bool, relu: bool, keeps: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((6, 4, 3, 3)).astype(np.float32)
    weight[[0, 3, 5]] = 0
    bias = rng.standard_normal(6).astype(np.float32) * (not zero_bias)
    nodes = [
        Node("a", Conv(rng.standard_normal((6, 4, 1, 1)).astype(np.float32)), ("x",)),
        Node("ar", Activation("relu"), ("a",)),
        Node("b", Conv(weight, bias, (1, 1), PADDED), ("ar" if keeps == "the branch's input" else "x",)),
        Node("sum", Add(), ("b", "ar")),
        Node("out", Activation("relu" if relu else "tanh"), ("sum",)),
        # The border of the sum must still be zero.
        Node("again", Conv(rng.standard_normal((2, 6, 3, 3)).astype(np.float32), None, (1, 1), PADDED), ("out",)),
    ]
    if keeps == "the branch's input":
        nodes[2] = Node("b", Conv(rng.standard_normal((6, 6, 3, 3)).astype(np.float32), bias, (1, 1), PADDED), ("ar",))
    graph = Graph({"x": Value((4, 7, 6))}, ("again",), tuple(nodes))
    x = inputs_for(graph)
    (found,) = run_in_c([graph], [x], tmp_path, COMPILERS[0])
    assert_close(graph.run(*x), found[0], 1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_weights_are_read_back_as_they_were(seed: int, tmp_path: Path) -> None:
    graph = build(seed, 6, convolutional=seed % 4 != 3, dtype=np.float32)
    c.write(graph, tmp_path / "model.c", metadata=Metadata({"scale": 1.0}, ("?*/",), {"note": "/* ?? */"}))
    artifact = c.read(tmp_path / "model.c")
    assert artifact.metadata == Metadata({"scale": 1.0}, ("?*/",), {"note": "/* ?? */"})
    weights = sorted((t.array for t in artifact.tensors if t.name.endswith(".weight")), key=_order)
    expected = sorted((n.op.weight for n in graph.nodes if isinstance(n.op, Conv | Linear)), key=_order)
    assert len(weights) == len(expected)
    for found, weight in zip(weights, expected, strict=True):
        # Taps that never meet the input are not stored.
        assert found.shape == weight.shape
        assert ((found == weight) | (found == 0)).all()
        if min(weight.shape[2:], default=1) == 1:
            assert np.array_equal(found, weight)


def _order(weight: np.ndarray) -> tuple[tuple[int, ...], float]:
    return weight.shape, float(np.abs(weight).max(initial=0))


def striped(share: float, whole: bool = True, goal: str = "size") -> tuple[Graph, c.Written]:
    """A convolution of 16 to 16 channels with that share of its weights, in whole stripes or anywhere."""
    rng = np.random.default_rng(0)
    kept = rng.random((16, 1 if whole else 16, 3, 3)) < share
    weight = (rng.standard_normal((16, 16, 3, 3)) * kept).astype(np.float32)
    graph = Graph({"x": Value((16, 9, 9))}, ("conv",), (Node("conv", Conv(weight, None, (1, 1), PADDED), ("x",)),))
    return graph, c.sources(graph, optimize=goal)


@pytest.mark.parametrize("goal", ["size", "latency", "memory"])
@pytest.mark.parametrize(("share", "whole", "form"), [(0.3, True, "stripes"), (0.3, False, "csr"), (0.97, False, "dense")])
def test_stripes_are_for_filters_that_keep_taps_as_a_whole(share: float, whole: bool, form: str, goal: str) -> None:
    assert [e.encoding for e in striped(share, whole, goal)[1].encodings] == [form]


def test_stripes_take_less_than_the_same_weights_with_an_index_each(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = striped(0.3)[1].encodings[0].bytes
    monkeypatch.setattr(convolutions, "cost", lambda form, *rest: float(form != "csr"))
    (csr,) = striped(0.3)[1].encodings
    assert (csr.encoding, taken < csr.bytes) == ("csr", True)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_stripes_are_read_back_as_they_were(share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "cost", lambda form, *rest: float(form != "stripes"))
    graph, _ = striped(share)
    c.write(graph, tmp_path / "model.c")
    (found,) = c.read(tmp_path / "model.c").tensors
    assert (found.encoding, np.array_equal(found.array, graph.nodes[0].op.arrays["weight"])) == ("stripes", True)


@pytest.mark.parametrize("text", ["", "int main(void) { return 0; }", "/* edgeprune: {} */", "/* edgeprune: [1 */"])
def test_a_file_that_is_no_model_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text(text)
    with pytest.raises(EdgepruneError, match=r"other\.c is not a C model"):
        c.read(tmp_path / "other.c")
    with pytest.raises(EdgepruneError, match=r"other\.h"):
        c.load(tmp_path / "other.c")


def test_a_number_that_c_cannot_write_is_refused() -> None:
    weight = np.array([[1.0, np.inf]], np.float32)
    graph = Graph({"x": Value((2,))}, ("y",), (Node("y", Linear(weight), ("x",), "head"),))
    with pytest.raises(NotExportable, match=r"head.*finite"):
        c.sources(graph)


def test_without_a_compiler_the_error_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    c.write(small_net(), tmp_path / "model.c")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgepruneError, match=r"no C compiler.*apt-get install"):
        c.load(tmp_path / "model.c")


# -- the arena -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_buffers_that_live_together_do_not_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    buffers = []
    for i in range(int(rng.integers(1, 40))):
        first = int(rng.integers(0, 30))
        buffers.append(Buffer(f"b{i}", int(rng.integers(1, 2000)), first, first + int(rng.integers(0, 8))))
    floats = place(buffers)
    bound = lower_bound(buffers)
    assert bound <= floats <= sum(b.room for b in buffers)
    assert floats <= 1.5 * bound
    for i, a in enumerate(buffers):
        assert 0 <= a.offset <= floats - a.room
        for b in buffers[:i]:
            assert not a.meets(b) or a.offset + a.room <= b.offset or b.offset + b.room <= a.offset


def test_a_chain_needs_no_more_than_its_fullest_step() -> None:
    arena = c.sources(small_net()).arena
    assert arena.bytes - 64 == arena.lower_bound


# -- the kernels alone ---------------------------------------------------------------------------------------------

KERNELS = sorted((Path(c.__file__).parent / "kernels").glob("*.[ch]"))


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("path", KERNELS, ids=lambda p: p.name)
def test_a_kernel_compiles_alone_without_a_warning(path: Path, compiler: str, tmp_path: Path) -> None:
    for width in ("-DEP_LANES=1", "-O2", "-march=native"):
        flags = [*WARNINGS, width, "-fsyntax-only", "-x", "c", str(path)]
        done = subprocess.run([compiler, *flags], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
def test_a_model_compiles_for_a_cortex_m(tmp_path: Path) -> None:
    c.write(small_net(), tmp_path / "model.c")
    flags = [*WARNINGS, "-Os", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-c"]
    subprocess.run(["arm-none-eabi-gcc", *flags, "model.c", "-o", "model.o"], cwd=tmp_path, check=True)
