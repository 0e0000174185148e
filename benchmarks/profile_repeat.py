"""Whether a profile says the same twice, and what a loop written by hand says.

    edgeprune export samples/mnist/lenet_300_100.pt --target tflite,onnx,c -o dense
    edgeprune export out/mnist-1024x/pruned.pt --target tflite,onnx,c -o small      # pruned.pt: python3 dev.py demo
    python benchmarks/profile_repeat.py measure dense small --out benchmarks/profile_repeat.json
    python benchmarks/profile_repeat.py table benchmarks/profile_repeat.json --markdown benchmarks/profile_repeat.md

Time after time, every artifact is profiled as `edgeprune profile` does it, and beside each profile a process of its own runs the
plainest loop around the same runtime (bare_loop.c around a C model): a clock before and after as many runs as fit a fifth of a
millisecond, again and again for two seconds, the median of these. So short, because another process that is let in between would
count for all runs of a batch. Beside each pair stands how much of the processors' time other processes took meanwhile. On a machine
with nothing else to do --turns 5 will do (five minutes); of more the table shows the five with the least of that. What --out holds
stays, and is gone on with.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.profiling import Profile, profile, profile_on
from edgeprune.profiling.native import read_model

SHOWN = 5
WANTED = 0.1  # the spread that repeated profiles should stay within
BATCH_SECONDS = 2e-4


def bare(path: str) -> float:
    """Microseconds a run."""
    if path.endswith(".c"):
        return bare_in_c(Path(path))
    if path.endswith(".tflite"):
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(path, num_threads=1)
        interpreter.allocate_tensors()
        given = interpreter.get_input_details()[0]
        interpreter.set_tensor(given["index"], np.random.default_rng(0).random(given["shape"], np.float32))
        run = interpreter.invoke
    else:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options)
        binding = session.io_binding()
        shape = [n if isinstance(n, int) else 1 for n in session.get_inputs()[0].shape]
        binding.bind_cpu_input(session.get_inputs()[0].name, np.random.default_rng(0).random(shape, np.float32))
        binding.bind_output(session.get_outputs()[0].name)

        def run() -> None:
            session.run_with_iobinding(binding)

    def timed(runs: int) -> float:
        start = time.perf_counter()
        for _ in range(runs):
            run()
        return (time.perf_counter() - start) / runs

    batch = max(round(BATCH_SECONDS / min(timed(1) for _ in range(1000))), 1)
    times = []
    end = time.perf_counter() + 2.5
    while time.perf_counter() < end:
        times.append(timed(batch))
    return 1e6 * statistics.median(times[len(times) // 5 :])


def bare_in_c(path: Path) -> float:
    """The same of a C model, in a program of its own."""
    model = read_model(path)
    floats = max(math.prod(shape) for shape in (*model.inputs, *model.outputs))
    names = {"RUN": f"{model.prefix}_run", "ARENA_BYTES": f"{model.prefix}_arena_bytes", "FLOATS": str(floats)}
    defines = [f"-D{name}={value}" for name, value in (names | {"HEADER": f'"{path.with_suffix(".h").name}"'}).items()]
    loop = Path(__file__).with_name("bare_loop.c")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "loop")
        flags = ["-O3", "-ffp-contract=fast", "-march=native", f"-I{path.absolute().parent}", *defines]
        subprocess.run(["cc", *flags, str(loop), str(path), "-o", str(program), "-lm"], check=True)
        return float(subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout)


def busy() -> float:
    """Seconds that the processors worked, for whomever."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    return (sum(map(int, fields)) - int(fields[3]) - int(fields[4])) / os.sysconf("SC_CLK_TCK")


def own() -> float:
    """Of those, for this process and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def pair(path: Path) -> tuple[Profile, float]:
    found = profile_on("host", path) if path.suffix == ".c" else profile(path)
    done = subprocess.run([sys.executable, __file__, "bare", str(path)], capture_output=True, text=True, check=True)
    return found, float(done.stdout.split()[-1])


def measure(folders: list[str], out: Path, turns: int) -> None:
    artifacts = [path for folder in folders for suffix in ("tflite", "onnx", "c") if (path := Path(folder, f"model.{suffix}")).is_file()]
    rows: dict[str, dict[str, Any]] = {row["file"]: row for row in json.loads(out.read_text())} if out.exists() else {}
    for turn in range(turns):
        for path in artifacts:
            row = rows.setdefault(name(path), {"file": name(path), "turns": []})
            if len(row["turns"]) > turn:
                continue
            start, before, mine = time.monotonic(), busy(), own()
            found, hand = pair(path)
            elapsed = (time.monotonic() - start) * (os.cpu_count() or 1)
            others = (busy() - before - (own() - mine)) / elapsed
            row["runtime"], row["cpu"] = found.runtime, found.device.cpu
            figures = (1e3 * found.latency_ms.p50, hand, others)
            row["turns"].append({key: round(each, 4) for key, each in zip(("profile_us", "bare_us", "others"), figures, strict=True)})
            print(name(path), row["turns"][-1], flush=True)
            out.write_text(json.dumps(list(rows.values()), indent=1) + "\n")


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def quietest(row: dict[str, Any]) -> list[dict[str, float]]:
    """The five turns with the least other work, in the order they were taken."""
    chosen = sorted(row["turns"], key=lambda turn: turn["others"])[:SHOWN]
    return [turn for turn in row["turns"] if turn in chosen]


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"Five profiles of each artifact on one thread of an {rows[0]['cpu']}, microseconds, and a loop written by hand beside each.",
        "Made by `benchmarks/profile_repeat.py`; its head says how. Spread is the largest median over the smallest, minus one; *others* is the",
        "share of the processors' time that other processes took meanwhile.",
        "",
        "| artifact | runtime | medians of the five | spread | loop by hand | profile over loop | others |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        medians = ", ".join(f"{turn['profile_us']:.3g}" for turn in quietest(row))
        hand = f"{statistics.median(turn['bare_us'] for turn in quietest(row)):.3g} | {against(row):.3f}"
        others = statistics.median(turn["others"] for turn in quietest(row))
        lines.append(f"| {row['file']} | {row['runtime']} | {medians} | {spread(row):.1%} | {hand} | {others:.0%} |")
    wide = [row["file"] for row in rows if spread(row) > WANTED]
    within = f"Not within {WANTED:.0%}: {', '.join(wide)}." if wide else f"All within {WANTED:.0%}."
    lines += ["", f"{within} What others took beside a C model is mostly its own compiler and program."]
    return "\n".join(lines) + "\n"


def spread(row: dict[str, Any]) -> float:
    times = [turn["profile_us"] for turn in quietest(row)]
    return max(times) / min(times) - 1


def against(row: dict[str, Any]) -> float:
    """The profiles' median over the loop's."""
    profiles, loops = ([turn[name] for turn in quietest(row)] for name in ("profile_us", "bare_us"))
    return statistics.median(profiles) / statistics.median(loops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("bare")
    one.add_argument("path")
    taking = commands.add_parser("measure")
    taking.add_argument("folders", nargs="+")
    taking.add_argument("--out", required=True)
    taking.add_argument("--turns", type=int, default=SHOWN)
    writing = commands.add_parser("table")
    writing.add_argument("json")
    writing.add_argument("--markdown", required=True)
    given = parser.parse_args()
    if given.command == "bare":
        print(bare(given.path))
    elif given.command == "measure":
        measure(given.folders, Path(given.out), given.turns)
    else:
        Path(given.markdown).write_text(table(json.loads(Path(given.json).read_text())))


if __name__ == "__main__":
    main()
