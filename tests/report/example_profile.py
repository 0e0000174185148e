from __future__ import annotations

from edgeprune.profiling import Conditions, Device, Emulation, Estimate, Latency, Memory, Profile
from edgeprune.profiling.estimate import OpEstimate
from edgeprune.profiling.result import OpTime

PROFILE = Profile(
    path="out/model.tflite",
    bytes=3_412,
    sha256="0" * 64,
    runtime="ai-edge-litert 2.3.0",
    threads=1,
    load_ms=0.4,
    first_run_ms=0.02,
    latency_ms=Latency(1000, 0.004, 0.005, 0.005, 0.006, 0.004, 0.001, 0.003, 0.01, 0.0039, 0.0041, 0.01),
    settled=True,
    memory=Memory(38_000_000, 30_000_000, 8_000_000, 9_000_000, 2_000_000),
    device=Device("a cpu", 2, 2, "x86_64", "Linux", "3.11.7", 0.5),
    date="2026-11-21T03:30:00+00:00",
    import_ms=100.0,
    clock_ms=0.0001,
    seed=0,
    before=Conditions(2400.0, 40.0),
    after=Conditions(1200.0, 80.0),
    ops=(
        OpTime("fc1", "FULLY_CONNECTED", 0.002, 170, 3_000, 0),
        OpTime("fc2", "FULLY_CONNECTED", 0.001, 53, 500, 1),
        OpTime("softmax", "SOFTMAX", 0.0005),
    ),
    ops_by="the LiteRT profiler",
)

ESTIMATE = Estimate(
    "out/model.tflite", "pixel-8", "litert", 1, 15.0, 5.0, 45.0,
    (OpEstimate("fc1", "sparse_linear", 10.0, 170, 3_000, "memory"), OpEstimate("fc2", "sparse_linear", 5.0, 53, 500, "calls")),
    "unchecked: a guess",
)  # fmt: skip

EMULATION = Emulation(
    "out/model.c", "raspberry-pi-5", "qemu-aarch64 7.2.22, -cpu cortex-a76", "C (edgeprune 0.1.0, gcc)", 1, 1e-7, True,
    1_200_000, "", 600_000, "2026-11-21T03:30:00+00:00",
)  # fmt: skip
