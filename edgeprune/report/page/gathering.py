"""What a page is made of: report.json and profiles, as they lie in a folder or in single files."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ...errors import EdgepruneError
from ...profiling.documents import Record, records_of
from ..schema import Report


@dataclass(frozen=True)
class Gathered:
    """One run, or measurements alone. `name` is what a comparison calls it."""

    name: str
    report: Report | None
    records: tuple[Record, ...] = ()


def gather(source: str | os.PathLike[str]) -> Gathered:
    """The report.json and all profile*.json of a folder, or one such file. Raises EdgepruneError when it is neither."""
    path = Path(source)
    if path.is_dir():
        files = [path / "report.json", *sorted(path.glob("profile*.json"))]
        found = [_read(file) for file in files if file.is_file()]
        if not found:
            raise EdgepruneError(f"{path} holds neither report.json nor profile*.json; give the folder that compress wrote")
        reports = [each for each in found if isinstance(each, Report)]
        records = tuple(record for each in found if isinstance(each, tuple) for record in each)
        return Gathered(path.resolve().name, reports[0] if reports else None, records)
    content = _read(path)
    if isinstance(content, Report):
        return Gathered(path.resolve().parent.name, content)
    return Gathered(path.stem, None, content)


def _read(path: Path) -> Report | tuple[Record, ...]:
    try:
        plain = json.loads(path.read_bytes())
    except OSError as error:
        raise EdgepruneError(f"cannot read {path}: {error.strerror or error}; give a folder, report.json or profile") from None
    except ValueError as error:
        raise EdgepruneError(f"{path} is not JSON: {error}; give a folder, a report.json or a profile") from None
    try:
        return Report.from_dict(plain) if isinstance(plain, dict) and "weights" in plain else records_of(plain)
    except EdgepruneError as error:
        raise EdgepruneError(f"{path}: {error}") from None
