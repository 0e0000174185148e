from __future__ import annotations

import dataclasses
import io

from edgeprune.profiling import Comparison, Device, Latency, Memory, Profile, Ratio
from edgeprune.report import print_comparison, print_profile


def a_profile(path: str, p50: float, settled: bool = True) -> Profile:
    latency = Latency(200, p50, 1.1, 1.2, 1.3, 1.0, 0.1, 0.05, 1.4, 0.99 * p50, 1.2 * p50, 0.0)
    device = Device("a cpu", 4, 2, "x86_64", "Linux", "3.11", 0.5)
    memory = Memory(50_000_000, 48_000_000, 2_000_000, 1_500_000, 9_999)
    return Profile(
        path, 3_412, "0" * 64, "onnxruntime 1.31", 1, 2.0, 1.5, latency, settled, memory, device, "2026-01-01", 80.0, 5e-5, 0
    )


def lines(stream: io.StringIO) -> list[str]:
    assert "\x1b" not in stream.getvalue()
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def test_a_profile_shows_times_sizes_and_what_was_measured_on() -> None:
    stream = io.StringIO()
    print_profile(a_profile("model.onnx", 0.0123), stream)
    for line in ("file 3,412 B", "p50 12.3 µs", "p99 1.3 ms", "peak memory 50.0 MB", "runs 200", "a cpu, 2 cores, Linux"):
        assert line in lines(stream)
    assert "of that not mapped from files 9,999 B" in lines(stream)


def test_what_makes_the_numbers_worse_is_said() -> None:
    stream = io.StringIO()
    print_profile(a_profile("model.onnx", 1.0, settled=False), stream)
    assert any(line.startswith("warning: model.onnx: 200 runs tell the median to within 20.0%") for line in lines(stream))


def test_unmeasured_memory_is_a_dash() -> None:
    stream = io.StringIO()
    print_profile(dataclasses.replace(a_profile("m.onnx", 1.0), memory=None), stream)
    assert "peak memory –" in lines(stream)


def test_a_comparison_stands_side_by_side_and_says_how_many_times_as_fast() -> None:
    stream = io.StringIO()
    profiles = (a_profile("dense.onnx", 1.0), a_profile("model.onnx", 0.25))
    print_comparison(Comparison(profiles, (Ratio("model.onnx", "dense.onnx", 0.25, 0.2, 0.5, 30),)), stream)
    assert "p50 1 ms 0.25 ms" in lines(stream)
    assert "model.onnx is 4 times as fast as dense.onnx (2 to 5, 30 pairs of turns)" in lines(stream)
