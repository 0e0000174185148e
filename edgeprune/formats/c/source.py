"""The text of a model: its header, its source with the kernels it calls, and a build file."""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..._version import __version__
from ...graph import Shape
from ..artifact import Metadata
from .plan import Buffer, lower_bound, place
from .reading import note_text
from .writer import Constant, Place, Writer, float_text

KERNELS = Path(__file__).with_name("kernels")
TEMPLATES = Path(__file__).with_name("templates")
ALIGNMENT = 64  # bytes the arena is aligned to inside what the caller gives


@dataclass(frozen=True)
class Arena:
    """Bytes the model asks for, and those that live at once at its fullest step."""

    bytes: int
    lower_bound: int


@functools.cache
def kernel_files() -> dict[str, str]:
    """kernel name: the file it is in."""
    found = {}
    for path in sorted(KERNELS.glob("*.c")):
        for name in re.findall(r"(?:EP_KERNEL void |^EP_[A-Z]+\()(ep_\w+)[(,]", path.read_text(), re.MULTILINE):
            found[name] = path.name
    return found


def kernel_text(kernels: set[str]) -> str:
    """The files of these kernels with what they include, each once."""
    pasted: set[str] = set()

    def paste(name: str) -> Iterator[str]:
        if name in pasted:
            return
        pasted.add(name)
        text = (KERNELS / name).read_text()
        for needed in re.findall(r'^#include "(\w+\.h)"$', text, re.MULTILINE):
            yield from paste(needed)
        yield re.sub(r'^#include "\w+\.h"\n+', "", text, flags=re.MULTILINE).strip() + "\n"

    return "\n".join(part for file in ["ep.h", *sorted({kernel_files()[k] for k in kernels})] for part in paste(file))


def wrapped(text: str, width: int = 128) -> str:
    """A long list of numbers as lines."""
    if len(text) <= width:
        return text
    lines, begin = [], 0
    while begin < len(text):
        end = len(text) if len(text) - begin <= width else text.rindex(",", begin, begin + width) + 1
        lines.append(text[begin:end])
        begin = end
    return "\n" + "\n".join(lines) + "\n"


def arena_of(w: Writer) -> Arena:
    """Places the buffers."""
    return Arena(4 * place(w.buffers) + ALIGNMENT, 4 * lower_bound(w.buffers))


def source_text(w: Writer, arena: Arena, header: str, metadata: Metadata) -> str:
    """The .c file."""
    note = {
        "inputs": {name: v.shape for name, v in w.graph.inputs.items()},
        "outputs": {name: w.graph.values[name].shape for name in w.graph.outputs},
        "operations": [[type(node.op).__name__, node.inputs, node.name] for node in w.graph.nodes],
        "work": {
            node.name: [node.op.multiply_adds(w.graph.ins(node)), w.graph.values[node.name].shape] for node in w.graph.nodes
        },
        "weights": w.stored,
        "metadata": metadata.to_json(),
    }
    return template("model.c").substitute(
        model=w.prefix,
        header=header,
        version=__version__,
        kernels=kernel_text({step.kernel for step in w.steps}),
        body=body_text(w, arena),
        note=note_text(note),
    )


def body_text(w: Writer, arena: Arena) -> str:
    """What follows the kernels: constants and functions."""
    return template("body.c").substitute(
        model=w.prefix,
        constants="\n".join(f"{c.declaration} = {{{wrapped(c.text)}}};" for c in read_constants(w)),
        arena_bytes=arena.bytes,
        alignment=ALIGNMENT,
        signature=signature(w),
        checks=" || ".join(checks(w)),
        use_arena="float *const a = (float *)(void *)base;" if any(b.offset >= 0 for b in w.buffers) else "(void)base;",
        steps="\n".join(steps_text(w)),
    )


def read_constants(w: Writer) -> list[Constant]:
    """The constants that a step reads, or another constant that is read."""
    used = set()
    for step in w.steps:
        for argument in step.arguments:
            text = argument if isinstance(argument, str) else argument.base if isinstance(argument.base, str) else ""
            used.update(re.findall(r"\w+", text))
    found = []
    for constant in reversed(w.constants):
        if constant.name in used:
            found.append(constant)
            if not constant.declaration.endswith("]"):
                used.update(re.findall(r"\w+", constant.text))
    return found[::-1]


def steps_text(w: Writer) -> Iterator[str]:
    task = None
    for step in w.steps:
        if step.task != task:
            task = step.task
            yield f"    /* {comment(task)} */"
        arguments = ", ".join(a if isinstance(a, str) else memory(w, a) for a in step.arguments)
        yield f"    {step.kernel}({arguments});"


def memory(w: Writer, at: Place) -> str:
    if isinstance(at.base, Buffer):
        return f"a + {at.base.offset + at.offset}"
    if isinstance(at.base, str):
        return f"{at.base} + {at.offset}" if at.offset else at.base
    side, number = at.base
    base = f"{side}[{number}]" if several(w) else side
    return f"{base} + {at.offset}" if at.offset else base


def several(w: Writer) -> bool:
    return len(w.graph.inputs) != 1 or len(w.graph.outputs) != 1


def signature(w: Writer) -> str:
    if several(w):
        return "const float *const *in, float *const *out, void *arena"
    return "const float *in, float *out, void *arena"


def checks(w: Writer) -> Iterator[str]:
    yield from ("!in", "!out", "!arena")
    if several(w):
        yield from (f"!in[{i}]" for i in range(len(w.graph.inputs)))
        yield from (f"!out[{i}]" for i in range(len(w.graph.outputs)))


def header_text(w: Writer, metadata: Metadata, arena: Arena) -> str:
    """The .h file."""
    values = {
        "model": w.prefix,
        "MODEL": w.prefix.upper(),
        "version": __version__,
        "macros": "\n".join(macros(w, metadata)),
        "arena_bytes": arena.bytes,
        "lower_bound": arena.lower_bound,
        "alignment": ALIGNMENT,
        "signature": signature(w),
        "interface": "\n".join(interface(w)),
    }
    return template("model.h").substitute(values)


def interface(w: Writer) -> Iterator[str]:
    for side, names in (("in", list(w.graph.inputs)), ("out", list(w.graph.outputs))):
        for i, name in enumerate(names):
            shape = " x ".join(map(str, w.graph.values[name].shape))
            yield f"   {side}{f'[{i}]' if several(w) else ''}: {comment(name)}, {shape} floats, the last axis contiguous"


def macros(w: Writer, metadata: Metadata) -> Iterator[str]:
    prefix = w.prefix.upper()
    yield f"#define {prefix}_BATCH 1"
    for side, names in (("INPUT", list(w.graph.inputs)), ("OUTPUT", list(w.graph.outputs))):
        yield f"#define {prefix}_{side}S {len(names)}"
        for i, name in enumerate(names):
            yield from shape_macros(f"{prefix}_{side}{i}", name, w.graph.values[name].shape)
    yield from preprocessing_macros(prefix, metadata)


def shape_macros(prefix: str, name: str, shape: Shape) -> Iterator[str]:
    size = 1
    for n in shape:
        size *= n
    yield f"#define {prefix}_NAME {c_string(name)}"
    yield f"#define {prefix}_RANK {len(shape)}"
    yield f"#define {prefix}_SHAPE {{{', '.join(map(str, shape))}}}"
    yield f"#define {prefix}_SIZE {size}"


def preprocessing_macros(prefix: str, metadata: Metadata) -> Iterator[str]:
    said = metadata.preprocessing
    if said and {"scale", "mean", "std"} <= said.keys():
        yield f"/* What the model expects of a pixel: (pixel * {prefix}_SCALE - mean) / std, per channel. */"
        yield f"#define {prefix}_SCALE {float_text(said['scale'])}"
        for name in ("mean", "std"):
            yield f"#define {prefix}_{name.upper()} {{{', '.join(map(float_text, said[name]))}}}"
        yield f"#define {prefix}_COLOR {c_string(str(said.get('color', 'none')))}"
    if metadata.classes:
        yield f"#define {prefix}_CLASSES {{{', '.join(map(c_string, metadata.classes))}}}"


def build_text(w: Writer, file: str) -> str:
    """CMakeLists.txt."""
    return template("CMakeLists.txt").substitute(model=w.prefix, file=file, version=__version__)


def template(name: str) -> string.Template:
    return string.Template((TEMPLATES / name).read_text())


def comment(text: str) -> str:
    """Text that cannot end the comment it stands in."""
    return "".join(c if " " <= c <= "~" else "?" for c in text).replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


def c_string(text: str) -> str:
    encoded = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{encoded}"'
