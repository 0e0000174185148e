"""profile.json read back: what was measured, emulated or estimated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import EdgepruneError
from .emulation import Emulation
from .estimate import Estimate
from .records import from_plain
from .result import SCHEMA_VERSION, Profile
from .tool_result import ToolProfile

Record = Profile | Estimate | Emulation | ToolProfile


def records_of(plain: Any) -> tuple[Record, ...]:
    """The records that `to_dict` made `plain` of; several of a comparison. Raises EdgepruneError for anything else."""
    if not isinstance(plain, Mapping):
        raise EdgepruneError("it holds no profile; write one with: edgeprune profile ARTIFACT -o profile.json")
    if "profiles" in plain:
        return tuple(record for each in plain["profiles"] for record in records_of(each))
    kind = plain.get("provenance")
    if kind not in ("measured", "estimated", "emulated"):
        raise EdgepruneError(f"its provenance is {kind!r}; a profile is measured, emulated or estimated")
    if plain.get("schema_version") != SCHEMA_VERSION:
        found = plain.get("schema_version", "none")
        raise EdgepruneError(f"profile.schema_version is {found}; this edgeprune reads {SCHEMA_VERSION}: profile it again")
    if kind == "measured":
        return (ToolProfile.from_dict(plain) if "tool" in plain else Profile.from_dict(plain),)
    return (from_plain(Estimate, plain, "estimate") if kind == "estimated" else from_plain(Emulation, plain, "emulation"),)
