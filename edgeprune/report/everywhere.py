"""A run's artifacts profiled on devices, and the page of all."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from ..files import write_atomic
from ..profiling.wherever import Wanted, best_profile
from .page import write_page
from .schema import Report

log = logging.getLogger("edgeprune")


def profile_everywhere(folder: Path, report: Report, devices: Sequence[Wanted]) -> list[Path]:
    """Profiles every artifact of the run in `folder` on each device that takes it; writes profiles and report.html beside them.

    A device that cannot be reached is emulated or estimated, with a warning that says why.
    """
    written = []
    for wanted in devices:
        for artifact in report.artifacts:
            if artifact.format not in wanted.target.formats:
                continue
            record, reasons = best_profile(wanted, folder / artifact.path, ops=True)
            what = "nothing is known" if record is None else f"the figure is {record.provenance}"
            for reason in reasons:
                log.warning("%s on %s was not measured, %s: %s", artifact.path, wanted.target.name, what, reason)
            if record is not None:
                path = folder / f"profile-{wanted.target.name}-{artifact.format}.json"
                write_atomic(path, (json.dumps(record.to_dict(), indent=1) + "\n").encode())
                written.append(path)
    page = folder / "report.html"
    write_page([folder], page)
    return [*written, page]
