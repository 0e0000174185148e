from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from documented import documented, fields_of
from example_report import EXAMPLE

from edgeprune.errors import EdgepruneError
from edgeprune.parity import Pair
from edgeprune.parity import Parity as Measured
from edgeprune.report import Artifact, Parity, Report, artifact_entry, dense_entry, parity_entry, versions
from edgeprune.report.schema import SCHEMA_VERSION

DOCUMENT = Path(__file__).parents[2] / "docs" / "report-schema.md"


def test_the_document_lists_exactly_the_fields_there_are() -> None:
    # A fraction is a number that is checked further.
    said = {path: kind.replace("fraction", "number") for path, kind in documented(DOCUMENT).items()}
    assert said == fields_of(Report)


def values_at(plain: Any, path: str) -> list[Any]:
    """Every value there is at such a path."""
    if not path:
        return [plain]
    head, _, rest = path.partition(".")
    if plain is None:
        return []
    if head.endswith("[]"):
        return [value for each in plain[head[:-2]] for value in values_at(each, rest)]
    return values_at(plain[head], rest)


@pytest.mark.parametrize("path", documented(DOCUMENT))
def test_every_documented_field_is_in_a_report(path: str) -> None:
    assert [value for value in values_at(json.loads(json.dumps(EXAMPLE.to_dict())), path) if value is not None]


@pytest.mark.parametrize("path", [path for path, kind in documented(DOCUMENT).items() if "fraction" in kind])
@pytest.mark.parametrize("value", [-0.01, 1.01, 98.12])
def test_a_fraction_is_between_0_and_1(path: str, value: float) -> None:
    plain = json.loads(json.dumps(EXAMPLE.to_dict()))
    *way, last = path.split(".")
    at = plain
    for step in way:
        at = at[step[:-2]][0] if step.endswith("[]") else at[step]
    at[last] = value
    with pytest.raises(EdgepruneError, match=rf"{last} is {value}, which is no fraction"):
        Report.from_dict(plain)


def test_a_report_is_saved_and_read_back(tmp_path: Path) -> None:
    EXAMPLE.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == EXAMPLE
    assert json.loads((tmp_path / "report.json").read_text())["schema_version"] == SCHEMA_VERSION


def test_the_version_comes_first_in_the_file(tmp_path: Path) -> None:
    EXAMPLE.save(tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text().startswith('{\n  "schema_version": 2,')


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"schema_version": 1}, ["schema_version is 1", "reads version 2"]),
        ({"weights": {"total": 10, "kept": 11, "alive": 3}}, ["report.weights", "kept is 11 of 10 total"]),
        ({"weights": {"total": 10, "kept": 5, "alive": 6}}, ["alive is 6 of 5 kept"]),
        ({"seed": "0"}, ["report.seed is '0', not a whole number"]),
        ({"artifacts": [{"path": "x"}]}, ["report.artifacts[0] lacks the field 'format'"]),
        ({"note": 1}, ["unknown field 'note'"]),
    ],
)
def test_what_is_no_report_is_refused_with_its_place(change: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(EdgepruneError) as caught:
        Report.from_dict(EXAMPLE.to_dict() | change)
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize(("content", "part"), [(None, "cannot read"), (b"{", "is not JSON"), (b"[]", "not an object")])
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, content: bytes | None, part: str) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EdgepruneError, match=part):
        Report.load(path)


def a_parity(error: float) -> Measured:
    pair = Pair("artifact vs graph", error, None, 0, 10, 1, 0, 0, 4)
    return Measured(10, 1e-5, (pair, dataclasses.replace(pair, disagreements=0, max_relative_error=0.0)), 1e-8)


def test_entries_hold_what_was_verified_and_the_sizes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"a" * 1000)
    entry = artifact_entry(path, parity=a_parity(3e-7))
    assert entry == Artifact("model.tflite", "tflite", 1000, entry.gzip_bytes, Parity(3e-7, 0.9, 10, 1e-5))
    assert entry.gzip_bytes < 50
    assert dense_entry(path, 77).multiply_adds == 77


def test_an_infinite_error_has_no_place_in_a_report() -> None:
    with pytest.raises(ValueError, match="not finite"):
        parity_entry(a_parity(float("inf")))


def test_versions_name_this_package_and_python() -> None:
    assert {"edgeprune", "python", "numpy"} <= set(versions())
