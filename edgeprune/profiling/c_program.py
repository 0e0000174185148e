"""A C model as a timing program: compiled here, run in a folder on a device, timed until its median is known."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import EdgepruneError
from .c_op_times import marked_source, times_in_c
from .device_facts import facts
from .local import Child
from .measure import middle_of
from .native import Model, build_timer, processor_of, read_model
from .records import from_plain
from .result import Device, Latency, Memory, OpTime, Profile
from .targets import Target
from .timing import MOST_RUNS, PATIENCE, settled, summary
from .transport import Folder, words_of

TURN_SECONDS = 0.2
TURN_RUNS = 20_000


def profile_c(target: Target, path: Path, folder: Folder, settings: dict[str, Any], seed: int, ops: bool) -> Profile:
    """The profile of a C model, compiled here for the target and run in the folder."""
    model = read_model(path)
    with tempfile.TemporaryDirectory() as own:
        binary, given = Path(own, "timer"), Path(own, "inputs")
        features = () if target.name == "host" else target.hardware.features
        compiler = build_timer(model, target.hardware.isa, features, binary)
        built = processor_of(binary)
        if built not in (None, target.hardware.isa):
            raise EdgepruneError(f"{compiler} made a program for {built}, not for {target.hardware.isa}")
        given.write_bytes(b"".join(each.astype("<f4").tobytes() for each in model.random_inputs(seed)))
        program = folder.put(binary, "timer", executable=True)
        inputs = folder.put(given, "inputs")

    def trial() -> Profile:
        command = folder.starting([program, inputs, folder.at("outputs"), str(settings["warmup"])])
        with Child(path, command, folder.deadline, words_of(folder, program)) as child:
            ready = child.answer()
            samples, energy = samples_until_settled(asked(child), settings["runs"], settings["min_seconds"], ready["together"])
            child.finish()
        found = profile_of_c(model, compiler, ready, samples, facts(folder), settings["runs"], seed)
        return dataclasses.replace(found, energy_mj=energy)

    found = middle_of(trial, folder.deadline)
    model.split(folder.get("outputs"))
    if not ops:
        return found
    clock_ms = found.clock_ms * found.latency_ms.together
    times, by = _op_times_in_c(target, model, folder, inputs, found.latency_ms.p50, clock_ms)
    return dataclasses.replace(found, ops=times, ops_by=by)


def profile_of_c(
    model: Model, compiler: str, ready: dict[str, Any], samples: Sequence[int], device: Device, runs: int, seed: int
) -> Profile:
    """What a timing program said when it was warm, and the nanoseconds of its samples."""
    figures = summary(samples, ready["together"])
    return Profile(
        path=str(model.path),
        bytes=model.path.stat().st_size,
        sha256=hashlib.sha256(model.path.read_bytes()).hexdigest(),
        runtime=f"C (edgeprune {model.version}, {compiler})",
        threads=1,
        load_ms=float(ready["load_ms"]),
        first_run_ms=float(ready["first_run_ms"]),
        latency_ms=from_plain(Latency, figures, "latency_ms"),
        settled=settled(figures) and figures["n"] >= runs,
        memory=None if ready["memory"] is None else from_plain(Memory, ready["memory"], "memory"),
        device=device,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        import_ms=0.0,
        clock_ms=float(ready["clock_ms"]) / ready["together"],
        seed=seed,
    )


def _op_times_in_c(
    target: Target, model: Model, folder: Folder, inputs: str, run_ms: float, clock_ms: float
) -> tuple[tuple[OpTime, ...], str]:
    with tempfile.TemporaryDirectory() as own:
        binary, source = Path(own, "op_timer"), Path(own, "marked.c")
        names = marked_source(model, source)
        features = () if target.name == "host" else target.hardware.features
        build_timer(model, target.hardware.isa, features, binary, source=source, marks=len(names))
        program = folder.put(binary, "op_timer", executable=True)
    command = folder.starting([program, inputs, folder.at("outputs"), "10"])
    with Child(model.path, command, folder.deadline, words_of(folder, program)) as child:
        child.answer()
        return times_in_c(model, names, child, run_ms, clock_ms)


Turn = Callable[[float, int], tuple[Sequence[int], int]]


def asked(child: Child) -> Turn:
    """A turn of the timing program."""

    def turn(seconds: float, most: int) -> tuple[Sequence[int], int]:
        child.ask(f"run {seconds} {most}")
        said = child.answer()
        return said["samples"], int(said["energy_uj"])

    return turn


def samples_until_settled(turn: Turn, runs: int, min_seconds: float, together: int) -> tuple[Sequence[int], float | None]:
    """(nanoseconds of `together` runs each, millijoules of one where they are counted).

    Until there are enough and the median is settled, or patience ends. `turn` takes seconds and a number of samples at most; it
    gives samples and the microjoules of them all, negative where nothing counts them.
    """
    samples = array("q")
    spent, energy = 0.0, 0
    while True:
        taken, counted = turn(min(TURN_SECONDS, max(min_seconds, 0.01)), TURN_RUNS)
        # One turn without a count, and the sum is none.
        energy = -1 if energy < 0 or counted < 0 else energy + counted
        samples.extend(taken)
        spent += sum(taken) / 1e9
        patient = spent < PATIENCE * min_seconds and len(samples) < MOST_RUNS
        known = len(samples) * together >= runs and spent >= min_seconds and settled(summary(samples))
        if known or not patient:
            return samples, energy / 1e3 / (len(samples) * together) if energy > 0 else None
