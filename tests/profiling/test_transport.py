"""A folder on a device comes and goes, over every transport, and what goes wrong is one line that says so."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import daemons
import pytest

from edgeprune.errors import EdgepruneError
from edgeprune.profiling.adb import ADB
from edgeprune.profiling.ssh import SSH
from edgeprune.profiling.transport import Folder, Local, Transport


@dataclass
class Peer:
    transport: Transport
    base: Path  # where folders are made
    daemon: daemons.Daemon | None

    def folder(self, limit: float = 30) -> Folder:
        return Folder(self.transport, time.monotonic() + limit, str(self.base))

    def left(self) -> list[str]:
        return sorted(os.listdir(self.base))


@pytest.fixture(params=["local", "ssh", "adb"])
def peer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    base, own = tmp_path / "device", tmp_path / "daemon"
    base.mkdir()
    own.mkdir()
    if request.param == "local":
        yield Peer(Local(), base, None)
    elif request.param == "ssh":
        with daemons.sshd(own) as (daemon, options):
            yield Peer(SSH("127.0.0.1", options), base, daemon)
    else:
        with daemons.adbd(own, monkeypatch.setenv) as (daemon, serial):
            yield Peer(ADB(serial), base, daemon)


def soon(wanted: str, holds: object, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise AssertionError(wanted)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_files_go_there_and_come_back_whole(peer: Peer, tmp_path: Path) -> None:
    data = bytes(range(256)) * 400 + b"\r\n\x1a\n"
    (tmp_path / "given name.bin").write_bytes(data)
    with peer.folder() as folder:
        remote = folder.put(tmp_path / "given name.bin", "it's here.bin")
        assert Path(remote).read_bytes() == data
        assert folder.get("it's here.bin") == data
        assert stat.S_IMODE(os.stat(folder.path).st_mode) == 0o700
    assert peer.left() == []


def test_a_program_runs_there_with_its_words_and_answers(peer: Peer, tmp_path: Path) -> None:
    (tmp_path / "say").write_text('#!/bin/sh\necho "$2"; echo aside >&2; pwd\n')
    with peer.folder() as folder:
        program = folder.put(tmp_path / "say", "say", executable=True)
        done = folder.run([program, "first", "two words $HOME 'quoted' \"so\""])
        assert done.out.decode().splitlines() == ["two words $HOME 'quoted' \"so\"", folder.path]
        assert done.err.strip().endswith("aside")


def test_a_program_can_be_talked_to(peer: Peer) -> None:
    with peer.folder() as folder:
        command = folder.starting(["sh", "-c", 'while read line; do echo "heard $line"; done'])
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.communicate("one\ntwo\n", timeout=10)[0] == "heard one\nheard two\n"
        assert process.returncode == 0


def test_the_exit_status_and_the_last_words_are_told(peer: Peer) -> None:
    with peer.folder() as folder, pytest.raises(EdgepruneError, match=r"running sh on .* failed: bad weather") as caught:
        folder.run(["sh", "-c", "echo working; echo bad weather >&2; exit 5"])
    assert peer.transport.name in str(caught.value)
    assert peer.left() == []


def test_a_missing_program_is_told(peer: Peer) -> None:
    with peer.folder() as folder, pytest.raises(EdgepruneError, match=r"running python9 .*not found.* is not there"):
        folder.run(["python9"])


def test_a_program_for_another_processor_is_told(peer: Peer, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(44))
    with peer.folder() as folder:
        program = folder.put(foreign, "foreign", executable=True)
        with pytest.raises(EdgepruneError, match="is built for another processor; choose the target"):
            folder.run([program])


def test_a_file_that_may_not_be_executed_is_told(peer: Peer, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    with peer.folder() as folder:
        program = folder.put(tmp_path / "plain", "plain")
        with pytest.raises(EdgepruneError, match=r"may not execute files in /.*--workdir"):
            folder.run([program])


def test_a_folder_that_forbids_execution_is_told(peer: Peer, tmp_path: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,noexec", str(small_disk)], check=True)
    (tmp_path / "program").write_text("#!/bin/sh\n")
    peer.base = small_disk
    with peer.folder() as folder:
        program = folder.put(tmp_path / "program", "program", executable=True)
        with pytest.raises(EdgepruneError, match=r"may not execute files in /.*--workdir"):
            folder.run([program])
    assert peer.left() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("a full disk needs the right to mount a small one")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_left_as_it_was(peer: Peer, tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(200_000))
    peer.base = small_disk
    with peer.folder() as folder, pytest.raises(EdgepruneError, match=r"is full: copying large found no space left"):
        folder.put(tmp_path / "large", "large")
    assert peer.left() == []


def test_a_folder_that_cannot_be_made_is_told(peer: Peer, tmp_path: Path) -> None:
    peer.base = tmp_path / "nowhere"
    with pytest.raises(EdgepruneError, match=r"cannot make a folder in .*nowhere.*No such file"):
        peer.folder()


def test_what_hangs_is_ended_within_the_limit_and_is_gone(peer: Peer) -> None:
    start = time.monotonic()
    with peer.folder() as folder:
        with pytest.raises(EdgepruneError, match=r"sh on .* took longer than 1 s and was stopped"):
            folder.run(["sh", "-c", "echo $$ > own; trap '' HUP TERM PIPE; while :; do sleep 0.1; done"], limit=1)
        pid = int(folder.get("own"))
        assert time.monotonic() - start < 6
    soon("it was ended", lambda: not running(pid))
    assert peer.left() == []


def test_leaving_the_folder_ends_what_runs_there(peer: Peer) -> None:
    with peer.folder() as folder:
        process = subprocess.Popen(folder.starting(["sleep", "100"]), stdin=subprocess.PIPE)
        number = Path(folder.path, "0.pid")
        soon("it runs", lambda: number.exists() and number.read_text().strip())
        pid = int(number.read_text())
    soon("it was ended", lambda: not running(pid))
    assert peer.left() == []
    process.kill()
    process.wait()


def test_a_lost_connection_is_told_and_nothing_is_left(peer: Peer) -> None:
    if peer.daemon is None:
        pytest.skip("there is no connection to lose")
    with peer.folder() as folder:
        own = Path(folder.path, "own")
        ready = threading.Thread(target=lambda: (soon("it runs", lambda: own.exists() and own.read_text()), peer.daemon.cut()))
        ready.start()
        with pytest.raises(EdgepruneError, match=r"the connection to .* was lost while running sh .*reconnect"):
            folder.run(["sh", "-c", "echo $$ > own; exec sleep 60"], limit=20)
        ready.join()
    soon("the folder is gone", lambda: peer.left() == [])
    assert not [p for p in daemons.children_of(1) if _works_in(p, folder.path)]


def _works_in(pid: int, folder: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(folder)
    except OSError:
        return False


def test_a_killed_edgeprune_leaves_nothing_there(tmp_path: Path) -> None:
    code = (
        "import time\nfrom edgeprune.profiling.transport import Folder, Local\n"
        f"folder = Folder(Local(), time.monotonic() + 60, {str(tmp_path)!r})\nprint(folder.path, flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    made = Path(process.stdout.readline().strip())
    assert made.is_dir()
    process.kill()
    process.wait()
    soon("the folder is gone", lambda: not made.exists())
