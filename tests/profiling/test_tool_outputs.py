"""What benchmark programs of several versions printed on real devices, read. The outputs are quoted from public documents; long
tables of ops are cut."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeprune.errors import EdgepruneError
from edgeprune.profiling import benchmark_model, perf_test
from edgeprune.profiling.tool_result import Asked, ToolMemory, ToolTimes

OUTPUTS = Path(__file__).with_name("tool_outputs")
MIB = 2**20


def output(name: str) -> str:
    return (OUTPUTS / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    ("name", "load", "first", "times", "memory"),
    [
        (
            "benchmark_model-v2.8-riscv64", 17.187, 3512.391,
            ToolTimes(50, 2950.34, 2727.568, 3189.954, 109.798),
            ToolMemory(round(4.21094 * MIB), round(46.0859 * MIB)),
        ),
        (
            "benchmark_model-2024-x86-64", 32.163, 19.834,
            ToolTimes(64, 15.5176, 14.661, 17.579, 0.551),
            ToolMemory(round(22.0273 * MIB), round(34.8281 * MIB)),
        ),
        (
            "benchmark_model-am62x", 5.579, 1357.602,
            ToolTimes(50, 1240.27, 1238.588, 1252.566, 2.565, p5=1238.753, p50=1239.807, p95=1247.415),
            ToolMemory(round(6.36328 * MIB), round(109.832 * MIB)),
        ),
        (
            "benchmark_model-logcat", 92.318, 187.533,
            ToolTimes(25, 145.528, 140.071, 195.121, 13.583, p5=140.545, p50=141.253, p95=187.533),
            ToolMemory(round(54.2852 * MIB), round(73.4102 * MIB)),
        ),
        (
            "benchmark_litert_model-2025", 4.478, 1.033,
            ToolTimes(2112, 0.464545, 0.442, 0.979, 0.013, p5=0.460, p50=0.462, p95=0.478),
            ToolMemory(round(8.94 * MIB), round(11.51 * MIB)),
        ),
        (
            "benchmark_litert_model-2025-short", 586.76, 4.44,
            ToolTimes(2166, 0.46, 0.35, 0.74, 0.03),
            ToolMemory(),
        ),
    ],
)  # fmt: skip
def test_benchmark_model_is_read_as_far_as_it_speaks(
    name: str, load: float, first: float, times: ToolTimes, memory: ToolMemory
) -> None:
    said = benchmark_model.read(output(name))
    assert said.load_ms == pytest.approx(load)
    assert said.first_run_ms == pytest.approx(first)
    assert vars(said.times) == pytest.approx(vars(times))
    assert said.memory == memory
    assert said.step_ms == (0.01 if name.endswith("short") else 0.001)
    assert 2 <= len(said.lines) <= 60


def test_an_excerpt_without_the_warm_up_line_is_not_taken_for_runs() -> None:
    with pytest.raises(EdgepruneError, match="it printed no times of its runs"):
        benchmark_model.read(output("benchmark_model-v2.4-android"))


def test_the_peak_memory_of_early_versions_is_what_it_grew_by() -> None:
    warm = "count=2 first=360262 curr=300000 min=300000 max=360262 avg=304586 std=10\n"
    said = benchmark_model.read(warm + output("benchmark_model-v2.4-android"))
    assert said.memory == ToolMemory(round(4.92969 * MIB), round(138.809 * MIB))
    assert said.load_ms == pytest.approx(16.242)
    assert said.times.p50 is None
    assert said.times.middle == pytest.approx(249.684)


def test_runs_that_all_took_the_same_are_read() -> None:
    said = benchmark_model.read("count=3 curr=7(all same)\n\ncount=50 curr=6(all same)\n")
    assert said.times == ToolTimes(50, 0.006, 0.006, 0.006, 0.0)
    assert said.first_run_ms == pytest.approx(0.007)


def test_a_version_that_does_not_know_what_it_needs_to_is_refused() -> None:
    text = "WARN: Unconsumed cmdline flags: --num_threads=4\n" + output("benchmark_model-am62x")
    with pytest.raises(EdgepruneError, match=r"does not know --num_threads=4; take a newer build"):
        benchmark_model.read(text)
    harmless = "WARN: Unconsumed cmdline flags: --min_secs=1\n" + output("benchmark_model-am62x")
    assert benchmark_model.read(harmless).times.n == 50


def test_ops_of_the_early_table_have_the_names_of_their_values() -> None:
    ops = benchmark_model.read_ops(output("benchmark_model-v2.8-riscv64"))
    assert [op.kind for op in ops[:3]] == ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert ops[0].name == "MobilenetV1/MobilenetV1/Conv2d_0/Relu6"
    assert ops[0].ms == pytest.approx(60.957)
    assert [op.name for op in ops[-1:]] == ["MobilenetV1/Predictions/Reshape_1"]
    assert len(ops) == 7


def test_ops_of_a_delegate_are_kernels_that_were_called_several_times() -> None:
    ops = benchmark_model.read_ops(output("benchmark_model-2024-x86-64"))
    assert [op.name for op in ops] == [
        "tfl.quantize", "Convolution (NHWC, QC8) IGEMM", "Convolution (NHWC, QC8) DWConv", "Convolution (NHWC, QC8) GEMM",
        "Add (ND, QS8)",
    ]  # fmt: skip
    assert ops[2].ms == pytest.approx(13 * 0.051)
    # Of the initialization nothing is among them.
    assert not any("Delegate" in op.name or op.name.startswith("Allocate") for op in ops)


def test_a_delegate_that_tells_its_parts_counts_once() -> None:
    text = output("benchmark_model-2024-x86-64")
    row = next(line for line in text.splitlines() if "Delegate/Add" in line)
    whole = row.replace("          Add (ND, QS8)", "TfLiteXNNPackDelegate").replace("Delegate/Add (ND, QS8):9", "[out]:10")
    ops = benchmark_model.read_ops(text.replace(row, f"{row}\n{whole}"))
    assert len(ops) == 5
    alone = re.sub(r".* Delegate/.*\n", "", text.replace(row, whole))
    assert [op.kind for op in benchmark_model.read_ops(alone)] == ["QUANTIZE", "TfLiteXNNPackDelegate"]


def test_where_there_is_no_table_it_is_said() -> None:
    with pytest.raises(EdgepruneError, match="no table of its ops"):
        benchmark_model.read_ops(output("benchmark_model-am62x"))
    with pytest.raises(EdgepruneError, match="does not know --enable_op_profiling"):
        benchmark_model.read_ops("WARN: Unconsumed cmdline flags: --enable_op_profiling=true\n")


@pytest.mark.parametrize(
    ("name", "load", "first", "times", "peak"),
    [
        ("perf_test-2020", 1841.49, None, ToolTimes(1, 734.606), None),
        ("perf_test-v1.3", 127.918, None, ToolTimes(10, 144.871), 158171136),
        (
            "perf_test-docs", None, None,
            ToolTimes(1000, 58.8053, 55.9777, 62.3472, p50=58.7108, p90=59.9845, p95=60.5676, p99=61.9517), None,
        ),
        (
            "perf_test-acl", 27.3071, 20.0,
            ToolTimes(8, 17.735, 15.9831, 23.2702, p50=16.7086, p90=23.2702, p95=23.2702, p99=23.2702), 35299328,
        ),
        (
            "perf_test-sme2", 217.932, 196.0,
            ToolTimes(5, 98.961997, 95.8204, 101.519, p50=99.5086, p90=101.519, p95=101.519, p99=101.519), 271122432,
        ),
    ],
)  # fmt: skip
def test_perf_test_is_read_as_far_as_it_speaks(
    name: str, load: float | None, first: float | None, times: ToolTimes, peak: int | None
) -> None:
    said = perf_test.read(output(name), "")
    assert said.load_ms == pytest.approx(load)
    assert said.first_run_ms == first
    assert vars(said.times) == pytest.approx(vars(times))
    assert said.memory == ToolMemory(peak_bytes=peak)


RUNS = [0.0995086, 0.101519, 0.0958204, 0.0983, 0.099662]


def test_every_run_of_the_results_file_counts() -> None:
    rows = "".join(f"model,{seconds},271122432,11,{i}\n" for i, seconds in enumerate(RUNS))
    times = perf_test.read(output("perf_test-sme2"), f"{rows}\nMin Latency: 0.0958204 s\n").times
    assert times.n == 5
    assert (times.min, times.max) == pytest.approx((95.8204, 101.519))
    assert times.p50 == pytest.approx(99.5086)
    assert times.std is not None


def test_of_two_columns_of_times_the_one_counts_that_was_averaged() -> None:
    rows = "".join(f"model,{seconds / 3},{seconds},271122432,11,{i}\n" for i, seconds in enumerate(RUNS))
    times = perf_test.read(output("perf_test-sme2"), rows).times
    assert times.p50 == pytest.approx(99.5086)
    assert times.std is not None


def test_a_results_file_of_something_else_is_left_alone() -> None:
    rows = "".join(f"model,{seconds / 3},271122432,11,{i}\n" for i, seconds in enumerate(RUNS))
    times = perf_test.read(output("perf_test-sme2"), rows).times
    assert times.std is None
    assert times.p50 == pytest.approx(99.5086)


@pytest.mark.parametrize("text", ["", "Segmentation fault\n", "Total inference requests: 0\nAverage inference time cost: 0 ms\n"])
def test_an_output_without_times_is_refused(text: str) -> None:
    with pytest.raises(EdgepruneError, match="it printed no times of its runs"):
        perf_test.read(text, "")
    with pytest.raises(EdgepruneError, match="it printed no times of its runs"):
        benchmark_model.read(text)


ASKED = Asked("/d/model", 2, 100, 1.5, 10, 7)


def test_programs_are_called_by_their_own_options() -> None:
    call = benchmark_model.command("/d/benchmark_model", "benchmark_model", ASKED)
    assert call[0] == "/d/benchmark_model"
    assert set(call[1:]) == {"--graph=/d/model", "--num_threads=2", "--num_runs=100", "--min_secs=1.5", "--warmup_runs=10"}
    python = benchmark_model.command("/d/litert-benchmark", "litert-benchmark", ASKED)
    assert set(python[1:]) == {"--model=/d/model", "--num_threads=2", "--num_runs=100", "--warmup_runs=10"}
    assert perf_test.command("p", ASKED, seconds=2) == [
        "p", "-I", "-S", "7", "-x", "2", "-m", "duration", "-t", "2", "-s", "/d/model", "result.csv"
    ]  # fmt: skip
    assert perf_test.command("p", ASKED, profile=True)[6:] == [
        "-m", "times", "-r", "100", "-s", "-p", "perf", "/d/model", "result.csv"
    ]  # fmt: skip
