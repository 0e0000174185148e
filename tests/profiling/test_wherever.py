"""The best figure for a device that can be had now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sketch_graph import small_network

from edgeprune.errors import EdgepruneError
from edgeprune.formats import write
from edgeprune.profiling import Emulation, Estimate, Profile, load_target
from edgeprune.profiling.wherever import Wanted, best_profile, wanted_of

QUICK = {"min_seconds": 0.05, "runs": 10, "warmup": 1}


def test_a_device_at_hand_is_measured(make_onnx: object) -> None:
    record, reasons = best_profile(Wanted(load_target("host")), make_onnx(8, 4), **QUICK)  # type: ignore[operator]
    assert isinstance(record, Profile)
    assert reasons == ()


def test_a_device_out_of_reach_is_estimated_and_it_is_said_why(make_onnx: object) -> None:
    record, reasons = best_profile(Wanted(load_target("raspberry-pi-5")), make_onnx(8, 4), **QUICK)  # type: ignore[operator]
    assert isinstance(record, Estimate)
    assert "--host" in reasons[0]


def test_a_c_model_for_a_device_out_of_reach_is_emulated(tmp_path: Path) -> None:
    if shutil.which("qemu-aarch64") is None or shutil.which("aarch64-linux-gnu-gcc") is None:
        pytest.skip("emulating a Raspberry Pi needs qemu-aarch64 and aarch64-linux-gnu-gcc")
    write(small_network(), tmp_path / "model.c")
    record, reasons = best_profile(Wanted(load_target("raspberry-pi-5")), tmp_path / "model.c", **QUICK)
    assert isinstance(record, Emulation)
    assert len(reasons) == 1


def test_where_nothing_is_known_there_are_only_reasons(make_onnx: object) -> None:
    # Its target.toml has no costs, so that nothing can be estimated either.
    record, reasons = best_profile(Wanted(load_target("visionfive-2")), make_onnx(8, 4), **QUICK)  # type: ignore[operator]
    assert record is None
    assert "has no costs" in reasons[1]


def test_devices_are_named_with_their_hosts() -> None:
    found = wanted_of("pixel-8, raspberry-pi-5=pi@pi.local", ["tflite"])
    assert [(each.target.name, each.host) for each in found] == [("pixel-8", None), ("raspberry-pi-5", "pi@pi.local")]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("pixel8", "did you mean pixel-8"),
        ("cortex-m4", "takes c files, and none is written; add one to --target"),
        ("host,", "'host,' names a device too few"),
    ],
)
def test_a_device_that_is_unknown_or_takes_nothing_is_refused(text: str, part: str) -> None:
    with pytest.raises(EdgepruneError, match=part):
        wanted_of(text, ["tflite", "onnx"])
