"""Real daemons on this machine's loopback, each with keys and ports of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeprune.profiling import load_target
from edgeprune.profiling.targets import folder as shipped

HERE = Path(__file__).parent


def tool(name: str, why: str) -> str:
    """Where a program is; the test is skipped, saying why it is needed, where it is not installed."""
    found = shutil.which(name) or shutil.which(f"/usr/sbin/{name}")
    if found is None:
        pytest.skip(f"{why} needs {name}, which is not installed")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "the daemon ended at once"
        time.sleep(0.02)
    raise AssertionError("the daemon does not listen")


def children_of(pid: int) -> list[int]:
    """All descendants."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            rest = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(rest[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        more = parents.get(todo.pop(), [])
        found += more
        todo += more
    return found


class Daemon:
    """A started daemon; `cut` ends it and what carries its connections, as a pulled plug would."""

    def __init__(self, process: subprocess.Popen[bytes], carriers: str) -> None:
        self.process = process
        self.carriers = carriers

    def cut(self) -> None:
        names = {pid: Path(f"/proc/{pid}/comm") for pid in children_of(self.process.pid)}
        self.process.kill()
        for pid, name in names.items():
            try:
                if name.read_text().strip() == self.carriers:
                    os.kill(pid, 9)
            except OSError:
                continue
        self.process.wait()


@contextmanager
def sshd(folder: Path) -> Iterator[tuple[Daemon, tuple[str, ...]]]:
    """(daemon, options for ssh to reach it at 127.0.0.1)."""
    daemon = tool("sshd", "a connection over ssh")
    keygen = tool("ssh-keygen", "a connection over ssh")
    tool("ssh", "a connection over ssh")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # what the distribution's start script does
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    port = free_port()
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    )
    host_key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    process = subprocess.Popen([daemon, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        options = ("-F", "none", "-p", str(port), "-i", str(folder / "user"), "-l", getpass.getuser())
        yield Daemon(process, "sshd"), (*options, "-o", f"UserKnownHostsFile={folder}/known", "-o", "IdentitiesOnly=yes")
    finally:
        process.kill()
        process.wait()


@contextmanager
def adbd(folder: Path, set_environment: Callable[[str, str], None]) -> Iterator[tuple[Daemon, str]]:
    """(daemon, its serial number for adb)."""
    daemon = tool("adbd", "a connection over adb")
    adb = tool("adb", "a connection over adb")
    compiler = tool("cc", "keeping adbd on the loopback")
    shim = folder / "loopback.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(shim), str(HERE / "loopback.c"), "-ldl"], check=True)
    port, server = free_port(), free_port()
    for name, value in (("ANDROID_ADB_SERVER_PORT", str(server)), ("HOME", str(folder)), ("TMPDIR", str(folder))):
        set_environment(name, value)
    environment = os.environ | {"ADBD_PORT": str(port), "LD_PRELOAD": str(shim)}
    process = subprocess.Popen([daemon], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    serial = f"127.0.0.1:{port}"
    try:
        wait_for(port, process)
        subprocess.run([adb, "connect", serial], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield Daemon(process, "adbd"), serial
    finally:
        process.kill()
        process.wait()
        subprocess.run([adb, "kill-server"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def android_like(tmp_path: Path) -> Path:
    """A target for this machine's processor that only adb reaches."""
    isa = load_target("host").hardware.isa
    text = (shipped() / "pixel-8" / "target.toml").read_text().replace('"aarch64"', f'"{isa}"').replace('"pixel-8"', '"phone"')
    text = text.replace('features = ["asimd", "asimddp"]', "features = []")
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "target.toml").write_text(text)
    return tmp_path / "phone"
