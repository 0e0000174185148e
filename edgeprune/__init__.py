"""edgeprune: extreme compression of PyTorch networks for edge devices.

A checkpoint goes in; a pruned network comes out with every kept weight alive, its dead channels gone and the function
unchanged, written for TFLite and ONNX and checked there. The whole job:

    import edgeprune
    report = edgeprune.compress("ckpt.pt", ratio=1024, targets=["tflite"], data="mnist:data", out="out")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .capturing import capture
    from .checkpoint import load, save_checkpoint
    from .commands import verify
    from .data import load_data
    from .errors import CheckFailed, EdgepruneError
    from .formats import read, write
    from .graph import Graph
    from .importing import import_onnx
    from .passes import shrink
    from .pipeline import compress, export
    from .profiling import profile
    from .pruning import prune
    from .rebuilding import to_module

# Public name -> where it lives. Resolved on first use: a machine without torch can write, verify and profile.
_HOMES = {
    "CheckFailed": "errors",
    "EdgepruneError": "errors",
    "Graph": "graph",
    "capture": "capturing",
    "compress": "pipeline",
    "export": "pipeline",
    "import_onnx": "importing",
    "load": "checkpoint",
    "load_data": "data",
    "profile": "profiling",
    "prune": "pruning",
    "read": "formats",
    "save_checkpoint": "checkpoint",
    "shrink": "passes",
    "to_module": "rebuilding",
    "verify": "commands",
    "write": "formats",
}

__all__ = [
    "CheckFailed", "EdgepruneError", "Graph", "__version__", "capture", "compress", "export", "import_onnx", "load", "load_data",
    "profile", "prune", "read", "save_checkpoint", "shrink", "to_module", "verify", "write",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeprune' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
