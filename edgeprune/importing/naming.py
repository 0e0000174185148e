"""The user's layers, as far as the names of a file tell."""

from __future__ import annotations

import re
from collections.abc import Container

from .reading import Call


def source_of(call: Call, constants: Container[str]) -> str:
    """The layer that a node comes from, "layer1.0.conv2"; empty where nothing says it."""
    for name in call.inputs:
        match = re.fullmatch(r"(.*[^./])[./](weight|kernel|gamma)", name)
        if match and name in constants:
            return clean(match[1])
    scopes: list[str] = []
    for part in call.name.strip("/").split("/")[:-1]:
        # PyTorch repeats the way to a member of a list: "layer1/layer1.0".
        if scopes and part.startswith(f"{scopes[-1]}."):
            scopes[-1] = part
        else:
            scopes.append(part)
    return clean(".".join(scopes))


def clean(name: str) -> str:
    """A name of the file as one that a layer may have: "a/b::c" as "a.b.c"."""
    parts = re.split(r"[./:\\]+", name)
    return ".".join(re.sub(r"[^\w-]", "_", part) for part in parts if part)
