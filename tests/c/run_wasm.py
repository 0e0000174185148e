"""Runs a WebAssembly program on files: python run_wasm.py PROGRAM ARGUMENT..."""

from __future__ import annotations

import sys
from pathlib import Path

from wasmtime import Engine, ExitTrap, Linker, Module, Store, WasiConfig


def main(program: str, *arguments: str) -> int:
    engine = Engine()
    linker, store, wasi = Linker(engine), Store(engine), WasiConfig()
    linker.define_wasi()
    wasi.argv = (program, *arguments)
    wasi.inherit_stderr()
    for folder in {str(Path(argument).parent) for argument in arguments}:
        wasi.preopen_dir(folder, folder)
    store.set_wasi(wasi)
    instance = linker.instantiate(store, Module.from_file(engine, program))
    try:
        instance.exports(store)["_start"](store)  # type: ignore[operator]
    except ExitTrap as ended:
        return int(ended.code)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
