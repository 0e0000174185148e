"""Real artifacts profiled on a device: here one that a real ssh or adb reaches on this machine's loopback."""

from __future__ import annotations

import itertools
import shutil
import stat
import sys
import threading
import time
from pathlib import Path

import daemons
import numpy as np
import pytest
from sketch_graph import small_network

from edgeprune.errors import EdgepruneError
from edgeprune.formats import c
from edgeprune.profiling import load_target, native, profile_on
from edgeprune.profiling.native import processor_of, read_model
from edgeprune.profiling.remote import check_processor
from edgeprune.profiling.result import Profile
from edgeprune.profiling.transport import Local, folder_on

QUICK = {"runs": 20, "min_seconds": 0.02, "warmup": 1}
here = pytest.mark.skipif(shutil.which("cc") is None, reason="building a C model needs a C compiler")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    c.write(small_network(), tmp_path / "model.c")
    return tmp_path / "model.c"


def whole(found: Profile) -> None:
    t = found.latency_ms
    assert found.provenance == "measured"
    assert t.n >= 20
    assert 0 < t.min <= t.p50 <= t.p90 <= t.p99 <= t.max
    assert found.first_run_ms > 0
    assert found.device.cores >= 1
    assert found.device.machine
    assert Profile.from_dict(found.to_dict()) == found


@here
def test_a_c_model_is_profiled_on_this_machine(model: Path) -> None:
    found = profile_on("host", model, **QUICK)
    whole(found)
    assert found.target == "host"
    assert found.reached == "this machine"
    assert found.runtime.startswith("C (edgeprune ")


@here
def test_a_c_model_is_profiled_over_ssh_and_nothing_is_left(model: Path, ssh_host: str, tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    found = profile_on("x86-64", model, host=ssh_host, workdir=str(tmp_path / "device"), **QUICK)
    whole(found)
    assert (found.target, found.reached) == ("x86-64", "127.0.0.1 over ssh")
    assert list((tmp_path / "device").iterdir()) == []


@here
def test_a_c_model_is_profiled_over_adb_and_nothing_is_left(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("device", "daemon"):
        (tmp_path / name).mkdir()
    target = daemons.android_like(tmp_path)
    with daemons.adbd(tmp_path / "daemon", monkeypatch.setenv) as (_, serial):
        found = profile_on(target, model, host=serial, workdir=str(tmp_path / "device"), **QUICK)
    whole(found)
    assert (found.target, found.reached) == ("phone", f"{serial} over adb")
    assert list((tmp_path / "device").iterdir()) == []


def test_an_onnx_file_is_profiled_over_ssh_in_a_python_there(make_onnx: object, ssh_host: str, tmp_path: Path) -> None:
    path = make_onnx(32, 16)  # type: ignore[operator]
    (tmp_path / "device").mkdir()
    found = profile_on("x86-64", path, host=ssh_host, workdir=str(tmp_path / "device"), python=sys.executable, **QUICK, ops=True)
    whole(found)
    assert [op.multiply_adds for op in found.ops if op.weight is not None] == [32 * 16], found.ops_by
    assert found.runtime.startswith("onnxruntime ")
    assert found.memory is not None
    assert list((tmp_path / "device").iterdir()) == []


def test_a_python_that_is_not_there_is_told(make_onnx: object, ssh_host: str) -> None:
    with pytest.raises(EdgepruneError, match=r"running .*nopython.* is not there") as caught:
        profile_on("x86-64", make_onnx(8, 4), host=ssh_host, python="/nopython", **QUICK)  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_a_runtime_that_is_not_there_is_told(make_onnx: object, ssh_host: str, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(bare.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(EdgepruneError, match="has no onnxruntime; install it there with pip"):
        profile_on("x86-64", make_onnx(8, 4), host=ssh_host, python=str(bare), **QUICK)  # type: ignore[operator]


@here
def test_a_connection_lost_in_mid_run_is_told_and_nothing_is_left(
    model: Path, ssh_daemon: daemons.Daemon, tmp_path: Path
) -> None:
    device = tmp_path / "device"
    device.mkdir()

    def cut() -> None:
        end = time.monotonic() + 20
        while not list(device.glob("*/outputs")) and time.monotonic() < end:
            time.sleep(0.02)
        ssh_daemon.cut()

    cutting = threading.Thread(target=cut)
    cutting.start()
    start = time.monotonic()
    # On a busy machine the cut may come while the last files are still on their way.
    lost = r"the connection to 127\.0\.0\.1 over ssh was lost while (running timer|copying inputs)"
    with pytest.raises(EdgepruneError, match=lost) as caught:
        profile_on("x86-64", model, host="127.0.0.1", workdir=str(device), min_seconds=30)
    cutting.join()
    assert time.monotonic() - start < 25
    assert "\n" not in str(caught.value)
    end = time.monotonic() + 5
    while list(device.iterdir()) and time.monotonic() < end:
        time.sleep(0.05)
    assert list(device.iterdir()) == []


def test_a_run_that_hangs_is_ended_within_the_limit_and_nothing_is_left(make_onnx: object, ssh_host: str, tmp_path: Path) -> None:
    device, stuck = tmp_path / "device", tmp_path / "stuck"
    device.mkdir()
    stuck.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 60\n")
    stuck.chmod(0o755)
    start = time.monotonic()
    with pytest.raises(EdgepruneError, match=r"profiling .* took longer than .* s; allow more time"):
        profile_on("x86-64", make_onnx(8, 4), host=ssh_host, workdir=str(device), python=str(stuck), timeout=20)  # type: ignore[operator]
    assert time.monotonic() - start < 40
    assert list(device.iterdir()) == []
    # It was killed before the folder went; its parent may take a moment to collect it.
    running, end = Path("/proc", (tmp_path / "pid").read_text().strip()), time.monotonic() + 5
    while running.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not running.exists()


@here
def test_the_program_computes_what_the_graph_does(model: Path, tmp_path: Path) -> None:
    from edgeprune.profiling.native import build_timer

    found = read_model(model)
    build_timer(found, load_target("host").hardware.isa, (), tmp_path / "timer")
    given = found.random_inputs(0)
    (tmp_path / "inputs").write_bytes(b"".join(a.tobytes() for a in given))
    with folder_on(Local(), 30) as folder:
        program = folder.put(tmp_path / "timer", "timer", executable=True)
        folder.run([program, folder.put(tmp_path / "inputs", "inputs"), folder.at("outputs"), "1"])
        made = found.split(folder.get("outputs"))
    expected = small_network().run(*(a[None] for a in given))
    np.testing.assert_allclose(
        made[0], expected[0][0] if isinstance(expected, (list, tuple)) else expected[0], rtol=1e-4, atol=1e-6
    )


def test_another_processor_than_the_target_says_is_refused_before_anything_is_sent() -> None:
    target = load_target("raspberry-pi-5" if load_target("host").hardware.isa != "aarch64" else "x86-64")
    with folder_on(Local(), 30) as folder:
        with pytest.raises(EdgepruneError, match=rf"this machine is .*, but {target.name} is .*; choose the target"):
            check_processor(target, folder)
        assert folder.shell(f"ls {folder.path}").out == b""


@here
def test_a_built_program_says_which_processor_it_is_for(model: Path, tmp_path: Path) -> None:
    from edgeprune.profiling.native import build_timer

    isa = load_target("host").hardware.isa
    build_timer(read_model(model), isa, (), tmp_path / "timer")
    assert processor_of(tmp_path / "timer") == isa
    assert processor_of(model) is None


@pytest.mark.parametrize(
    ("target", "name", "arguments", "message"),
    [
        ("raspberry-pi-5", "model.c", {}, r"raspberry-pi-5 is reached over ssh: say where it is with --host"),
        ("iphone-15", "model.c", {}, r"nothing can be measured on iphone-15: .*estimates only"),
        ("cortex-m4", "model.c", {}, r"nothing can be measured on cortex-m4"),
        ("cortex-m4", "model.tflite", {}, r"Cortex-M4 board .* takes \.c files"),
        ("raspberry-pi-5", "model.c", {"host": "-oProxyCommand=true"}, r"is no ssh destination"),
        ("host", "model.c", {"threads": 2}, r"a C model runs on one thread"),
        ("pixle-8", "model.c", {}, r"did you mean pixel-8"),
        ("host", "absent.c", {}, r"absent\.c does not exist"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    tmp_path: Path, target: str, name: str, arguments: dict[str, object], message: str
) -> None:
    if name != "absent.c":
        (tmp_path / name).write_text("")
    with pytest.raises(EdgepruneError, match=message):
        profile_on(target, tmp_path / name, **arguments)  # type: ignore[arg-type]


def test_without_adb_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "model.c").write_text("")
    with pytest.raises(EdgepruneError, match=r"there is no adb on this machine; install it"):
        profile_on("pixel-8", tmp_path / "model.c")


@here
def test_a_c_model_tells_the_energy_that_was_counted_while_it_was_timed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = tmp_path / "rapl:0"
    counter.write_text("1000\n")
    real = native.compile_c

    def counting(command: list[str], sources: list[Path], out: Path, flags: tuple[str, ...]) -> None:
        real(command, sources, out, (*flags, f'-DEP_COUNTERS="{tmp_path}/rapl:%d"'))

    monkeypatch.setattr(native, "compile_c", counting)
    stop = threading.Event()

    def tick() -> None:
        for count in itertools.count(1, 1000):
            (tmp_path / "next").write_text(f"{1000 + count}\n")
            (tmp_path / "next").replace(counter)
            if stop.wait(0.001):
                return

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        found = profile_on("host", model, runs=20, min_seconds=0.3, warmup=1)
    finally:
        stop.set()
        ticking.join()
    assert found.energy_mj is not None
    # A microjoule a microsecond or less, because the ticks come late.
    assert 0 < found.energy_mj < 3 * found.latency_ms.mean
