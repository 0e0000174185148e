"""Convolutions with sparse weights: every setting of their windows, and networks of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from drawing import Draw, chain, pads

from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, AdaptiveAvgPool, Add, Conv, ConvTranspose, Flatten

FORMS = ("csr patches", "csr bands", "csr+densify", "stripes", "stripes+densify", "dense")


def convolutions() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}

    def case(name: str, shape: tuple[int, ...], outs: int, *kernel: int, density: float = 0.1, **settings: object) -> None:
        draw = Draw(f"sparse {name}")
        cases[name] = chain(shape, draw.conv(outs, shape[0], *kernel, density=density, **settings), Activation("relu"))

    case("3x3", (8, 7, 9), 12, 3, 3, padding=pads(1, 1))
    case("unpadded", (8, 7, 9), 12, 3, 3)
    case("without bias", (8, 7, 9), 12, 3, 3, padding=pads(1, 1), bias=False)
    case("stride 2, even size", (8, 8, 10), 12, 3, 3, padding=pads(1, 1), stride=(2, 2))
    case("stride 2, odd size", (8, 9, 7), 12, 3, 3, padding=pads(1, 1), stride=(2, 2))
    case("stride 3, 2", (8, 10, 10), 12, 3, 3, padding=pads(1, 1), stride=(3, 2))
    case("dilated", (8, 9, 9), 12, 3, 3, padding=pads(2, 2), dilation=(2, 2))
    case("dilated with stride", (8, 11, 11), 12, 3, 3, padding=pads(2, 2), dilation=(2, 2), stride=(2, 2))
    case("unevenly padded", (8, 8, 9), 12, 3, 3, padding=pads((0, 1), (2, 0)), stride=(2, 2))
    case("padded far beyond the kernel", (8, 5, 5), 12, 3, 3, padding=pads(4, 4))
    case("7x7, stride 2", (6, 16, 16), 12, 7, 7, padding=pads(3, 3), stride=(2, 2), density=0.03)
    case("one row of taps", (8, 8, 9), 12, 1, 5, padding=pads(0, 2), density=0.2)
    case("one column of taps", (8, 8, 9), 12, 5, 1, padding=pads(2, 0), density=0.2)
    case("1x1", (32, 6, 5), 24, 1, 1)
    case("1x1, stride 2", (32, 6, 5), 24, 1, 1, stride=(2, 2))
    case("1x1, padded", (32, 6, 5), 24, 1, 1, padding=pads(1, 1))
    case("1-d", (16, 20), 12, 5, padding=pads(2), stride=(2,))
    case("1-d, dilated", (16, 20), 12, 3, dilation=(3,))
    case("grouped", (12, 8, 8), 18, 3, 3, groups=3, padding=pads(1, 1))
    case("depthwise", (32, 8, 8), 32, 3, 3, groups=32, padding=pads(1, 1))
    case("depthwise, multiplied, stride 2", (16, 8, 8), 32, 3, 3, groups=16, padding=pads(1, 1), stride=(2, 2))
    case("one place", (8, 3, 3), 40, 3, 3)
    case("a single weight", (8, 6, 6), 12, 3, 3, padding=pads(1, 1), density=0.0)
    draw = Draw("taps that meet padding alone")
    weight = draw.weight(6, 8, 3, 3, density=0.3)
    weight[:, :, 1:] = 0
    cases["taps that meet padding alone"] = chain((8, 1, 6), Conv(weight, None, (1, 1), pads(1, 1), (1, 1), 1))
    cases["all zero"] = chain((8, 6, 6), Conv(np.zeros((12, 8, 3, 3), np.float32), draw.normal(12), padding=pads(1, 1)))
    few = draw.weight(12, 64, 3, 3, density=0.3)
    few[:, np.setdiff1d(np.arange(64), [3, 20, 41, 63])] = 0
    cases["few channels read"] = chain((64, 9, 9), Conv(few, draw.normal(12), padding=pads(1, 1)))
    for name, settings in {
        "stripes": {},
        "stripes, stride 2": {"stride": (2, 2)},
        "stripes, dilated": {"padding": pads(2, 2), "dilation": (2, 2)},
        "stripes, unevenly padded": {"padding": pads((0, 1), (2, 0)), "stride": (2, 1)},
    }.items():
        kept = draw.rng.random((12, 1, 3, 3)) < 0.3
        kept[2], kept[0, 0, 1, 1] = False, True
        striped = draw.conv(12, 16, 3, 3, **{"padding": pads(1, 1), **settings})
        cases[name] = chain((16, 8, 9), replace(striped, weight=striped.weight * kept), Activation("relu"))
    up = draw.weight(8, 6, 3, 3, density=0.1)
    cases["transposed"] = chain((8, 5, 6), ConvTranspose(up, draw.normal(6), (2, 2), (1, 1), (1, 1), (1, 1), 1))
    return cases


def networks() -> dict[str, Graph]:
    draw = Draw("sparse residual")
    nodes = (
        Node("conv1", draw.conv(16, 3, 3, 3, density=0.2, padding=pads(1, 1)), ("image",)),
        Node("relu1", Activation("relu"), ("conv1",)),
        Node("conv2", draw.conv(16, 16, 3, 3, density=0.05, padding=pads(1, 1)), ("relu1",)),
        Node("add", Add(), ("conv2", "relu1")),
        Node("relu2", Activation("relu6"), ("add",)),
        Node("conv3", draw.conv(24, 16, 3, 3, density=0.05, padding=pads(1, 1), stride=(2, 2)), ("relu2",)),
        Node("down", draw.conv(24, 16, 1, 1, density=0.1, stride=(2, 2)), ("relu2",)),
        Node("add2", Add(), ("conv3", "down")),
        Node("relu3", Activation("relu"), ("add2",)),
        Node("conv4", draw.conv(24, 24, 3, 3, density=0.05, padding=pads(1, 1)), ("relu3",)),
        Node("same", draw.conv(24, 24, 3, 3, density=0.05, padding=pads(1, 1)), ("conv4",)),
        Node("pool", AdaptiveAvgPool((2, 2)), ("same",)),
        Node("flat", Flatten(), ("pool",)),
        Node("logits", draw.linear(10, 96, 0.1), ("flat",)),
    )
    image = {"image": Value((3, 12, 12))}
    flat = (
        Node("conv", draw.conv(8, 3, 3, 3, density=0.2, padding=pads(1, 1)), ("image",)),
        Node("flat", Flatten(), ("conv",)),
        Node("relu", Activation("relu"), ("flat",)),
    )
    return {
        "a convolution, and a relu of it in another shape": Graph(image, ("conv", "relu"), flat),
        "residual network": Graph(image, ("logits",), nodes),
        "residual network, read in the middle": Graph(image, ("logits", "conv2", "relu1", "conv4"), nodes),
    }


SPARSE_CASES = {**convolutions(), **networks()}
