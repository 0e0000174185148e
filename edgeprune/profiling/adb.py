"""Android devices over the stock adb."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from ..errors import EdgepruneError
from .transport import CONNECTING, Done, Transport, finished

STATES = {
    "unauthorized": "unlock it and allow USB debugging for this computer",
    "offline": "unplug it and plug it in again, or run: adb reconnect",
    "no permissions": "this user may not use the USB device: install android-sdk-platform-tools-common, or add a udev rule",
    "recovery": "start Android on it",
    "bootloader": "start Android on it",
    "sideload": "start Android on it",
}


class ADB(Transport):
    """A device by its serial number, host:port for one over TCP, or None for the only one there is."""

    base = "/data/local/tmp"

    def __init__(self, serial: str | None = None) -> None:
        self.serial = _chosen(serial)
        self.name = f"{self.serial} over adb"

    def _adb(self, *words: str) -> list[str]:
        return ["adb", "-s", self.serial, *words]

    def command(self, script: str) -> list[str]:
        return self._adb("shell", "-T", f"sh -c {shlex.quote(script)}")

    def send(self, local: Path, remote: str, limit: float) -> Done:
        done = finished(self._adb("push", str(local), _plain(remote)), limit, f"copying {local.name} to {self.name}")
        if done.status:
            return done
        # Some versions of adb report success for what a full device has cut short.
        check = f'[ "$(wc -c <{remote})" -eq {local.stat().st_size} ] || {{ echo "No space left on device" >&2; exit 1; }}'
        return self.ask(check, limit, f"copying {local.name}")

    def trouble(self, done: Done) -> str | None:
        said = done.err.strip().splitlines()
        for line in reversed(said):
            for state, cure in STATES.items():
                if f"device {state}" in line:
                    return f"it is {state}; {cure}"
            if line.startswith(("error: device", "adb: device", "error: closed", "adb: error: failed to get feature set")):
                return f"{line}; see what is connected with: adb devices"
        return None


def _plain(remote: str) -> str:
    """adb push takes the path itself, not a shell's word for it."""
    return shlex.split(remote)[0]


def devices() -> dict[str, tuple[str, str]]:
    """serial: (state, model) of what adb sees. Raises EdgepruneError when there is no adb."""
    if shutil.which("adb") is None:
        raise EdgepruneError("there is no adb on this machine; install it (apt-get install adb, or Android's platform tools)")
    done = finished(["adb", "devices", "-l"], CONNECTING, "adb devices")
    if done.status:
        raise EdgepruneError(f"adb devices failed: {done.said}")
    found = {}
    for line in done.out.decode(errors="replace").splitlines():
        serial, _, rest = line.partition(" ")
        words = rest.split()
        if not words or serial in ("List", "*"):
            continue
        state = "no permissions" if rest.strip().startswith("no permissions") else words[0]
        model = next((word.removeprefix("model:") for word in words if word.startswith("model:")), "")
        found[serial] = (state, model)
    return found


def _chosen(serial: str | None) -> str:
    found = devices()
    if serial is not None and serial not in found and ":" in serial:
        finished(["adb", "connect", serial], CONNECTING, f"adb connect {serial}")
        found = devices()
    if serial is None:
        if not found:
            raise EdgepruneError(
                "adb sees no device; plug one in with USB debugging on, or name one over TCP with --host ADDRESS:5555"
            )
        if len(found) > 1:
            raise EdgepruneError(f"adb sees {len(found)} devices; name one with --host: {', '.join(found)}")
        serial = next(iter(found))
    if serial not in found:
        seen = ", ".join(found) or "none"
        raise EdgepruneError(f"adb sees no device {serial}; it sees: {seen}")
    state = found[serial][0]
    if state != "device":
        cure = STATES.get(state, "see what is connected with: adb devices")
        raise EdgepruneError(f"the device {serial} is {state}; {cure}")
    return serial
