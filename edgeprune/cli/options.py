"""Options that several commands share, and what their words mean."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def options(*given: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, shown in the order given."""
    return lambda command: functools.reduce(lambda made, option: option(made), reversed(given), command)


def shape_of(ctx: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise click.BadParameter(f"{text!r} is no shape; give sizes without the batch, like 3,224,224")
    return shape


def numbers_of(ctx: click.Context, parameter: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers; give one per channel, like 0.485,0.456,0.406") from None


def arguments_of(ctx: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise click.BadParameter(f"{pair!r} is not key=value")
        try:
            found[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[key] = text
    return found


SOURCE = options(
    click.option("--model", metavar="SPEC", help="The network: torchvision:resnet18, package.module:factory, file.py:factory."),
    click.option("--model-arg", "model_args", multiple=True, metavar="KEY=VALUE", callback=arguments_of, help="Repeatable."),
    click.option("--input-shape", metavar="C,H,W", callback=shape_of, help="Without the batch, when the file does not say."),
    click.option("--data", metavar="SPEC", help="mnist:DIR, cifar10:DIR, imagefolder:DIR, file.npz, file.py:function, ..."),
    click.option("--mean", metavar="NUMBERS", callback=numbers_of, help="What is subtracted from each channel after scaling."),
    click.option("--std", metavar="NUMBERS", callback=numbers_of, help="What each channel is divided by."),
    click.option("--stored-masks", type=click.Choice(["apply", "ignore"]), default="apply", help="Masks in the file."),
    click.option("--allow-pickle", is_flag=True, help="Load pickled objects: runs code that the checkpoint names."),
)  # fmt: skip

SOURCE_NAMES = ("model", "model_args", "input_shape", "data", "mean", "std", "stored_masks", "allow_pickle")


def source_from(checkpoint: str, given: dict[str, Any]) -> Any:
    """Takes the source options out of `given`."""
    from ..sources import Source

    return Source(checkpoint, **{name: given.pop(name) for name in SOURCE_NAMES})


OPTIMIZE = click.option(
    "--optimize", type=click.Choice(["size", "latency", "memory", "dense"]), default="size", show_default=True,
    help="What forms of sparse layers are chosen by; size: the smallest file in which no layer is slower than dense; "
    "dense: none is sparse, as engines for GPUs want it.",
)  # fmt: skip
TARGET_DEVICE = click.option(
    "--target-device", metavar="NAME|FOLDER", help="The device they are chosen for: see targets and calibrate.  [default: x86]"
)
BUILD = click.option(
    "--build", is_flag=False, flag_value="host", metavar="[TARGET]",
    help="Also compile the C model: for this machine, or aarch64, armv7, riscv64, wasm32, x86-64, cortex-m4.",
)  # fmt: skip
QUIET = click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
