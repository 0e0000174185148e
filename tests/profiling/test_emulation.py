"""C models on other processors, under qemu-user."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from sketch_graph import small_network

import edgeprune
from edgeprune.errors import EdgepruneError
from edgeprune.formats import c
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, Add
from edgeprune.profiling import load_target
from edgeprune.profiling.board import COMPILER, EMULATOR
from edgeprune.profiling.emulation import EMULATORS, Emulation, emulate
from edgeprune.profiling.targets import Target

CPUS = {"aarch64": "cortex-a76", "armv7": "cortex-a15", "riscv64": "rv64"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    c.write(small_network(), tmp_path / "model.c")
    return tmp_path / "model.c"


def target_of(isa: str) -> Target:
    """The Raspberry Pi 5 with another processor."""
    for program in (EMULATORS[isa], c.CROSS[isa].gcc):
        if shutil.which(program) is None:
            pytest.skip(f"running {isa} code needs {program}, which is not installed")
    pi = load_target("raspberry-pi-5")
    return dataclasses.replace(pi, hardware=dataclasses.replace(pi.hardware, isa=isa, features=()), emulator=CPUS[isa])


BOARDS = {"cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500"}
EMULATED = ["raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-2", "visionfive-2", *BOARDS]


def ready(name: str) -> Target:
    """The target of this name, if what emulates it is here."""
    found = load_target(name)
    board = "qemu-system" in found.transports
    needs = (EMULATOR, COMPILER) if board else (EMULATORS[found.hardware.isa], c.CROSS[found.hardware.isa].gcc)
    for program in needs:
        if shutil.which(program) is None:
            pytest.skip(f"emulating {name} needs {program}, which is not installed")
    return found


@pytest.fixture(scope="session")
def small_sample(mnist_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped network with the 64th part of its weights, as C."""
    loaded = edgeprune.load(mnist_sample / "lenet_300_100.pt")
    pruned = edgeprune.prune(loaded.module, 64, data=None, example_inputs=loaded.example_inputs)
    path = tmp_path_factory.mktemp("sample") / "model.c"
    edgeprune.write(edgeprune.shrink(edgeprune.capture(pruned.module, loaded.example_inputs)), path)
    return path


def digits(mnist_sample: Path, count: int) -> list[tuple[np.ndarray]]:
    images, _ = edgeprune.load_data(f"mnist:{mnist_sample / 'data'}").test.first(count)
    return [(image,) for image in images.numpy()]


@pytest.mark.parametrize("name", EMULATED)
def test_the_sample_network_gives_real_digits_the_same_classes(small_sample: Path, mnist_sample: Path, name: str) -> None:
    found = emulate(ready(name), small_sample, samples=digits(mnist_sample, 4))
    assert (found.provenance, found.samples, found.target) == ("emulated", 4, name)
    assert found.same_class
    assert found.largest_relative_error < 1e-5
    # 4,159 weights, a few instructions each.
    assert found.instructions is not None, found.why_not_counted
    assert 4_159 < found.instructions < 200_000


@pytest.mark.slow
@pytest.mark.parametrize("name", EMULATED)
def test_a_hundred_real_digits_have_the_same_classes(small_sample: Path, mnist_sample: Path, name: str) -> None:
    found = emulate(ready(name), small_sample, samples=digits(mnist_sample, 100))
    assert found.same_class
    assert found.largest_relative_error < 1e-5


def test_a_model_that_does_not_fit_the_board_is_refused_with_what_it_takes(model: Path) -> None:
    target = ready("cortex-m4")
    flashless = dataclasses.replace(target, hardware=dataclasses.replace(target.hardware, flash_bytes=1024))
    with pytest.raises(EdgepruneError, match=r"does not fit cortex-m4: .* takes \d,\d+ bytes of flash .* there are 1,024 and"):
        emulate(flashless, model)
    ramless = dataclasses.replace(target, hardware=dataclasses.replace(target.hardware, ram_bytes=64))
    with pytest.raises(EdgepruneError, match=r"does not fit cortex-m4.* and 64; compress it further"):
        emulate(ramless, model)


def test_several_inputs_and_outputs_run_on_the_board(tmp_path: Path) -> None:
    nodes = (Node("s", Add(), ("x", "y")), Node("t", Activation("relu"), ("y",)))
    c.write(Graph({"x": Value((5,)), "y": Value((5,))}, ("s", "t"), nodes), tmp_path / "model.c")
    found = emulate(ready("cortex-m4"), tmp_path / "model.c")
    assert found.largest_relative_error == 0


def test_a_program_that_fails_on_the_board_is_told(model: Path) -> None:
    target = ready("cortex-m4")
    model.write_text(model.read_text().replace("    return 0;", "    return 1;"))
    with pytest.raises(EdgepruneError, match="running qemu-system-arm on this machine failed: exit status 5"):
        emulate(target, model)


def test_a_sample_of_another_shape_is_refused(model: Path) -> None:
    with pytest.raises(EdgepruneError, match=r"a sample has the shapes \(\(3,\),\); .* takes \(\(12,\),\)"):
        emulate(ready("raspberry-pi-5"), model, samples=[(np.zeros(3, np.float32),)])


def test_a_board_that_is_not_known_is_refused(model: Path) -> None:
    unknown = dataclasses.replace(load_target("cortex-m4"), emulator="mps2-an000")
    with pytest.raises(EdgepruneError, match="'mps2-an000'; the boards that are emulated: mps2-an386"):
        emulate(unknown, model)


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
    with pytest.raises(EdgepruneError, match="no qemu-system-arm on this machine; install it: apt-get install qemu-system-arm"):
        emulate("cortex-m4", model)


def test_an_emulation_goes_to_json(model: Path) -> None:
    made = Emulation("m.c", "pi", "qemu", "C", 1, 0.0, True, None, "a static qemu", 1, "2026-01-01")
    assert made.to_dict()["instructions"] is None
    assert made.to_dict()["provenance"] == "emulated"
