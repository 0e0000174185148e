from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest

from edgeprune.report import show_progress
from edgeprune.report.progress import Live


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def a_run(stream: io.StringIO, quiet: bool = False, start: int = 1) -> str:
    """Rounds `start` to 3, as pruning tells of them."""
    with show_progress(quiet, stream) as progress:
        progress.phase("checking the network")
        for number in range(start, 4):
            progress.round_started(number, 3, 1000 // number)
            progress.phase("retraining")
            progress.epoch_finished(1, 2, 0.5, None)
            progress.epoch_finished(2, 2, 0.25, 0.9)
            record = SimpleNamespace(
                kept=1000 // number, alive=1000 // number - (number == 3), accuracy=0.91, seconds=2.0 * number
            )
            progress.round_finished(record)
    return stream.getvalue()


def test_elsewhere_than_on_a_terminal_a_round_is_one_plain_line() -> None:
    assert a_run(io.StringIO()).splitlines() == [
        "round 1 of 3: 1,000 weights kept, all alive, accuracy 91.00 %, 2.0 s, about 4.0 s left",
        "round 2 of 3: 500 weights kept, all alive, accuracy 91.00 %, 4.0 s, about 3.0 s left",
        "round 3 of 3: 333 weights kept, 332 alive, accuracy 91.00 %, 6.0 s",
    ]


def test_quiet_is_silent_on_a_terminal_too() -> None:
    assert a_run(io.StringIO(), quiet=True) == ""
    assert a_run(Terminal(), quiet=True) == ""


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    return Terminal()


def test_a_terminal_sees_phases_accuracy_and_what_is_done(terminal: Terminal) -> None:
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", a_run(terminal))
    assert "round 3 of 3: 333 weights kept, 332 alive, accuracy 91.00 %, 6.0 s" in shown
    assert "left" in shown


def test_the_bar_counts_rounds_and_epochs(terminal: Terminal) -> None:
    with show_progress(False, terminal) as progress:
        assert isinstance(progress, Live)
        progress.phase("checking the network")
        assert progress.bar.tasks[0].total is None
        progress.round_started(3, 4, 10)
        progress.epoch_finished(1, 2, 0.5, 0.625)
        (task,) = progress.bar.tasks
        assert task.total == 4
        assert 2.4 < task.completed < 2.5
        assert task.description == "round 3/4: epoch 1/2"
        assert task.fields["accuracy"] == "accuracy 62.50 %"
        progress.round_finished(SimpleNamespace(kept=10, alive=10, accuracy=None, seconds=1.0))
        assert progress.bar.tasks[0].completed == 3


@pytest.mark.parametrize("first", [1, 900])
def test_the_time_that_remains_comes_from_the_rounds_of_this_run(terminal: Terminal, first: int) -> None:
    now = 0.0
    with show_progress(False, terminal) as progress:
        assert isinstance(progress, Live)
        progress.bar.get_time = lambda: now
        progress.phase("preparing")
        for number in range(first, first + 3):
            progress.round_started(number, first + 9, 10)
            now += 10
            progress.round_finished(SimpleNamespace(kept=10, alive=10, accuracy=None, seconds=10.0))
        assert progress.bar.tasks[0].time_remaining == pytest.approx(70, abs=1)
