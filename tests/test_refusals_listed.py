"""Every refusal of a capture, an import or a format has a case that triggers it, and says where, what, and what would do."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import test_capture_refused
import test_vocabulary
from refusal_cases import GRAPHS, LARGE, NETWORKS
from refusal_sites import refused, sites
from test_capture import rand, settled
from torch import Tensor

from edgeprune.capturing import capture
from edgeprune.errors import NotExportable
from edgeprune.formats import lowering, write
from edgeprune.importing import import_onnx

SITES = sites()
# The tables that other tests hold, name: (module, shapes).
TABLES = {row[0]: row[1:3] for table in (test_capture_refused.REFUSED, test_vocabulary.REFUSED) for row in table}


def attempt_network(name: str) -> tuple[Any, set[str]]:
    module, shapes = (NETWORKS | TABLES)[name]
    found = refused(lambda: capture(settled(module), [s if isinstance(s, Tensor) else rand(*s) for s in shapes]))
    assert found is not None, f"{name} is not refused"
    return found[0], {SITES[line] for line in found[1] if line in SITES}


def attempt_graph(name: str, folder: Path) -> tuple[Any, set[str]]:
    graph, suffix = GRAPHS[name]
    found = refused(lambda: write(graph, folder / f"m{suffix}"))
    assert found is not None, f"{name} is not refused"
    return found[0], {SITES[line] for line in found[1] if line in SITES}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_refused_by_layer_op_and_remedy(name: str) -> None:
    said, hit = attempt_network(name)
    assert hit
    assert "\n" not in str(said)
    assert "has no meaning in the graph here: " in str(said)
    assert re.search(r": (aten\.|output )", str(said))
    assert "Rewrite the layer" in str(said)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_is_refused_by_format_op_and_layer(name: str, tmp_path: Path) -> None:
    said, hit = attempt_graph(name, tmp_path)
    graph, suffix = GRAPHS[name]
    assert hit
    assert "\n" not in str(said)
    assert f"cannot say {type(graph.nodes[0].op).__name__} (layer {graph.nodes[0].source})" in str(said)
    # What would do.
    assert re.search(r"say: |it has: |; use |; export to ", str(said))
    assert not list(tmp_path.glob(f"*{suffix}"))


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_a_file_beyond_what_a_format_addresses_is_refused_by_its_largest_layer(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"m{suffix}"
    write(LARGE, path)
    path.unlink()
    monkeypatch.setattr(lowering, "LARGEST", 100)
    with pytest.raises(NotExportable, match=r"Linear \(layer head\.large\): .* end at 2 GB.*; prune more, or export to C"):
        write(LARGE, path)
    assert not path.exists()


def imported(folder: Path) -> set[str]:
    """What the refused files of the tests of import hit."""
    path = Path(__file__).parent / "importing" / "refused_files.py"
    sys.path.insert(0, str(path.parent))
    spec: Any = importlib.util.spec_from_file_location("refused_files", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    hit: set[str] = set()
    for row in module.REFUSED.values():
        file = row.save(folder / "m.onnx")
        found = refused(lambda f=file: import_onnx(f))
        assert found is not None
        hit |= {SITES[line] for line in found[1] if line in SITES}
    return hit


def test_every_refusal_has_a_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    hit = imported(tmp_path)
    for name in NETWORKS | TABLES:
        hit |= attempt_network(name)[1]
    for name in GRAPHS:
        hit |= attempt_graph(name, tmp_path)[1]
    monkeypatch.setattr(lowering, "LARGEST", 100)
    too_large = refused(lambda: write(LARGE, tmp_path / "m.onnx"))
    hit |= {SITES[line] for line in (too_large[1] if too_large else ()) if line in SITES}
    missing = sorted(set(SITES.values()) - hit)
    assert not missing, "these refusals have no case: add one to refusal_cases.py, or to importing/refused_files.py"
