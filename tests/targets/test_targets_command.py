"""What `edgeprune targets` and `edgeprune profile --target` say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sketch_graph import small_network

from edgeprune.cli import main
from edgeprune.formats import c
from edgeprune.profiling import load_target
from edgeprune.profiling.reachable import _named, all_targets
from edgeprune.profiling.targets import names


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.fixture
def fake_adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An adb that sees what the file beside it says."""
    (tmp_path / "adb").write_text('#!/bin/sh\ncat "$0.says"\n')
    (tmp_path / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    says = tmp_path / "adb.says"
    says.write_text("List of devices attached\n\n")
    return says


def test_every_target_is_listed_and_this_machine_is_first_to_be_reached(fake_adb: Path) -> None:
    done = run("targets")
    assert done.exit_code == 0, done.output
    for name in names():
        assert f" {name} " in done.output
    found = {each.target.name: each for each in all_targets()}
    assert found["host"].reachable
    assert found["host"].now == "this machine"
    assert not found["cortex-m4"].reachable
    assert "--host" in found["raspberry-pi-5"].now


def test_a_phone_that_adb_sees_is_reachable_by_its_model(fake_adb: Path) -> None:
    fake_adb.write_text(
        "List of devices attached\n"
        "3A151 device usb:1-1 product:shiba model:Pixel_8 device:shiba transport_id:1\n"
        "4B262 unauthorized usb:1-2 transport_id:2\n\n"
    )
    found = {each.target.name: each for each in all_targets()}
    assert found["pixel-8"].reachable
    assert found["pixel-8"].now == "adb: 3A151 (Pixel_8)"
    assert not found["pixel-9"].reachable
    assert "4B262 is unauthorized" in found["pixel-9"].now


@pytest.mark.parametrize(("model", "fits"), [("Pixel_8", True), ("pixel 8", True), ("Pixel_8_Pro", False), ("", False)])
def test_a_phone_is_told_by_what_it_calls_itself(model: str, fits: bool) -> None:
    assert _named(load_target("pixel-8"), model) is fits


def test_targets_as_json_hold_every_figure(fake_adb: Path) -> None:
    found = json.loads(run("targets", "--json").output)
    pi = next(each["target"] for each in found if each["target"]["name"] == "raspberry-pi-5")
    assert pi["hardware"]["cores"][0]["name"] == "Cortex-A76"
    assert pi["sources"]["cores"]["how"] == "measured"


@pytest.mark.parametrize(
    ("says", "parts"),
    [
        ("", ["adb sees no device", "USB debugging"]),
        ("4B262 unauthorized usb:1-2\n", ["4B262 is unauthorized", "allow USB debugging"]),
        ("4B262 offline usb:1-2\n", ["4B262 is offline", "adb reconnect"]),
        ("4B262 no permissions (missing udev rules?)\n", ["4B262 is no permissions", "udev"]),
        ("A1 device\nB2 device\n", ["adb sees 2 devices", "--host: A1, B2"]),
    ],
)
def test_a_phone_that_cannot_be_used_is_one_line(fake_adb: Path, tmp_path: Path, says: str, parts: list[str]) -> None:
    fake_adb.write_text(f"List of devices attached\n{says}\n")
    c.write(small_network(), tmp_path / "model.c")
    done = run("profile", str(tmp_path / "model.c"), "--target", "pixel-8")
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    for part in parts:
        assert part in done.stderr


def test_a_c_model_is_profiled_on_the_host_by_its_name(tmp_path: Path) -> None:
    c.write(small_network(), tmp_path / "model.c")
    done = run("profile", str(tmp_path / "model.c"), "--target", "host", "--runs", "5", "--min-seconds", "0.02", "--warmup", "1")
    assert done.exit_code == 0, done.output
    assert "measured on host, this machine" in done.output
    assert "C (edgeprune" in done.output


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--host", "pi@pi.local"], "name it with --target"),
        (["--target", "host", "--compare", "other.c"], "--compare measures on this machine"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, words: list[str], part: str) -> None:
    done = run("profile", str(tmp_path / "model.c"), *words)
    assert done.exit_code == 2
    assert part in done.output + done.stderr


def test_an_emulator_is_told_of_where_it_is_installed_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def emulated() -> set[str]:
        return {each.target.name for each in all_targets() if "--emulate" in each.now}

    monkeypatch.setenv("PATH", str(tmp_path))
    assert emulated() == set()
    for program in ("qemu-aarch64", "qemu-system-arm"):
        (tmp_path / program).write_text("")
        (tmp_path / program).chmod(0o755)
    found = emulated()
    assert {"raspberry-pi-5", "pixel-8"} <= found
    # A board takes its compiler as well, and 32-bit Arm another emulator.
    assert not {"cortex-m4", "raspberry-pi-2", "iphone-15"} & found
