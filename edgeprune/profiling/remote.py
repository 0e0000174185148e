"""Profiles on a device: the real artifact in its real runtime, or its C code as a program, over a transport."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from ..errors import EdgepruneError
from ..formats import require_safe
from . import op_times
from .adb import ADB
from .browser import profile_in_browser
from .c_program import profile_c
from .detection import cpu_features, isa_of, machine, nvidia_gpus
from .device_facts import conditions
from .local import DRIVERS, ENVIRONMENT, RUNNER, TIMING, Child
from .measure import FilePath, check_accelerator, checked, conditions_here, options_for, profile, profile_of
from .result import Conditions, Profile
from .ssh import SSH
from .targets import Target, load_target
from .transport import Folder, Local, Transport, words_of


def profile_on(
    target: Target | FilePath,
    path: FilePath,
    *,
    host: str | None = None,
    workdir: str | None = None,
    threads: int = 1,
    runs: int = 100,
    min_seconds: float = 1.0,
    warmup: int = 10,
    runtime: str | None = None,
    python: str | None = None,
    timeout: float = 600.0,
    seed: int = 0,
    ops: bool = False,
    accelerator: str | None = None,
    browser: str | None = None,
) -> Profile:
    """Load time, first run, latency and peak memory of a .tflite, .onnx, .pt2 or .c model on a device.

    `target` is a Target, its name or a folder. `host` is where it is: an ssh destination, or the serial number of one of several
    devices that adb sees. Any other file than .c runs in a Python there, `python` or else python3, which needs numpy and a
    runtime; a .c file is compiled here into a static program, which needs nothing there. Files go into a fresh folder in
    `workdir`, by default the device's place for temporary files, and are removed again whatever happens.

    In a browser of this machine (the target wasm) a .c file runs as WebAssembly; `browser` is the path of a Chromium, by default
    the first that is installed.

    The other arguments are those of `profile`. Raises EdgepruneError when the device cannot be reached, is full, is another
    processor than the target, cannot run the file, is lost on the way, or when it all takes longer than `timeout` seconds.
    """
    target = target if isinstance(target, Target) else load_target(target)
    model = Path(path)
    suffix = model.suffix.lower()
    if suffix.lstrip(".") not in target.formats:
        raise EdgepruneError(f"{model}: {target.title} takes {', '.join(f'.{each}' for each in target.formats)} files")
    settings: dict[str, Any] = {"threads": threads, "runs": runs, "min_seconds": min_seconds, "warmup": warmup}
    if suffix != ".c":
        checked(model, **settings, runtime=runtime)
    elif threads != 1:
        raise EdgepruneError(f"threads is {threads}; a C model runs on one thread")
    accelerator = accelerator or target.accelerator
    check_accelerator(model, accelerator, ops=ops)
    if target.kind == "browser":
        rest = {"browser": browser, "timeout": timeout, "seed": seed}
        return _in_browser(target, model, settings, host=host, workdir=workdir, ops=ops, **rest)
    if browser is not None:
        raise EdgepruneError(
            f"{target.name} is no browser, but {browser} was named as one; leave it out (--binary), or take wasm"
        )
    transport = transport_for(target, host)
    if isinstance(transport, Local) and suffix != ".c":
        found = profile(
            model, **settings, runtime=runtime, python=python, timeout=timeout, seed=seed, ops=ops, accelerator=accelerator
        )
        return replaced(check_gpu(found, target), target, transport, found.before, found.after)
    if isinstance(transport, ADB) and suffix != ".c":
        raise EdgepruneError(
            f"{model} cannot run on {transport.name}: Android has no Python; write the model as C and measure that there, "
            "or name a benchmark program with --binary"
        )
    require_safe(model)
    with Folder(transport, time.monotonic() + timeout, workdir) as folder:
        check_processor(target, folder)
        before = conditions(transport)
        if suffix == ".c":
            found = profile_c(target, model, folder, settings, seed, ops)
        else:
            options = options_for(threads, warmup, runtime, seed, accelerator)
            options += ["--runs", str(runs), "--min-seconds", str(min_seconds)]
            found = check_gpu(_profile_in_python(model, folder, python or "python3", options, seed), target)
            if ops:
                found = _op_times_in_python(found, folder, python or "python3", options_for(threads, None, runtime, seed))
        return replaced(found, target, transport, before, conditions(transport))


def _in_browser(
    target: Target, model: Path, settings: dict[str, Any], *, host: str | None, workdir: str | None, ops: bool, **rest: Any
) -> Profile:
    for given, word in ((host, "host (--host)"), (workdir, "workdir (--workdir)"), (ops, "ops (--ops)")):
        if given:
            raise EdgepruneError(f"a browser of this machine runs the model as one whole; leave out {word}")
    before = conditions_here()
    found = profile_in_browser(target, model, settings, **rest)
    return dataclasses.replace(
        found, target=target.name, reached="a browser on this machine", before=before, after=conditions_here()
    )


def transport_for(target: Target, host: str | None) -> Transport:
    """How this target is reached. Raises EdgepruneError saying what is needed when it cannot be."""
    if "local" in target.transports and host is None and runs_here(target):
        return Local()
    if "ssh" in target.transports and host is not None:
        return SSH(host)
    if "adb" in target.transports:
        return ADB(host)
    if target.kind == "gpu" and target.hardware.gpu:
        seen = ", ".join(nvidia_gpus()) or "no GPU"
        raise EdgepruneError(
            f"this machine has no {target.hardware.gpu.name} (nvidia-smi sees {seen}); say where one is with --host, over ssh"
        )
    if "ssh" in target.transports:
        raise EdgepruneError(
            f"{target.name} is reached over ssh: say where it is with --host, like --host user@{target.name}.local"
        )
    if "local" in target.transports:
        raise EdgepruneError(f"this machine is no {target.title}; it lacks what the target names, or there is no --host for it")
    raise EdgepruneError(f"nothing can be measured on {target.name}: {target.needs}")


def runs_here(target: Target) -> bool:
    """Whether this machine is one of the target's kind."""
    hardware = target.hardware
    if target.kind == "gpu" and not (hardware.gpu and any(hardware.gpu.name in name for name in nvidia_gpus())):
        return False
    known = cpu_features()
    # What the base of an instruction set holds is no feature that needs asking for.
    return hardware.isa == isa_of(machine()) and known >= set(hardware.features) - {"neon", "asimd"}


def check_processor(target: Target, folder: Folder) -> None:
    """Refuses a device that is another than the target says, before anything is sent there."""
    said = folder.check(folder.shell("uname -m"), "asking for its processor").out.decode(errors="replace").split()
    found = isa_of(said[-1]) if said else "nothing"
    if found != target.hardware.isa:
        name = folder.transport.name
        raise EdgepruneError(
            f"{name} is {found}, but {target.name} is {target.hardware.isa}; choose the target that the device is"
        )


def check_gpu(found: Profile, target: Target) -> Profile:
    """Refuses what another GPU than the target's ran."""
    gpu, used = target.hardware.gpu, found.accelerator
    if target.kind == "gpu" and gpu and used and gpu.name not in used.device:
        raise EdgepruneError(f"{found.path} ran on {used.device}, but {target.name} is {gpu.name}; choose the target that it is")
    return found


def replaced(
    found: Profile, target: Target, transport: Transport, before: Conditions | None, after: Conditions | None
) -> Profile:
    return dataclasses.replace(found, target=target.name, reached=transport.name, before=before, after=after)


def _profile_in_python(model: Path, folder: Folder, python: str, options: list[str], seed: int) -> Profile:
    for needed in (DRIVERS, TIMING):
        folder.put(needed, needed.name)
    script = folder.put(RUNNER, RUNNER.name)
    remote = folder.put(model, f"model{model.suffix.lower()}")
    environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    command = folder.starting(["env", *environment, python, script, remote, *options])
    with Child(model, command, folder.deadline, words_of(folder, python)) as child:
        child.finish()
        return profile_of(model, child.answer(), seed)


def _op_times_in_python(found: Profile, folder: Folder, python: str, options: list[str]) -> Profile:
    script = folder.put(op_times.TIMER, op_times.TIMER.name)
    model = Path(found.path)
    environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    remote = folder.at(f"model{model.suffix.lower()}")
    command = folder.starting(["env", *environment, python, script, remote, *options])
    with Child(model, command, folder.deadline, words_of(folder, python)) as child:
        times, by = op_times.times_of(model, child)
    return dataclasses.replace(found, ops=times, ops_by=by)
