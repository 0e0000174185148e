"""C models on other processors, under qemu-user."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from sketch_graph import small_network

from edgeprune.errors import EdgepruneError
from edgeprune.formats import c
from edgeprune.profiling import load_target
from edgeprune.profiling.emulation import EMULATORS, Emulation, emulate
from edgeprune.profiling.native import CROSS
from edgeprune.profiling.targets import Target

CPUS = {"aarch64": "cortex-a76", "armv7": "cortex-a15", "riscv64": "rv64"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    c.write(small_network(), tmp_path / "model.c")
    return tmp_path / "model.c"


def target_of(isa: str) -> Target:
    """The Raspberry Pi 5 with another processor."""
    for program in (EMULATORS[isa], CROSS[isa][0]):
        if shutil.which(program) is None:
            pytest.skip(f"running {isa} code needs {program}, which is not installed")
    pi = load_target("raspberry-pi-5")
    return dataclasses.replace(pi, hardware=dataclasses.replace(pi.hardware, isa=isa, features=()), emulator=CPUS[isa])


@pytest.mark.parametrize("isa", CPUS)
def test_another_processor_computes_the_same(model: Path, isa: str) -> None:
    found = emulate(target_of(isa), model)
    assert found.provenance == "emulated"
    assert found.largest_relative_error < 1e-5
    assert found.same_class
    assert EMULATORS[isa] in found.emulator
    assert CPUS[isa] in found.emulator


def test_an_emulation_tells_no_time(model: Path) -> None:
    found = emulate(target_of("aarch64"), model).to_dict()
    assert not [name for name in found if "ms" in name.split("_") or "latency" in name]


def test_the_instructions_of_a_run_are_counted_and_are_the_same_every_time(model: Path) -> None:
    first, second = (emulate(target_of("aarch64"), model) for _ in range(2))
    if first.instructions is None:
        pytest.skip(f"instructions were not counted: {first.why_not_counted}")
    # 90 multiply-adds, a few instructions each and those around them.
    assert 50 < first.instructions < 20_000
    assert second.instructions == pytest.approx(first.instructions, rel=0.01)


def test_what_is_not_emulated_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgepruneError, match="iphone-15 is not emulated"):
        emulate("iphone-15", model)
    with pytest.raises(EdgepruneError, match=r"only \.c models are emulated"):
        emulate("raspberry-pi-5", tmp_path / "model.tflite")


def test_without_an_emulator_the_error_says_what_to_install(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgepruneError, match="no qemu-aarch64 on this machine; install it: apt-get install qemu-user"):
        emulate("raspberry-pi-5", model)


def test_an_emulation_goes_to_json(model: Path) -> None:
    made = Emulation("m.c", "pi", "qemu", "C", 0.0, True, None, "a static qemu", 1, "2026-01-01")
    assert made.to_dict()["instructions"] is None
    assert made.to_dict()["provenance"] == "emulated"
