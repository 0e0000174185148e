"""What a run tells its user.

schema.py    report.json, field by field
entries.py   its entries, from what was verified and measured
terminal.py  its tables
progress.py  the run while it runs
everywhere.py  its artifacts on devices; page/ is the HTML
contents.py  what a file holds
measurements.py  profiles
words.py     numbers as a person reads them
"""

from __future__ import annotations

from .contents import Inspection, Stored, print_inspection
from .entries import artifact_entry, dense_entry, gzip_bytes, parity_entry, versions
from .measurements import print_comparison, print_profile
from .progress import show_progress
from .schema import (
    Accuracy,
    Artifact,
    Dense,
    Latency,
    Layer,
    MultiplyAdds,
    Parameters,
    Parity,
    Ratio,
    Report,
    Round,
    Speedup,
    Weights,
)
from .terminal import show, to_text

__all__ = [
    "Accuracy", "Artifact", "Dense", "Inspection", "Latency", "Layer", "MultiplyAdds", "Parameters", "Parity", "Ratio", "Report",
    "Round", "Speedup", "Stored", "Weights", "artifact_entry", "dense_entry", "gzip_bytes", "parity_entry", "print_comparison",
    "print_inspection", "print_profile", "show", "show_progress", "to_text", "versions",
]  # fmt: skip
