"""Estimates: the work of a file is what its layers say, and the roofline is arithmetic that can be checked by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sketch_graph import small_network

from edgeprune.cli import main
from edgeprune.errors import EdgepruneError
from edgeprune.formats import write
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, Conv, Linear
from edgeprune.profiling.estimate import estimate, estimate_work
from edgeprune.profiling.targets import Costs, Target, load_target
from edgeprune.profiling.work import Work, in_blocks, work_of

SIMPLE = Costs(
    conv=0.5, pointwise=0.5, depthwise=0.25, linear=0.1, sparse_conv=0.1, sparse_pointwise=0.1, sparse_linear=0.05,
    loose_groups=0.1, loose_depthwise=0.02, memory=0.5, cache_bytes_per_cycle=8.0, op_us=2.0, call_us=10.0, band=2.0,
)  # fmt: skip


@pytest.fixture
def board() -> Target:
    """One core of 2 GHz with 8 operations a cycle, 4 GB/s of memory, 1 MiB of cache."""
    pi = load_target("raspberry-pi-5")
    core = dataclasses.replace(pi.hardware.cores[0], count=1, ghz=2.0, fp32_per_cycle=8.0)
    cache = dataclasses.replace(pi.hardware.caches[-1], bytes=2**20)
    hardware = dataclasses.replace(pi.hardware, cores=(core,), caches=(cache,), memory_gbs=4.0)
    return dataclasses.replace(pi, hardware=hardware, costs={"litert": SIMPLE})


def conv_graph(density: float = 1.0) -> Graph:
    random = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        kept = random.random(shape) < density
        return (random.standard_normal(shape) * kept).astype(np.float32)

    nodes = (
        Node("a", Conv(weight(16, 3, 3, 3), np.ones(16, np.float32), padding=((1, 1), (1, 1))), ("x",)),
        Node("b", Activation("relu"), ("a",)),
        Node("c", Conv(weight(16, 1, 3, 3), np.ones(16, np.float32), groups=16), ("b",)),
        Node("d", Conv(weight(8, 16, 1, 1), np.ones(8, np.float32)), ("c",)),
    )
    return Graph({"x": Value((3, 10, 10))}, ("d",), nodes)


EXPECTED = {"conv": 16 * 27 * 100, "depthwise": 16 * 9 * 64, "pointwise": 8 * 16 * 64}


@pytest.mark.parametrize("suffix", ["tflite", "onnx", "c"])
def test_the_work_of_a_file_is_that_of_its_layers(tmp_path: Path, suffix: str) -> None:
    write(conv_graph(), tmp_path / f"model.{suffix}")
    work = work_of(tmp_path / f"model.{suffix}")
    assert {each.kind: each.multiply_adds for each in work if each.multiply_adds} == EXPECTED
    assert sum(each.weight_bytes for each in work) >= 4 * (16 * 27 + 16 * 9 + 8 * 16)


def test_a_sparse_layer_that_is_run_sparsely_counts_its_nonzeros(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight = np.where(random.random((64, 256)) < 0.02, 1, 0).astype(np.float32)
    graph = Graph({"x": Value((256,))}, ("a",), (Node("a", Linear(weight, np.ones(64, np.float32)), ("x",)),))
    write(graph, tmp_path / "model.tflite")
    (layer,) = [each for each in work_of(tmp_path / "model.tflite") if each.multiply_adds]
    assert (layer.kind, layer.multiply_adds) == ("sparse_linear", int(weight.sum()))
    write(graph, tmp_path / "model.onnx")
    (layer,) = [each for each in work_of(tmp_path / "model.onnx") if each.multiply_adds]
    assert (layer.kind, layer.multiply_adds) == ("linear", weight.size)
    write(graph, tmp_path / "model.c")
    (layer,) = work_of(tmp_path / "model.c")
    assert (layer.kind, layer.multiply_adds) == ("sparse_linear", int(weight.sum()))
    assert layer.moved_bytes == 4 * (256 + 64)
    assert layer.weight_bytes < 4 * weight.size


@pytest.mark.parametrize(
    ("work", "ms", "bound"),
    [
        # 8 million multiply-adds are 16 million operations; the core does 8 billion of them a second at half its peak.
        (Work("a", "conv", 8_000_000, 0, 0), 2.0, "arithmetic"),
        # 4 MB at 2 GB/s: more than the cache holds.
        (Work("a", "linear", 1000, 4_000_000, 0), 2.0, "memory"),
        # 160 kB at 16 GB/s: in the cache.
        (Work("a", "other", 0, 0, 160_000), 0.01, "memory"),
        (Work("a", "other", 0, 0, 0), 0.0, "calls"),
    ],
)
def test_an_op_takes_its_arithmetic_or_its_bytes_and_a_call(board: Target, work: Work, ms: float, bound: str) -> None:
    found = estimate_work(board, [work], "litert")
    assert found.ops[0].ms == pytest.approx(ms + 0.002)
    assert found.ops[0].bound == bound
    assert found.ms == pytest.approx(ms + 0.002 + 0.010)
    assert (found.low_ms, found.high_ms) == pytest.approx((found.ms / 2, found.ms * 2))


def test_more_cores_do_the_arithmetic_faster(board: Target) -> None:
    cores = (dataclasses.replace(board.hardware.cores[0], count=4),)
    four = dataclasses.replace(board, hardware=dataclasses.replace(board.hardware, cores=cores))
    work = [Work("a", "conv", 8_000_000, 0, 0)]
    assert estimate_work(four, work, "litert", threads=4).ops[0].ms == pytest.approx(0.5 + 0.002)
    assert estimate_work(board, work, "litert", threads=4).ops[0].ms == pytest.approx(2.0 + 0.002)


def test_what_cannot_be_estimated_is_refused(tmp_path: Path, board: Target) -> None:
    write(small_network(), tmp_path / "model.onnx")
    with pytest.raises(EdgepruneError, match=r"has no costs for onnxruntime \(it has: litert\)"):
        estimate(board, tmp_path / "model.onnx")
    with pytest.raises(EdgepruneError, match=r"Pixel 8 .* takes \.tflite, \.c files"):
        estimate("pixel-8", tmp_path / "model.onnx")
    (tmp_path / "model.c").write_text("")
    with pytest.raises(EdgepruneError, match="does not say what it does op by op"):
        estimate("pixel-8", tmp_path / "model.c")
    with pytest.raises(EdgepruneError, match="a C model runs on one thread"):
        estimate("pixel-8", tmp_path / "model.c", threads=2)
    with pytest.raises(EdgepruneError, match=r"model\.pt2 cannot be estimated; an estimate takes \.tflite, \.onnx, \.c files"):
        estimate("host", tmp_path / "model.pt2")
    with pytest.raises(EdgepruneError, match="does not exist"):
        estimate("pixel-8", tmp_path / "absent.tflite")


@pytest.mark.parametrize("suffix", ["tflite", "c"])
def test_an_estimate_says_that_it_is_one_and_how_good(tmp_path: Path, suffix: str) -> None:
    write(small_network(), tmp_path / f"model.{suffix}")
    done = CliRunner().invoke(main, ["profile", str(tmp_path / f"model.{suffix}"), "--target", "iphone-15", "--estimate"])
    assert done.exit_code == 0, done.output
    assert "estimated, nothing was run" in done.output
    assert "between" in done.output
    assert "not fitted on this device" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("weight", "groups", "fits"),
    [
        ((24, 1, 3, 3), 24, True),
        ((25, 1, 3, 3), 25, False),
        ((48, 8, 3, 3), 6, False),
        ((48, 16, 3, 3), 3, True),
    ],
)
def test_channels_fill_blocks_or_not(weight: tuple[int, ...], groups: int, fits: bool) -> None:
    assert in_blocks(weight, groups) is fits
