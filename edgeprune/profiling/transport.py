"""A shell on a device, and a fresh folder there that is gone afterwards.

The folder is held by a process on the device, its keeper: it makes the folder, waits for its input to end, then ends what still
runs there and removes the folder. The input ends when this side is done, dies, or loses the connection: nothing is left behind.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import shlex
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..errors import EdgepruneError

CONNECTING = 20.0  # seconds to reach a device and to leave it
COPYING = 120.0

# {base} is where temporary files go there, quoted; {life} ends the keeper when a connection dies without a word.
# A second copy of a signal that the shell ignores is ignored by what it starts, hence KILL.
KEEPER = """umask 077
d=$(mktemp -d {base}/edgeprune-XXXXXXXX) || exit 3
trap '' HUP INT TERM PIPE
echo "$d"
if command -v timeout >/dev/null 2>&1; then timeout -s KILL {life} cat >/dev/null 2>&1; else cat >/dev/null; fi
for p in "$d"/*.pid; do [ -f "$p" ] && kill -9 "$(cat "$p")" 2>/dev/null; done
rm -rf "$d" && echo gone
"""

# A background job has no input unless it is handed one, hence the copy.
RUN = """cd {folder} || exit 3
exec 3<&0
{command} <&3 3<&- &
p=$!
exec 3<&-
echo $p >{pid}
wait $p
s=$?
rm -f {pid}
exit $s
"""

# Some versions of adb report success for a command whose connection broke: the command itself says that it came to its end.
ENDED = "edgeprune-ended"
ENDING = f"""(
{{script}}
)
s=$?
echo {ENDED} >&2
exit $s
"""


# What shells say of a program for another processor; some try to read it as a script.
FOREIGN = ("exec format error", "cannot execute binary", "syntax error: ", "unexpected '('")


@dataclass(frozen=True)
class Done:
    """How a command on a device ended."""

    status: int
    out: bytes
    err: str

    @property
    def said(self) -> str:
        """The last line of complaint."""
        lines = [line.strip() for line in f"{self.out[-2000:].decode(errors='replace')}\n{self.err}".splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.status}"


CUT_SHORT = -1
# What a shell says of a program that a signal has ended.
CRASHES = {128 + each: each.name for each in (signal.SIGILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV)}


class Transport(ABC):
    """How commands and files reach a device. `name` is the device in messages."""

    name: str
    base = '"${TMPDIR:-/tmp}"'  # where temporary files go, as a shell reads it

    @abstractmethod
    def command(self, script: str) -> list[str]:
        """What to start here so that a POSIX shell there runs `script` with this side's input and outputs."""

    def ask(self, script: str, limit: float, doing: str, source: object = subprocess.DEVNULL) -> Done:
        """Runs a script there to its end; the status is CUT_SHORT when the connection broke before."""
        done = finished(self.command(ending(script)), limit, f"{doing} on {self.name}", source)
        return self.ended(done)

    def ended(self, done: Done) -> Done:
        """The same without the word that it came to its end; the status CUT_SHORT when that word is not there."""
        before, mark, after = done.err.rpartition(ENDED)
        if mark:
            return Done(done.status, done.out, before + after.lstrip("\n"))
        return Done(done.status or CUT_SHORT, done.out, done.err)

    def send(self, local: Path, remote: str, limit: float) -> Done:
        """Copies a file there; the whole of it has arrived when the status is 0."""
        size = local.stat().st_size
        script = f'cat >{remote} && [ "$(wc -c <{remote})" -eq {size} ]'
        with open(local, "rb") as source:
            return self.ask(script, limit, f"copying {local.name}", source)

    def fetch(self, remote: str, limit: float) -> Done:
        """The bytes of a file there, as what was said."""
        return self.ask(f"cat {remote}", limit, f"fetching {remote}")

    def trouble(self, done: Done) -> str | None:
        """Why the device could not be reached at all, if that is what ended the command."""
        return None


class Local(Transport):
    """This machine."""

    name = "this machine"

    def command(self, script: str) -> list[str]:
        return ["sh", "-c", script]


def ending(script: str) -> str:
    """The script, and a word on the error output that it came to its end."""
    return ENDING.replace("{script}", script)


def finished(command: Sequence[str], limit: float, doing: str, source: object = subprocess.DEVNULL) -> Done:
    """Runs a command here to its end. Raises EdgepruneError when it takes longer than `limit` seconds or cannot start."""
    try:
        done = subprocess.run(command, stdin=source, capture_output=True, timeout=max(limit, 0.001))  # type: ignore[call-overload]
    except subprocess.TimeoutExpired:
        raise EdgepruneError(f"{doing} took longer than {limit:.3g} s and was stopped; allow more time with --timeout") from None
    except OSError as error:
        raise EdgepruneError(f"cannot start {command[0]}: {error.strerror}; install it or add it to PATH") from None
    return Done(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


class Folder:
    """A fresh folder on a device. Leaving the block ends what runs in it and removes it.

    Everything raises EdgepruneError with one line: the connection is lost, the device full, a file not for this device, not to be
    executed, not there, or the time is up. `deadline` is of time.monotonic().
    """

    def __init__(self, transport: Transport, deadline: float, base: str | None = None) -> None:
        self.transport = transport
        self.deadline = deadline
        self._numbers = itertools.count()
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        place = transport.base if base is None else shlex.quote(base)
        life = int(max(self.left(), 1)) + 60
        script = KEEPER.replace("{base}", place).replace("{life}", str(life))
        self._keeper = self._start(transport.command(script))
        try:
            self.path = self._made(place)
        except BaseException:
            self._leave()
            raise

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        try:
            # A session of its own: an interrupt from the keyboard must not end the keeper before the work.
            keeper = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
            )
        except OSError as error:
            raise EdgepruneError(f"cannot start {command[0]}: {error.strerror}; install it or add it to PATH") from None
        threading.Thread(target=self._listen, args=(keeper,), daemon=True).start()
        return keeper

    def _listen(self, keeper: subprocess.Popen[str]) -> None:
        assert keeper.stdout is not None
        for line in keeper.stdout:
            self._said.put(line.strip())
        self._said.put(None)

    def _made(self, place: str) -> str:
        name = self.transport.name
        limit = min(CONNECTING, self.left())
        end = time.monotonic() + limit
        while True:
            try:
                line = self._said.get(timeout=max(end - time.monotonic(), 0.001))
            except queue.Empty:
                raise EdgepruneError(f"{name} did not answer within {limit:.3g} s; is it switched on and connected?") from None
            if line is None:
                break
            # A login there may greet first.
            if line.startswith("/") and "/edgeprune-" in line:
                return line
        self._said.put(None)
        done = Done(self._keeper.wait(), b"", self._complaint())
        trouble = self.transport.trouble(done)
        if trouble:
            raise EdgepruneError(f"cannot reach {name}: {trouble}")
        cure = "free some space there or name another folder with --workdir"
        raise EdgepruneError(f"cannot make a folder in {place} on {name}: {done.said}; {cure}")

    def _complaint(self) -> str:
        assert self._keeper.stderr is not None
        return self._keeper.stderr.read()

    def left(self) -> float:
        """Seconds until the time is up."""
        return self.deadline - time.monotonic()

    def at(self, name: str) -> str:
        return f"{self.path}/{name}"

    def put(self, local: Path, name: str, *, executable: bool = False) -> str:
        """Copies a file into the folder; its path there."""
        remote = self.at(name)
        done = self.transport.send(local, shlex.quote(remote), min(self.left(), COPYING))
        if done.status:
            raise EdgepruneError(self.explained(done, f"copying {local.name}"))
        if executable:
            self.check(self.shell(f"chmod 700 {shlex.quote(remote)}"), "making it executable")
        return remote

    def get(self, name: str) -> bytes:
        """The bytes of a file in the folder."""
        done = self.transport.fetch(shlex.quote(self.at(name)), min(self.left(), COPYING))
        return self.check(done, f"fetching {name}").out

    def shell(self, script: str, limit: float | None = None) -> Done:
        """What a short script says, whatever its status."""
        limit = min(self.left(), CONNECTING if limit is None else limit)
        return self.transport.ask(script, limit, "a command")

    def starting(self, command: Sequence[str]) -> list[str]:
        """What to start here so that `command` runs there, inside the folder, and ends with it."""
        return self.transport.command(ending(self._script(command)))

    def _script(self, command: Sequence[str]) -> str:
        pid = shlex.quote(self.at(f"{next(self._numbers)}.pid"))
        return RUN.replace("{folder}", shlex.quote(self.path)).replace("{pid}", pid).replace("{command}", shlex.join(command))

    def run(self, command: Sequence[str], limit: float | None = None) -> Done:
        """Runs a program in the folder to its end. Raises EdgepruneError when it fails."""
        return self.check(self.attempt(command, limit), f"running {Path(command[0]).name}")

    def attempt(self, command: Sequence[str], limit: float | None = None) -> Done:
        """The same, whatever its status."""
        limit = self.left() if limit is None else min(limit, self.left())
        return self.transport.ask(self._script(command), limit, Path(command[0]).name)

    def check(self, done: Done, doing: str) -> Done:
        if done.status:
            raise EdgepruneError(self.explained(done, doing))
        return done

    def lost(self) -> bool:
        """Whether the keeper has ended, which it does by itself only when the connection has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(timeout=1)
            return True
        return False

    def explained(self, done: Done, doing: str) -> str:
        """One line: what went wrong, and what would do."""
        name, said = self.transport.name, done.said
        if self.lost() or done.status == CUT_SHORT:
            return f"the connection to {name} was lost while {doing} ({said}); reconnect it and run the command again"
        trouble = self.transport.trouble(done)
        if trouble:
            return f"cannot reach {name} while {doing}: {trouble}"
        text = f"{done.err}\n{done.out[-2000:].decode(errors='replace')}".lower()
        if "no space left" in text or "disk quota exceeded" in text:
            return f"{name} is full: {doing} found no space left in {self.path}; free some or name another folder with --workdir"
        if any(words in text for words in FOREIGN):
            return f"{doing} on {name} failed: the program is built for another processor; choose the target that the device is"
        if done.status == 126:
            return f"{name} may not execute files in {self.path} ({said}); name a folder where it may with --workdir"
        if done.status == 127 or "not found" in text or "no such file" in text:
            return f"{doing} on {name} failed: {said}; a program or a library it needs is not there"
        if done.status == 137:
            return f"{doing} on {name} was killed; it may have run out of memory"
        if done.status in CRASHES:
            return f"{doing} on {name} died of {CRASHES[done.status]} ({said})"
        return f"{doing} on {name} failed: {said}"

    def _leave(self) -> None:
        assert self._keeper.stdin is not None
        with contextlib.suppress(OSError):
            self._keeper.stdin.close()
        end = time.monotonic() + CONNECTING
        with contextlib.suppress(queue.Empty):
            while self._said.get(timeout=max(end - time.monotonic(), 0.001)) is not None:
                pass
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(timeout=1)
        if self._keeper.poll() is None:
            self._keeper.kill()
            self._keeper.wait()
        for pipe in (self._keeper.stdout, self._keeper.stderr):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leave()


@contextlib.contextmanager
def folder_on(transport: Transport, limit: float, base: str | None = None) -> Iterator[Folder]:
    """A fresh folder for at most `limit` seconds."""
    with Folder(transport, time.monotonic() + limit, base) as made:
        yield made


def words_of(folder: Folder, program: str) -> Callable[[int, str], str]:
    """What became of a program there, from its exit status and error output."""

    def explain(status: int, noise: str) -> str:
        return folder.explained(folder.transport.ended(Done(status, b"", noise)), f"running {Path(program).name}")

    return explain
