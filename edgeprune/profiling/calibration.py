"""What LiteRT's kernels take on a device, fitted to the times of small models that are made to show one kernel each."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EdgepruneError
from ..files import write_atomic
from ..formats import write
from ..graph import Graph, Node, Op, Value
from ..ops import Activation, Conv, Linear, Pad, Select
from ..sparse import Costs
from .measure import FilePath, profile
from .records import to_plain
from .remote import profile_on
from .targets import Source, Target, load_target

# A model to the microseconds of one run.
Clock = Callable[[Path], float]

# With these, a layer is written dense, or sparse, whatever its density.
DENSE, SPARSE = Costs(sparse_ns=1e6, check_ns=1e6), Costs(conv_ns=1e6, pointwise_ns=1e6)

_LINES = 8  # of the chains that show what an operator's call takes


def calibrate(
    out: FilePath, *, target: Target | FilePath = "host", host: str | None = None, clock: Clock | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Target:  # fmt: skip
    """Fits what LiteRT's kernels take and writes the folder `out`, which is then a target; returns it.

    The times are taken on this machine; with `host` on the device of `target` that is reached there. `clock` takes them instead
    where it is given. Raises EdgepruneError when the device cannot be measured, or its times make no sense.
    """
    known = target if isinstance(target, Target) else load_target(target)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise EdgepruneError(f"{folder} is a file; name a folder for the target")
    taken = clock or _clock(known, host)
    costs = fit(taken, progress)
    origin = "edgeprune calibrate: LiteRT's times of small models, one thread"
    sources = {**known.sources, "kernels.litert": Source("measured", origin)}
    made = dataclasses.replace(
        known, name=folder.absolute().name, title=f"{known.title}, calibrated", kernels={"litert": costs}, sources=sources
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "target.toml", toml(to_plain(made)).encode())
    return load_target(folder / "target.toml")


def _clock(target: Target, host: str | None) -> Clock:
    def on_this_machine(path: Path) -> float:
        return profile(path, min_seconds=0.2, warmup=3).latency_ms.p50 * 1e3

    def there(path: Path) -> float:
        return profile_on(target, path, host=host, min_seconds=0.2, warmup=3).latency_ms.p50 * 1e3

    return on_this_machine if target.name == "host" and host is None else there


def fit(clock: Clock, progress: Callable[[str], None] = lambda text: None) -> Costs:
    """The costs by which the times of the probes are explained best. Raises EdgepruneError where one would be negative."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:

        def us(name: str, value: Value, *ops: Op, costs: Costs = DENSE) -> float:
            progress(name)
            path = Path(folder) / f"{name}.tflite"
            names = ["x", *(f"y{i}" for i in range(len(ops)))]
            nodes = tuple(Node(made, op, (read,)) for made, op, read in zip(names[1:], ops, names, strict=False))
            write(Graph({"x": value}, (names[-1],), nodes), path, optimize="latency", costs=costs)
            return clock(path)

        def weight(*shape: int, density: float = 1.0) -> Any:
            kept = rng.random(shape) < density
            return np.where(kept, rng.standard_normal(shape), 0).astype(np.float32)

        # Ops of next to no work, two and several of them: the difference is calls. The runtime's parts take them in turns.
        lines: list[Op] = [Activation("elu", 1.0), Select(rng.permutation(16))] * (_LINES // 2)
        call = us("two ops", Value((16,)), *lines[:2])
        op = max((us("ops", Value((16,)), *lines) - call) / (_LINES - 2), 0.05)
        start = max(call - 2 * op, 0.0)

        def per(name: str, count: float, value: Value, *ops: Op) -> float:
            return (us(name, value, *ops) - start - op) * 1e3 / count

        maps = Value((64, 32, 32))
        pads = ((1, 1), (1, 1))
        conv = per("conv", 64 * 64 * 9 * 1024, maps, Conv(weight(64, 64, 3, 3), None, padding=pads))
        pointwise = per("pointwise", 256 * 256 * 196, Value((256, 14, 14)), Conv(weight(256, 256, 1, 1)))
        depthwise = per("depthwise", 256 * 9 * 196, Value((256, 14, 14)), Conv(weight(256, 1, 3, 3), padding=pads, groups=256))
        dense = us("linear", Value((1024,)), Linear(weight(1024, 1024)))
        read = ((dense - start - op) * 1e3 - 1024 * 1024 * pointwise) / (4 * 1024 * 1024)
        gather = per("gather", 16 * 1024, maps, Select(np.sort(rng.permutation(64)[:16])))
        wide = ((4, 4), (4, 4))
        copy = per("copy", 4 * 64 * 40 * 40, maps, Pad(wide))
        # Sparse matrices at several densities and numbers of places: the rest is three unknowns.
        rows, times = [], []
        for places, size, density in ((1, 1024, 0.02), (1, 1024, 0.1), (64, 256, 0.002), (64, 256, 0.02), (256, 128, 0.05)):
            matrix = weight(size, size, density=density)
            nonzeros = int(np.count_nonzero(matrix))
            value = Value((size,)) if places == 1 else Value((places, size), 1)
            took = us(f"sparse {places} {density}", value, Linear(matrix), costs=SPARSE)
            rows.append((nonzeros, nonzeros * places, size * places))
            times.append((took - start - op) * 1e3)
    # Relative errors count: each equation by its own time.
    matrix, wanted = np.array(rows) / np.array(times)[:, None], np.ones(len(times))
    check, sparse, row = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    found = {
        "conv_ns": conv, "pointwise_ns": pointwise, "depthwise_ns": depthwise, "weight_ns": max(read, 1e-4),
        "sparse_ns": sparse, "check_ns": max(check, 1e-3), "row_ns": max(row, 1e-3), "copy_ns": copy, "gather_ns": gather,
        "op_ns": op * 1e3,
    }  # fmt: skip
    for name, value in found.items():
        if not value > 0:
            raise EdgepruneError(f"the times make no sense: {name} would be {value:.2g}; run it again on a quiet machine")
    return Costs(**{name: float(f"{value:.3g}") for name, value in found.items()})


def toml(plain: Mapping[str, Any]) -> str:
    """Plain types as TOML: simple fields first, then tables, then lists of tables."""
    lines: list[str] = []
    _table(plain, (), lines)
    return "\n".join(lines).strip() + "\n"


def _table(plain: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    simple = {k: v for k, v in plain.items() if v is not None and not _is_table(v)}
    lines += [f"{_key(name)} = {_value(value)}" for name, value in simple.items()]
    for name, value in plain.items():
        here = ".".join((*path, _key(name)))
        if isinstance(value, Mapping) and value:
            lines += ["", f"[{here}]"]
            _table(value, (*path, _key(name)), lines)
        elif _is_table(value):
            for each in value:
                lines += ["", f"[[{here}]]"]
                _table(each, (*path, _key(name)), lines)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)
