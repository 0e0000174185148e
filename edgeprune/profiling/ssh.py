"""Devices over the user's own ssh: its keys, its config, its agent."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence

from ..errors import EdgepruneError
from .transport import Done, Transport

# No question is asked, because nobody may be there to answer; a connection that has died is noticed within fifteen seconds.
OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")


class SSH(Transport):
    """A machine by its ssh destination: a host, user@host, ssh://user@host:port, or a name from the user's ssh config.

    Files go through `cat`, which small boards have even where they have no sftp.
    """

    def __init__(self, host: str, options: Sequence[str] = ()) -> None:
        if not host or host.startswith("-") or any(c.isspace() for c in host):
            raise EdgepruneError(f"{host!r} is no ssh destination; give one like pi@raspberrypi.local")
        if shutil.which("ssh") is None:
            raise EdgepruneError("there is no ssh on this machine; install the OpenSSH client (apt-get install openssh-client)")
        self.host = host
        self.options = tuple(options)
        self.name = f"{host} over ssh"

    def command(self, script: str) -> list[str]:
        # The login shell there may be any; it is asked to start a POSIX one.
        return ["ssh", *OPTIONS, *self.options, "--", self.host, f"exec sh -c {shlex.quote(script)}"]

    def trouble(self, done: Done) -> str | None:
        if done.status != 255:
            return None
        said = done.said
        if "Host key verification failed" in said:
            return f"{said} Connect once by hand (ssh {self.host}) to accept its key"
        if "Permission denied" in said:
            return f"{said}; no password is asked here: let a key in with ssh-copy-id {self.host}"
        return f"{said}; try by hand: ssh {self.host}"
