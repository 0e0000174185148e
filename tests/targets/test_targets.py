"""The shipped devices are whole, and what is wrong with a user's own is said by field."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeprune.errors import EdgepruneError
from edgeprune.profiling.targets import LIMITS, SHARES, folder, load_target, names

OWN = folder() / "raspberry-pi-5" / "target.toml"

DEVICES = [
    "host",
    "x86-64",
    "x86-64-avx2",
    "x86-64-avx512",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "pixel-8",
    "pixel-9",
    "galaxy-s24",
    "iphone-15",
    "iphone-16",
    "jetson-orin-nano",
    "h100",
    "h200",
    "raspberry-pi-2",
    "visionfive-2",
    "cortex-m4",
    "cortex-m7",
    "wasm",
]


@pytest.mark.parametrize("name", DEVICES)
def test_a_shipped_device_is_whole(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.peak_gflops(1) > 0
    assert target.needs


def test_every_folder_is_listed() -> None:
    assert names() == sorted(DEVICES)


def own(tmp_path: Path, text: str, name: str = "raspberry-pi-5") -> Path:
    path = tmp_path / name / "target.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_a_folder_of_ones_own_works_by_path(tmp_path: Path) -> None:
    path = own(tmp_path, OWN.read_text().replace("2.4", "2.6").replace("raspberry-pi-5", "my-board"), "my-board")
    assert load_target(path.parent).hardware.cores[0].ghz == 2.6
    assert load_target(path) == load_target(path.parent)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("pixel8", "pixel-8"), ("raspberry-pi5", "raspberry-pi-5"), ("Galaxy-S24", "galaxy-s24"), ("cortex-m3", "cortex-m")],
)
def test_an_unknown_target_suggests_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(EdgepruneError, match=f"no target '{wrong}'; did you mean {nearest}"):
        load_target(wrong)


def test_a_name_like_none_lists_them_all() -> None:
    with pytest.raises(EdgepruneError, match=r"no target 'zzz'; there are: cortex-m4, .*wasm"):
        load_target("zzz")


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ("ghz = 2.4", "", ["hardware.cores[0]", "lacks the field 'ghz'"]),
        ("ghz = 2.4", "ghz = 2400", ["hardware.cores[0].ghz is 2,400", "absurd", "between 0.001 and 8"]),
        ("ghz = 2.4", "ghz = nan", ["hardware.cores[0].ghz is nan"]),
        ("ghz = 2.4", 'ghz = "2.4"', ["hardware.cores[0].ghz is '2.4'", "not a finite number"]),
        ("ghz = 2.4", "ghz = 2.4\nmhz = 1", ["hardware.cores[0]", "unknown field 'mhz'"]),
        ("count = 4", "count = 0", ["hardware.cores[0].count is 0", "absurd"]),
        ("ram_bytes = 8_000_000_000", "ram_bytes = 8", ["hardware.ram_bytes is 8", "absurd"]),
        ("memory_gbs = 17.1", "memory_gbs = -17.1", ["hardware.memory_gbs is -17.1", "absurd"]),
        ('isa = "aarch64"', 'isa = "arm64"', ["hardware.isa is 'arm64'", "aarch64"]),
        ('kind = "board"', 'kind = "boat"', ["kind is 'boat'", "board"]),
        ('"ssh"', '"telnet"', ["transports is 'telnet'", "adb"]),
        ("conv = 0.55", "conv = 55", ["costs.litert.conv is 55", "absurd"]),
        ("[costs.c]", "[costs.tvm]", ["costs is 'tvm'", "onnxruntime"]),
        ("memory_gbs = {", "storage_gbs = {", ["sources lacks 'memory_gbs'"]),
        ('how = "derived"', 'how = "guessed"', ["sources.memory_gbs.how is 'guessed'", "unchecked"]),
        ("[hardware]", "[hardware", ["is not TOML"]),
        ('name = "raspberry-pi-5"', 'name = "pi"', ["name is 'pi'", "its folder is called 'raspberry-pi-5'"]),
    ],
)
def test_a_missing_or_absurd_field_is_named(tmp_path: Path, before: str, after: str, parts: list[str]) -> None:
    text = OWN.read_text()
    assert before in text
    path = own(tmp_path, text.replace(before, after, 1))
    with pytest.raises(EdgepruneError) as caught:
        load_target(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in [*parts, str(path)]:
        assert part in message


@pytest.mark.parametrize("line", [line for line in OWN.read_text().splitlines() if re.match(r"\w+ = [\d.]", line)])
def test_every_number_of_a_target_has_limits(line: str) -> None:
    name = line.split(" = ")[0]
    assert name in LIMITS or name in SHARES


def test_a_folder_without_a_file_is_told() -> None:
    with pytest.raises(EdgepruneError, match=r"cannot read /nonexistent/target.toml: No such file"):
        load_target("/nonexistent")
