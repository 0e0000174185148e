"""Programs made of models: many at once, so that the kernels are compiled once, and run under sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeprune.formats.c import lowered
from edgeprune.formats.c.source import arena_of, body_text, kernel_text
from edgeprune.graph import Graph

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)] or ["cc"]
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
# Without optimising: what the sanitizers add to unrolled kernels takes a minute to optimise, and they see the same.
SANITIZED = ("-O0", "-g0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

# Every buffer has exactly the promised size and lies on the heap, so that one float too far is found; the arena begins off by one
# byte and full of NaN, so that what was never written shows.
MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int numbers(FILE *f, float *p, size_t n, int writing) {
    return (writing ? fwrite(p, sizeof *p, n, f) : fread(p, sizeof *p, n, f)) == n;
}

static float *some(size_t n) {
    float *p = (float *)malloc(n * sizeof *p);
    if (!p) exit(3);
    return p;
}

int main(int argc, char **argv) {
    FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
    if (argc != 3 || !in || !out) return 2;
%s
    return fclose(out) != 0;
}
"""

CALL = """    {{
        static const size_t ins[] = {{{ins}}}, outs[] = {{{outs}}};
        float *i[{n_in}], *o[{n_out}];
        unsigned char *arena = (unsigned char *)malloc({name}_arena_bytes() + 1);
        for (size_t k = 0; k < {n_in}; k++) i[k] = some(ins[k]);
        for (size_t k = 0; k < {n_out}; k++) o[k] = some(outs[k]);
        memset(arena, 0xff, {name}_arena_bytes() + 1);
        for (int sample = 0; sample < {samples}; sample++) {{
            for (size_t k = 0; k < {n_in}; k++) if (!numbers(in, i[k], ins[k], 0)) return 4;
            if ({name}_run({arguments}, arena + 1)) return 5;
            for (size_t k = 0; k < {n_out}; k++) if (!numbers(out, o[k], outs[k], 1)) return 6;
        }}
        for (size_t k = 0; k < {n_in}; k++) free(i[k]);
        for (size_t k = 0; k < {n_out}; k++) free(o[k]);
        free(arena);
    }}
"""


def call_text(graph: Graph, name: str, samples: int) -> str:
    ins = [int(np.prod(v.shape)) for v in graph.inputs.values()]
    outs = [int(np.prod(graph.values[o].shape)) for o in graph.outputs]
    single = len(ins) == len(outs) == 1
    return CALL.format(
        name=name, samples=samples, n_in=len(ins), n_out=len(outs), ins=", ".join(map(str, ins)), outs=", ".join(map(str, outs)),
        arguments="i[0], o[0]" if single else "(const float *const *)i, (float *const *)o",
    )  # fmt: skip


def run_in_c(
    graphs: Sequence[Graph],
    inputs: Sequence[Sequence[np.ndarray]],
    folder: Path,
    compiler: str | Sequence[str],
    flags: Sequence[str] = SANITIZED,
    launcher: Sequence[str] = (),
) -> list[list[np.ndarray]]:
    """Each graph's outputs for its inputs, `[batch, ...]`, from one program. Raises AssertionError with what the program said.

    `launcher` is what runs a program of another machine here.
    """
    writers = [lowered(graph, f"m{i}") for i, graph in enumerate(graphs)]
    kernels = kernel_text({step.kernel for w in writers for step in w.steps})
    bodies = "\n".join(body_text(w, arena_of(w)) for w in writers)
    calls = "".join(call_text(g, f"m{i}", len(x[0])) for i, (g, x) in enumerate(zip(graphs, inputs, strict=True)))
    source, program = folder / "models.c", folder / "models"
    source.write_text(f"#define EP_MODEL\n{kernels}\n{bodies}\n{MAIN % calls}")
    fed, made = folder / "in.bin", folder / "out.bin"
    with open(fed, "wb") as file:
        for arrays in inputs:
            for sample in range(len(arrays[0])):
                for array in arrays:
                    file.write(np.ascontiguousarray(array[sample], np.float32).tobytes())
    command = [compiler] if isinstance(compiler, str) else compiler
    done = subprocess.run([*command, *WARNINGS, *flags, str(source), "-o", str(program), "-lm"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]
    done = subprocess.run([*launcher, str(program), str(fed), str(made)], capture_output=True, text=True)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[:3000]}"
    numbers = np.fromfile(made, np.float32)
    results, at = [], 0
    for graph, arrays in zip(graphs, inputs, strict=True):
        shapes = [graph.values[o].shape for o in graph.outputs]
        outputs = [np.empty((len(arrays[0]), *shape), np.float32) for shape in shapes]
        for sample in range(len(arrays[0])):
            for output in outputs:
                size = output[sample].size
                output[sample] = numbers[at : at + size].reshape(output[sample].shape)
                at += size
        results.append(outputs)
    assert at == len(numbers)
    return results
