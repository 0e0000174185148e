"""The smaller verbs: verify an artifact against a checkpoint, look into a file, profile a run's artifacts on devices."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import formats
from .files import write_atomic
from .inspection import Inspection, inspect_artifact, inspect_graph
from .parity import TOLERANCE, Parity
from .parity import verify as compare_outputs
from .profiling.wherever import Wanted, best_profile
from .report import Report
from .report.page import write_page
from .sources import Source, outputs_of

log = logging.getLogger("edgeprune")


def verify(
    artifact: str | os.PathLike[str], checkpoint: str | os.PathLike[str], *, samples: int | None = None,
    tolerance: float = TOLERANCE, **source: Any,
) -> dict[str, Parity]:  # fmt: skip
    """How far `artifact`, in its real runtime, agrees with the network in `checkpoint`, by kind of input: "real" and "random".

    `samples` test inputs are compared (by default as many as are quick); `source` holds further fields of
    `edgeprune.sources.Source` (data, model, ...). `.check()` of a result raises CheckFailed when it is beyond `tolerance`.
    """
    return verify_source(artifact, Source(checkpoint, **source), samples=samples, tolerance=tolerance)


def verify_source(
    artifact: str | os.PathLike[str], source: Source, *, samples: int | None = None, tolerance: float = TOLERANCE
) -> dict[str, Parity]:
    """`verify` for a Source."""
    runner = formats.load(Path(artifact))
    opened = source.open()
    graph = opened.graph()
    inputs = opened.inputs(graph, samples)
    return {
        kind: compare_outputs(runner, graph, arrays, reference=outputs_of(opened.loaded.module, arrays), tolerance=tolerance)
        for kind, arrays in inputs.items()
    }


def inspect_file(source: Source) -> Inspection:
    """What `source.path` holds, layer by layer: an artifact as it is stored, a checkpoint as the network it builds."""
    path = Path(source.path)
    # A .pt2 is an artifact and a checkpoint; its network says more than its tensors.
    if path.suffix.lower() in formats.FORMATS and path.suffix.lower() != ".pt2":
        return inspect_artifact(path)
    opened = source.open(with_data=False)
    return inspect_graph(opened.graph(), path, bytes=path.stat().st_size)


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
