"""A C model in a browser: compiled to WebAssembly, served from this machine, run and timed in headless Chromium."""

from __future__ import annotations

import base64
import dataclasses
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EdgepruneError
from ..formats import c
from ..graph import Array
from . import chromium
from .c_program import profile_of_c, samples_until_settled
from .chromium import Page, PageError
from .device_facts import facts
from .drivers import FLOAT32
from .measure import middle_of
from .native import Model, read_model
from .result import Browser, Device, Profile
from .targets import Target
from .timing import error_of
from .transport import Local, folder_on

SCRIPT = Path(__file__).with_name("browser_timer.js")
PAGE = f'<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script src="{SCRIPT.name}"></script>'


def profile_in_browser(
    target: Target, path: Path, settings: dict[str, Any], *, browser: str | None, timeout: float, seed: int
) -> Profile:
    """The profile of a C model as a page runs it; of short runs the middle one of several browsers, one after the other.

    `browser` is the path of a Chromium or Chrome, by default the first that is installed. Raises EdgepruneError when there is
    none or no compiler, when the browser ends, crashes or takes longer than `timeout` seconds, and when it computes something
    else than the same C code compiled for this machine.
    """
    if "simd128" not in target.hardware.features:
        raise EdgepruneError(f"{target.name}.hardware.features lacks 'simd128'; modules are built with SIMD alone, so add it")
    deadline = time.monotonic() + timeout
    model = read_model(path)
    given = model.random_inputs(seed)
    with folder_on(Local(), timeout) as folder:
        device = facts(folder)
    with tempfile.TemporaryDirectory() as own:
        built = c.build(path, Path(own, "model.wasm"), "wasm32")
        Path(own, "inputs").write_bytes(b"".join(each.astype("<f4").tobytes() for each in given))
        Path(own, SCRIPT.name).write_bytes(SCRIPT.read_bytes())
        Path(own, "index.html").write_text(PAGE)
        expected = [each[0] for each in c.load(path).run(*(each[None] for each in given))]

        def trial() -> Profile:
            with chromium.served(Path(own), isolated=True) as address, chromium.page(browser, deadline) as page:
                try:
                    page.go(f"{address}/index.html")
                    return _measured(page, model, built, expected, device, settings, seed)
                except PageError as error:
                    lines = str(error).splitlines()
                    raise PageError(f"profiling {path} in a browser: {lines[0]}") from None

        return middle_of(trial, deadline)


def _measured(
    page: Page, model: Model, built: c.Built, expected: Sequence[Array], device: Device, settings: dict[str, Any], seed: int
) -> Profile:
    sizes = [[int(np.prod(shape, dtype=np.int64)) for shape in side] for side in (model.inputs, model.outputs)]
    words = ", ".join(json.dumps(each) for each in (model.prefix, *sizes, settings["warmup"]))
    ready = page.evaluate(f"start({words})")

    def turn(seconds: float, most: int) -> tuple[Sequence[int], int]:
        return page.evaluate(f"turn({seconds}, {most})"), -1

    samples, _ = samples_until_settled(turn, settings["runs"], settings["min_seconds"], ready["together"])
    made = model.split(b"".join(map(base64.b64decode, ready["outputs"])))
    name = page.call("Browser.getVersion")["product"].removeprefix("Headless").replace("/", " ")
    error = error_of(made, expected)
    if not error <= FLOAT32:
        raise EdgepruneError(
            f"{name} computes something else of {model.path} than the same C code here: the largest error is {error:.2g} of the "
            f"largest output, and adding in another order explains {FLOAT32:g} at most; write the model again"
        )
    ran_in = Browser(
        name=name,
        simd=True,
        tick_ms=ready["tick_ms"],
        module_bytes=built.bytes,
        memory_bytes=ready["memory_bytes"],
        largest_relative_error=error,
        same_class=all(int(ours.argmax()) == int(theirs.argmax()) for ours, theirs in zip(made, expected, strict=True)),
    )
    found = profile_of_c(model, built.compiler, {**ready, "memory": None}, samples, device, settings["runs"], seed)
    return dataclasses.replace(found, browser=ran_in)
