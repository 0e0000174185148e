"""Imports go one way, and what stands right of capture works without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "edgeprune"

# Who may import whom inside the package; docs/architecture.md draws it. Everyone may import errors and files.
EVERYONE = {"errors", "files", "_version", "naming"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "files": set(),
    "_version": set(),
    "naming": set(),
    "graph": set(),
    "ops": {"graph"},
    "passes": {"graph", "ops"},
    "sparse": {"graph", "ops"},
    "formats": {"graph", "ops", "sparse"},
    "parity": {"graph", "formats"},
    "profiling": {"graph", "ops", "sparse", "formats", "parity"},
    "report": {"graph", "sparse", "formats", "parity", "profiling"},
    "inspection": {"graph", "ops", "passes", "sparse", "formats", "report"},
    "vision": set(),
    "plain_programs": set(),
    "laying": {"graph", "ops"},
    "capturing": {"graph", "ops", "laying"},
    "importing": {"graph", "ops", "laying", "sparse"},
    "rebuilding": {"graph", "ops", "formats", "plain_programs"},
    "encoders": {"vision"},
    "models": {"vision", "encoders"},
    "data": {"vision", "models"},
    "checkpoint": {"vision", "models", "data", "plain_programs"},
    "pruning": {"vision", "data"},
}
TOP = {"__init__", "__main__", "cli", "pipeline", "delivery", "sources", "runlog", "commands"}
TORCH_SIDE = {"vision", "plain_programs", "encoders", "capturing", "rebuilding", "models", "data", "checkpoint", "pruning", *TOP}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Names of the package's parts that a file imports, wherever in the file the import stands."""
    found: set[str] = set()
    package = ("edgeprune", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            full = (*base, *(node.module.split(".") if node.module else ()))
            if full and full[0] == "edgeprune":
                found.update([full[1]] if len(full) > 1 else [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            found.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("edgeprune."))
    return found


FILES = sorted(p for p in ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    if part in TOP:
        return
    assert part in ALLOWED, f"{part} has no place in the drawing yet; give it one here and in docs/architecture.md"
    beyond = imports(path) - ALLOWED[part] - EVERYONE - {part}
    assert not beyond, f"{path.relative_to(ROOT)} imports {sorted(beyond)}, which {part} may not"


@pytest.mark.parametrize("path", [p for p in FILES if part_of(p) not in TORCH_SIDE], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_right_of_capture_names_torch(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        assert not any(n.split(".")[0] in ("torch", "torchvision", "lightning_fabric") for n in names), f"{path} imports {names}"


def test_the_package_imports_without_torch() -> None:
    blocked = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'lightning_fabric'): sys.modules[name] = None\n"
        "import edgeprune, edgeprune.cli, edgeprune.passes, edgeprune.formats, edgeprune.parity\n"
        "import edgeprune.profiling, edgeprune.report, edgeprune.inspection, edgeprune.importing\n"
    )
    subprocess.run([sys.executable, "-c", blocked], check=True)


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, edgeprune, edgeprune.cli; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)
