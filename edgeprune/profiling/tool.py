"""Measures with a benchmark program that the user has: sent to the device or already there, run, read.

A program is known by the file it runs: benchmark_model.py reads those for .tflite, perf_test.py that for .onnx.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import EdgepruneError
from . import benchmark_model, perf_test
from .device_facts import conditions, facts
from .measure import FilePath, checked
from .native import processor_of
from .op_times import Timed, joined
from .remote import check_processor, transport_for
from .result import OpTime
from .targets import Target, load_target
from .tool_result import Asked, Said, ToolProfile
from .transport import Done, Folder, Local
from .work import work_of

# file: (what its programs are called, what may lie beside one and be needed)
TOOLS = {
    ".tflite": ("benchmark_model, benchmark_litert_model or litert-benchmark", "libLiteRt*"),
    ".onnx": ("onnxruntime_perf_test", "libonnxruntime*"),
}
OP_RUNS = 50

# How programs say that an option is unknown to them, and which.
UNKNOWN = re.compile(r"(?:invalid option -- |Unknown command line flag |unrecognized (?:option|arguments):? )'?(-*[\w-]+)")
# The line that says why a program gave up; what follows it is often its usage.
WHY = re.compile(r"error|fail|exception|what\(\)|fatal|abort|cannot|could not|invalid", re.IGNORECASE)


def profile_with_tool(
    program: FilePath,
    path: FilePath,
    *,
    target: Target | FilePath = "host",
    host: str | None = None,
    workdir: str | None = None,
    threads: int = 1,
    runs: int = 100,
    min_seconds: float = 1.0,
    warmup: int = 10,
    timeout: float = 600.0,
    seed: int = 0,
    ops: bool = False,
) -> ToolProfile:
    """What a benchmark program says of a .tflite or .onnx file, on this machine or over ssh or adb.

    `program` is a file here, which is sent with the libraries of its runtime beside it, or else the path or the name of a program
    on the device. For .tflite it is benchmark_model (also plus_flex), benchmark_litert_model or litert-benchmark, for .onnx
    onnxruntime_perf_test. The program warms up, feeds and times in its own way; what it does not print is None. With `ops` it
    runs once more, timing op by op, where it can.

    Raises EdgepruneError when the device cannot be reached, the program is for another processor, is not there, fails, crashes,
    does not know what it is asked, prints no times, or when it all takes longer than `timeout` seconds.
    """
    target = target if isinstance(target, Target) else load_target(target)
    model = Path(path)
    suffix = model.suffix.lower()
    if suffix not in TOOLS:
        known = "; ".join(f"{each} by {names}" for each, (names, _) in TOOLS.items())
        raise EdgepruneError(f"{model} is run by no benchmark program that is known here; they run {known}")
    checked(model, threads=threads, runs=runs, min_seconds=min_seconds, warmup=warmup, runtime=None)
    transport = transport_for(target, host)
    with Folder(transport, time.monotonic() + timeout, workdir) as folder:
        check_processor(target, folder)
        before = conditions(transport)
        tool = _tool(os.fspath(program), suffix, target, folder)
        asked = Asked(folder.put(model, f"model{suffix}"), threads, runs, min_seconds, warmup, seed)
        said, call, timed = (_tflite if suffix == ".tflite" else _onnx)(tool, asked, folder)
        op_times, by = _ops(model, timed) if ops else ((), "")
        data = model.read_bytes()
        return ToolProfile(
            path=str(model),
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            target=target.name,
            reached=transport.name,
            tool=tool.name,
            tool_sha256=tool.sha256,
            command=shlex.join(call).replace(folder.path, "DIR"),
            threads=threads,
            load_ms=said.load_ms,
            first_run_ms=said.first_run_ms,
            latency_ms=said.times,
            step_ms=said.step_ms,
            memory=said.memory,
            device=facts(folder),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            said=said.lines,
            before=before,
            after=conditions(transport),
            ops=op_times,
            ops_by=by,
        )


@dataclass(frozen=True)
class Tool:
    """A program where it can be run."""

    name: str
    path: str
    sha256: str | None
    libraries: bool = False  # whether its libraries were sent along

    def run(self, call: list[str], folder: Folder) -> str:
        """All that it printed. Raises EdgepruneError with its reason when it fails."""
        given = ["env", f"LD_LIBRARY_PATH={folder.path}", *call] if self.libraries else call
        done = folder.attempt(given)
        text = f"{done.out.decode(errors='replace')}\n{done.err}"
        if not done.status:
            return text
        unknown = UNKNOWN.search(text)
        if unknown:
            option = unknown[1] if unknown[1].startswith("-") else f"-{unknown[1]}"
            raise EdgepruneError(f"{self.name} on {folder.transport.name} does not know {option}; take a newer build of it")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        why = next((line for line in reversed(lines) if WHY.search(line)), lines[-1] if lines else "")
        raise EdgepruneError(folder.explained(Done(done.status, b"", why), f"running {self.name}"))


# What was said, the call, and what times the ops.
Measured = tuple[Said, list[str], Callable[[], list[Timed]]]


def _tool(program: str, suffix: str, target: Target, folder: Folder) -> Tool:
    """The program on the device, sent there if it is a file here."""
    here = isinstance(folder.transport, Local)
    found = program if Path(program).is_file() else shutil.which(program) if here else None
    if found is None:
        done = folder.shell(f"command -v {shlex.quote(program)}")
        there = done.out.decode(errors="replace").strip()
        if done.status or not there or here:
            where = "here" if here else f"here nor a program on {folder.transport.name}"
            raise EdgepruneError(
                f"{program} is no file {where}; give the path of {TOOLS[suffix][0]}, built for {target.hardware.isa}"
            )
        return Tool(Path(program).name, there, None)
    own = Path(found).absolute()
    built = processor_of(own)
    if built not in (None, target.hardware.isa):
        raise EdgepruneError(f"{program} is built for {built}, but {target.name} is {target.hardware.isa}; take a build for that")
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    if here:
        if not os.access(own, os.X_OK):
            raise EdgepruneError(f"{program} may not be executed; allow it: chmod +x {program}")
        return Tool(own.name, str(own), digest)
    libraries = sorted(each for each in own.parent.glob(TOOLS[suffix][1]) if ".so" in each.name)
    for each in libraries:
        folder.put(each, each.name)
    return Tool(own.name, folder.put(own, own.name, executable=True), digest, bool(libraries))


def _tflite(tool: Tool, asked: Asked, folder: Folder) -> Measured:
    call = benchmark_model.command(tool.path, tool.name, asked)
    text = tool.run(call, folder)
    said = _read(tool, folder, text, lambda: benchmark_model.read(text))
    return said, call, lambda: benchmark_model.read_ops(tool.run(benchmark_model.with_ops(call), folder))


def _onnx(tool: Tool, asked: Asked, folder: Folder) -> Measured:
    # It runs for a time or a number of times: where the time was too short for the runs, once more.
    call = perf_test.command(tool.path, asked, seconds=max(math.ceil(asked.min_seconds), 1))
    said = _perf_test(tool, folder, call)
    if said.times.n < asked.runs:
        call = perf_test.command(tool.path, asked)
        said = _perf_test(tool, folder, call)

    def ops() -> list[Timed]:
        few = dataclasses.replace(asked, runs=min(asked.runs, OP_RUNS))
        tool.run(perf_test.command(tool.path, few, profile=True), folder)
        listed = folder.shell(f"ls {shlex.quote(folder.path)}").out.decode(errors="replace").split()
        names = [name for name in listed if name.startswith(perf_test.PROFILE) and name.endswith(".json")]
        if not names:
            raise EdgepruneError("it wrote no profile")
        try:
            return perf_test.read_ops(json.loads(folder.get(names[-1])))
        except ValueError as error:
            raise EdgepruneError(f"its profile is no JSON: {error}") from None

    return said, call, ops


def _perf_test(tool: Tool, folder: Folder, call: list[str]) -> Said:
    place = shlex.quote(folder.at(perf_test.RESULTS))
    folder.check(folder.shell(f"rm -f {place}"), "clearing its results")
    text = tool.run(call, folder)
    results = folder.transport.fetch(place, folder.left())
    return _read(tool, folder, text, lambda: perf_test.read(text, "" if results.status else results.out.decode(errors="replace")))


def _read(tool: Tool, folder: Folder, text: str, reading: Callable[[], Said]) -> Said:
    try:
        said = reading()
        if not said.times.middle > 0:
            raise EdgepruneError(f"it counts in steps of {1e3 * said.step_ms:g} µs, and a run takes less; leave out --binary")
        return said
    except EdgepruneError as error:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        last = f", and said last: {lines[-1][:200]}" if lines else ""
        raise EdgepruneError(f"{tool.name} on {folder.transport.name} cannot be read: {error}{last}") from None


def _ops(model: Path, timed: Callable[[], list[Timed]]) -> tuple[tuple[OpTime, ...], str]:
    """(times, what took them), or ((), why there are none)."""
    try:
        found = timed()
    except EdgepruneError as error:
        return (), f"not timed: {error}"
    try:
        work = work_of(model)
    except EdgepruneError:
        work = []
    return joined(found, work), "the program's own profile, in another call"
