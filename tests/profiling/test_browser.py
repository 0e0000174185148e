"""C models measured in real headless Chromium, and what goes wrong there."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sketch_graph import small_network

from edgeprune.errors import EdgepruneError
from edgeprune.formats import c
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Add, Linear
from edgeprune.profiling import chromium, load_target, profile_on
from edgeprune.profiling import reachable as reachable_module
from edgeprune.profiling.chromium import PageError
from edgeprune.profiling.reachable import all_targets
from edgeprune.profiling.result import Profile
from edgeprune.report import print_profile

QUICK = {"runs": 20, "min_seconds": 0.02, "warmup": 0}


@pytest.fixture
def browser() -> str:
    found = chromium.found()
    if found is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    return found


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of temporary files that must be empty again, with no process left that names it."""
    # Its path is short, so that the browser writes there too.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made, monkeypatch.context() as changed:
        place = Path(made)
        changed.setenv("TMPDIR", made)
        changed.setattr(tempfile, "tempdir", None)
        yield place
        assert [str(each) for each in place.rglob("*")] == []
        # What was killed may take a moment to be gone.
        end = time.monotonic() + 5
        while commands_naming(place) and time.monotonic() < end:
            time.sleep(0.05)
        assert commands_naming(place) == []


def commands_naming(place: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(place) in words and path.parent.name != str(os.getpid()):
            found.append(words)
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("ziglang", reason="building for WebAssembly needs ziglang")
    c.write(small_network(), tmp_path / "model.c")
    return tmp_path / "model.c"


@pytest.mark.usefixtures("browser")
def test_a_c_model_is_measured_in_a_browser_and_nothing_is_left(model: Path, temporary: Path) -> None:
    found = profile_on("wasm", model, **QUICK)
    t, ran_in = found.latency_ms, found.browser
    assert (found.target, found.provenance, found.reached) == ("wasm", "measured", "a browser on this machine")
    assert 0 < t.min <= t.p50 <= t.p99 <= t.max
    # A run takes less than a microsecond, and a sample two hundred steps of the clock at least.
    assert t.p50 < 0.1
    assert t.together * t.p50 > 100 * ran_in.tick_ms
    assert found.load_ms > 0
    assert ran_in.name.startswith("Chrom")
    assert any(letter.isdigit() for letter in ran_in.name)
    assert ran_in.largest_relative_error < 1e-5
    assert ran_in.same_class
    assert ran_in.memory_bytes % 65536 == 0
    assert ran_in.memory_bytes > ran_in.module_bytes > 500
    assert Profile.from_dict(found.to_dict()) == found
    assert not any("memory" in each for each in found.warnings)


@pytest.mark.usefixtures("browser")
def test_a_model_of_several_inputs_and_outputs_is_measured_in_a_browser(tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="building for WebAssembly needs ziglang")
    random = np.random.default_rng(0)
    one, other = (Linear(random.standard_normal((5, n)).astype(np.float32)) for n in (7, 3))
    nodes = (Node("a", one, ("x",)), Node("b", other, ("y",)), Node("sum", Add(), ("a", "b")))
    c.write(Graph({"x": Value((7,)), "y": Value((3,))}, ("a", "sum"), nodes), tmp_path / "model.c")
    found = profile_on("wasm", tmp_path / "model.c", **QUICK)
    assert found.browser.largest_relative_error < 1e-5


@pytest.mark.usefixtures("browser")
def test_a_browser_that_computes_something_else_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = c.load(model)

    class Other:
        def run(self, *given: np.ndarray) -> list[np.ndarray]:
            return [each + 0.1 for each in real.run(*given)]

    monkeypatch.setattr(c, "load", lambda path: Other())
    with pytest.raises(
        EdgepruneError, match=r"computes something else of .*model\.c than the same C code here: the largest error"
    ):
        profile_on("wasm", model, **QUICK)


@pytest.mark.usefixtures("browser")
def test_a_model_that_fails_in_the_browser_is_one_line(model: Path, temporary: Path) -> None:
    text = model.read_text()
    begin = text.index("{", text.index("\nint model_run("))
    model.write_text(f"{text[:begin]}{{\n#ifdef __wasm__\n    __builtin_trap();\n#endif\n{text[begin + 1 :]}")
    with pytest.raises(EdgepruneError, match=r"profiling .*model\.c in a browser: RuntimeError: unreachable") as caught:
        profile_on("wasm", model, **QUICK)
    assert "\n" not in str(caught.value)


def test_without_a_browser_it_says_what_to_install(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "NAMES", ("no-such-browser",))
    with pytest.raises(EdgepruneError, match=r"no browser found .*apt-get install chromium"):
        profile_on("wasm", model, **QUICK)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_what_is_no_browser_is_told_with_its_last_words(tmp_path: Path, temporary: Path) -> None:
    other = script(tmp_path / "other", "echo bad weather >&2; exit 3")
    with (
        pytest.raises(PageError, match=r"the browser ended; .*exit status is 3, it said: bad weather; is .*other a Chromium"),
        chromium.page(other),
    ):
        pass


# It starts another process, and leaves a temporary folder, as Chromium does when it is killed.
STUCK = """trap '' TERM HUP
mkdir "$TMPDIR/org.chromium.stuck"
sh -c 'while :; do sleep 0.1; done' helper "$TMPDIR" &
while :; do sleep 0.1; done"""


def test_a_browser_that_does_not_answer_is_ended_within_the_limit(tmp_path: Path, temporary: Path) -> None:
    start = time.monotonic()
    stuck = script(tmp_path / "stuck", STUCK)
    with pytest.raises(PageError, match=r"said nothing for 1 s; .*allow more time"), chromium.page(stuck, start + 1):
        pass
    assert time.monotonic() - start < 15


@pytest.mark.usefixtures("browser")
def test_a_page_in_an_endless_loop_is_ended_within_the_limit(temporary: Path) -> None:
    start = time.monotonic()
    with pytest.raises(PageError, match=r"said nothing for .* s; .*Runtime\.evaluate"), chromium.page(None, start + 5) as page:
        page.evaluate("(() => { for (;;); })()")
    assert time.monotonic() - start < 20


@pytest.mark.usefixtures("browser")
def test_a_crashed_page_is_told(temporary: Path) -> None:
    with pytest.raises(PageError, match="the page crashed"), chromium.page() as page:
        page.call("Page.crash")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"host": "pi@pi.local"}, r"leave out host \(--host\)"),
        ({"workdir": "/tmp"}, r"leave out workdir \(--workdir\)"),
        ({"ops": True}, r"leave out ops \(--ops\)"),
        ({"threads": 2}, "a C model runs on one thread"),
    ],
)
def test_what_a_browser_cannot_do_is_refused(tmp_path: Path, arguments: dict[str, Any], part: str) -> None:
    (tmp_path / "model.c").write_text("")
    with pytest.raises(EdgepruneError, match=part):
        profile_on("wasm", tmp_path / "model.c", **arguments)


def test_the_list_of_targets_says_which_browser_there_is_or_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def now() -> tuple[bool, str]:
        (found,) = (each for each in all_targets() if each.target.name == "wasm")
        return found.reachable, found.now

    monkeypatch.setattr(reachable_module, "find_spec", lambda name: True)
    monkeypatch.setattr(chromium, "found", lambda: "/usr/bin/chromium")
    assert now() == (True, "this machine: /usr/bin/chromium")
    monkeypatch.setattr(chromium, "found", lambda: None)
    assert now() == (False, "no Chromium or Chrome here")


def test_a_profile_of_a_browser_says_so_in_the_terminal(capsys: pytest.CaptureFixture[str], model: Path, browser: str) -> None:
    found = profile_on("wasm", model, **QUICK)
    print_profile(found)
    said = capsys.readouterr().out
    assert "with SIMD" in said
    assert found.browser.name.split(".")[0] in said
    assert load_target("wasm").runners == ("browser",)
