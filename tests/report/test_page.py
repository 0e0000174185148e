"""The HTML page: what it says, what it refuses, and how it stands in a browser."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import NAMES, Chromium, find_chromium
from click.testing import CliRunner
from documented import documented, fields_of
from example_profile import EMULATION, ESTIMATE, PROFILE
from example_report import EXAMPLE

from edgeprune.cli import main
from edgeprune.errors import EdgepruneError
from edgeprune.profiling import Accelerator, Emulation, Estimate, Profile, ToolProfile
from edgeprune.profiling.documents import Record, records_of
from edgeprune.profiling.result import OpTime
from edgeprune.report import Report
from edgeprune.report.page import Gathered, comparison_page, gather, page, write_page
from edgeprune.report.page.devices import comparison, titles
from edgeprune.report.page.layer_times import layer_times

DOCUMENT = Path(__file__).parents[2] / "docs" / "profile-schema.md"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip(f"opening the page needs a Chromium; none of {', '.join(NAMES)} is installed")
    with Chromium(program, tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What compress wrote, and profiles beside it."""
    made = tmp_path / "run"
    made.mkdir()
    EXAMPLE.save(made / "report.json")
    for name, record in (("host", PROFILE), ("pixel-8", ESTIMATE), ("raspberry-pi-5", EMULATION)):
        (made / f"profile-{name}.json").write_text(json.dumps(record.to_dict()))
    return made


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def big_run() -> Gathered:
    """600 layers, and four devices that timed 900 ops each."""
    name = "features.denseblock4.denselayer16.conv{}"
    layer = EXAMPLE.layers[0]
    layers = tuple(dataclasses.replace(layer, name=name.format(i), place={"tflite": i}) for i in range(600))
    ops = tuple(OpTime(name.format(i), "CONV_2D", 0.01 * i, 10**8, 10**6, i) for i in range(900))
    records: tuple[Record, ...] = tuple(dataclasses.replace(PROFILE, target=f"device-{i}", ops=ops) for i in range(4))
    return Gathered("big", dataclasses.replace(EXAMPLE, layers=layers), records)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", ["run", "comparison", "big"])
def test_a_page_opens_quietly_and_fits_the_screen(browser: Chromium, folder: Path, kind: str, width: int, dark: bool) -> None:
    out = folder / "report.html"
    if kind == "big":
        out.write_text(page(big_run()))
    else:
        write_page([folder, folder, folder / "profile-pixel-8.json"] if kind == "comparison" else [folder], out)
    seen = browser.open(out, width, dark=dark)
    assert seen.complaints == []
    assert seen.requests == [out.as_uri()]
    assert seen.width <= width
    assert seen.height > 1000
    assert out.stat().st_size < MEGABYTE
    ink, paper = (sum(map(int, re.findall(r"\d+", colour))) for colour in seen.ink)
    assert (ink > paper) == dark


def test_the_browser_sees_what_a_page_fetches_and_complains_of(browser: Chromium, tmp_path: Path) -> None:
    loud = tmp_path / "loud.html"
    loud.write_text("<img src='file:///nowhere.png'><script>console.error('no'); throw 1</script><p style='width:900px'>.")
    seen = browser.open(loud, 390)
    assert len(seen.requests) == 2
    assert len(seen.complaints) >= 2
    assert seen.width > 390


def test_a_name_that_is_markup_is_shown_and_does_nothing(browser: Chromium, tmp_path: Path) -> None:
    bad = "<script>console.error(1)</script><img src='http://127.0.0.1:9/x'>\" onload=\"x"
    layer = dataclasses.replace(EXAMPLE.layers[0], name=bad)
    report = dataclasses.replace(EXAMPLE, layers=(layer,), warnings=(bad,), command=("compress", bad), settings={bad: bad})
    op = dataclasses.replace(PROFILE.ops[0], name=bad, kind=bad)
    out = tmp_path / "report.html"
    out.write_text(page(Gathered(bad, report, (dataclasses.replace(PROFILE, path=bad, target=bad, ops=(op,)),))))
    assert "<script" not in out.read_text()
    seen = browser.open(out, 1280)
    assert seen.complaints == []
    assert len(seen.requests) == 1


@pytest.mark.parametrize(
    "part",
    [
        "1,028× fewer weights", "80.34 %", "was 98.12 %", "3,412 B", "9.10×", "fc1", "24×784", "tflite csr, onnx coo", "gone",
        "round 2: 80.34 % at 1,028×", "edgeprune compress lenet.pt --ratio 1024", "python 3.11.7", "onnx was not measured",
        "not verified", "measured", "estimated", "emulated", "5 ms to 45 ms", "same class as here", "1.20 M",
        "FULLY_CONNECTED",
    ],
)  # fmt: skip
def test_the_page_says(folder: Path, part: str) -> None:
    assert part in text_of(page(gather(folder)))


def test_the_page_is_the_same_bytes_every_time(folder: Path) -> None:
    assert page(gather(folder)) == page(gather(folder))


def test_a_report_without_rounds_data_or_measurements_makes_a_page() -> None:
    bare = dataclasses.replace(
        EXAMPLE, rounds=(), dense=(), settings={}, device={}, warnings=(), artifacts=EXAMPLE.artifacts[1:],
        accuracy=dataclasses.replace(EXAMPLE.accuracy, before=None, after=None, samples=None),
    )  # fmt: skip
    text = text_of(page(Gathered("bare", bare)))
    assert "Accuracy over ratio" not in text
    assert "Devices" not in text


def test_profiles_alone_make_a_page(folder: Path) -> None:
    assert "Profile of profile-host" in page(gather(folder / "profile-host.json"))


def test_runs_of_the_same_name_are_told_apart(folder: Path) -> None:
    text = text_of(comparison_page([gather(folder), gather(folder)]))
    assert "run (1)" in text
    assert "run (2)" in text


def test_profiles_that_would_be_called_the_same_are_told_apart_by_their_folders_and_accelerators() -> None:
    used = Accelerator("gpu", "llvmpipe", "float16", 1e-3, software=True)
    other, on_gpu = dataclasses.replace(PROFILE, path="dense/model.tflite"), dataclasses.replace(PROFILE, accelerator=used)
    assert titles([PROFILE, other, on_gpu]) == [
        "host: out/model.tflite", "host: dense/model.tflite", "host gpu: model.tflite"
    ]  # fmt: skip
    assert "llvmpipe (software), float16, 1.0e-03 off the CPU" in comparison([on_gpu])


def test_an_estimate_tells_its_band_and_an_emulation_no_time(folder: Path) -> None:
    emulated = text_of(page(Gathered("e", None, (EMULATION,))))
    assert " ms" not in emulated.replace("an emulator tells no time", "")
    assert "µs" not in emulated


def timed(**changes: object) -> dict[str, tuple[str, object]]:
    return dict(layer_times(EXAMPLE, [dataclasses.replace(PROFILE, **changes)]))  # type: ignore[arg-type]


def test_layers_are_timed_by_a_profile_of_that_very_file() -> None:
    assert timed() == {"tflite": ("by the LiteRT profiler", {"fc1": 0.002, "fc2": 0.001})}
    assert timed(bytes=PROFILE.bytes + 1) == {}
    assert timed(path="other.tflite") == {}


def test_layers_are_not_timed_where_ops_and_layers_do_not_match_one_to_one() -> None:
    assert timed(ops=PROFILE.ops[:1]) == {}


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "cannot read"),
        ("{", "is not JSON"),
        ("[]", "holds no profile"),
        ('{"provenance": "guessed"}', "provenance is 'guessed'"),
        (json.dumps(PROFILE.to_dict() | {"schema_version": 1}), "schema_version is 1"),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path: Path, content: str | None, part: str) -> None:
    path = tmp_path / "profile.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(EdgepruneError, match=part) as caught:
        gather(path)
    assert "profile.json" in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgepruneError, match=r"holds neither report\.json nor profile"):
        gather(tmp_path)


@pytest.mark.parametrize("record", [PROFILE, ESTIMATE, EMULATION], ids=["measured", "estimated", "emulated"])
def test_a_record_comes_back_from_json(record: Record) -> None:
    assert records_of(json.loads(json.dumps(record.to_dict()))) == (record,)


def test_the_document_lists_exactly_the_fields_of_a_profile(tmp_path: Path) -> None:
    parts = re.split(r"^## (\w+)$", DOCUMENT.read_text(), flags=re.MULTILINE)
    for name, record in (("measured", Profile), ("program", ToolProfile), ("estimated", Estimate), ("emulated", Emulation)):
        part = tmp_path / name
        part.write_text(parts[parts.index(name) + 1])
        assert documented(part) == fields_of(record), name


def test_the_command_writes_the_page_and_says_its_size(folder: Path) -> None:
    out = folder / "page.html"
    result = CliRunner().invoke(main, ["report", str(folder), "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert f"{out.stat().st_size:,} bytes" in result.stdout
    assert Report.load(folder / "report.json") == EXAMPLE
    several = CliRunner().invoke(main, ["report", "--compare", str(folder), str(folder), "-o", str(out)])
    assert several.exit_code == 0
    assert "2 side by side" in out.read_text()


def test_the_command_refuses_what_is_no_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(tmp_path / "nowhere"), "-o", str(tmp_path / "out.html")])
    assert result.exit_code == 2
    assert "cannot read" in result.stderr
    assert not (tmp_path / "out.html").exists()
