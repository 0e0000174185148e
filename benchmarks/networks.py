"""Networks of random weights under uniform random masks, every shape kept, batch norms folded: kernels are what is compared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import Activation, Add, Conv, Flatten, Linear, MaxPool, Mean


class Net:
    """Nodes one after the other; `density` of each weight is not zero, one weight at least."""

    def __init__(self, density: float, seed: int = 0) -> None:
        self.density, self.rng = density, np.random.default_rng(seed)
        self.nodes: list[Node] = []

    def add(self, op: Op, *inputs: str) -> str:
        self.nodes.append(Node(f"n{len(self.nodes)}", op, inputs))
        return self.nodes[-1].name

    def masked(self, *shape: int) -> np.ndarray:
        total = int(np.prod(shape))
        kept = self.rng.permutation(total)[: max(round(self.density * total), 1)]
        weight = np.zeros(total, np.float32)
        weight[kept] = self.rng.standard_normal(len(kept)) * np.sqrt(2 / max(self.density * total / shape[0], 1.0))
        return weight.reshape(shape)

    def bias(self, n: int) -> np.ndarray:
        return self.rng.standard_normal(n).astype(np.float32) * np.float32(0.1)

    def conv(self, x: str, ins: int, outs: int, kernel: int, stride: int = 1, groups: int = 1) -> str:
        pad, weight = kernel // 2, self.masked(outs, ins // groups, kernel, kernel)
        return self.add(Conv(weight, self.bias(outs), (stride, stride), ((pad, pad), (pad, pad)), groups=groups), x)

    def act(self, x: str, kind: str = "relu") -> str:
        return self.add(Activation(kind), x)

    def linear(self, x: str, ins: int, outs: int) -> str:
        return self.add(Linear(self.masked(outs, ins), self.bias(outs)), x)

    def graph(self, *shape: int) -> Graph:
        last = self.nodes[-1]
        nodes = (*self.nodes[:-1], Node("output", last.op, last.inputs))
        return Graph({"input": Value(shape)}, ("output",), nodes)


def lenet_300_100(density: float) -> Graph:
    net = Net(density)
    x = net.add(Flatten(), "input")
    x = net.act(net.linear(x, 784, 300))
    x = net.act(net.linear(x, 300, 100))
    net.linear(x, 100, 10)
    return net.graph(1, 28, 28)


def _residual(net: Net, x: str, ins: int, stages: list[tuple[int, int]]) -> str:
    """Basic blocks, so many of so many channels a stage; every stage but the first halves the map."""
    for stage, (blocks, outs) in enumerate(stages):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = net.act(net.conv(x, ins, outs, 3, stride))
            y = net.conv(y, outs, outs, 3)
            shortcut = net.conv(x, ins, outs, 1, stride) if stride != 1 or ins != outs else x
            x, ins = net.act(net.add(Add(), y, shortcut)), outs
    return x


def resnet20(density: float) -> Graph:
    net = Net(density)
    x = _residual(net, net.act(net.conv("input", 3, 16, 3)), 16, [(3, 16), (3, 32), (3, 64)])
    net.linear(net.add(Mean(), x), 64, 10)
    return net.graph(3, 32, 32)


def resnet18(density: float, size: int) -> Graph:
    """With a 3x3 stem for small images, a 7x7 one and a max pooling for others."""
    net, small = Net(density), size <= 64
    x = net.act(net.conv("input", 3, 64, 3 if small else 7, 1 if small else 2))
    if not small:
        x = net.add(MaxPool((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)), x)
    x = _residual(net, x, 64, [(2, 64), (2, 128), (2, 256), (2, 512)])
    net.linear(net.add(Mean(), x), 512, 10 if small else 1000)
    return net.graph(3, size, size)


def mobilenet_v2(density: float) -> Graph:
    net = Net(density)
    x, ins = net.act(net.conv("input", 3, 32, 3, 2), "relu6"), 32
    for expansion, outs, count, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for i in range(count):
            stride, hidden = first if i == 0 else 1, ins * expansion
            y = net.act(net.conv(x, ins, hidden, 1), "relu6") if expansion > 1 else x
            y = net.act(net.conv(y, hidden, hidden, 3, stride, hidden), "relu6")
            y = net.conv(y, hidden, outs, 1)
            x, ins = net.add(Add(), y, x) if stride == 1 and ins == outs else y, outs
    x = net.act(net.conv(x, ins, 1280, 1), "relu6")
    net.linear(net.add(Mean(), x), 1280, 1000)
    return net.graph(3, 224, 224)


NETWORKS: dict[str, Callable[[float], Graph]] = {
    "LeNet-300-100": lenet_300_100,
    "resnet20, 32 px": resnet20,
    "ResNet-18, 32 px": lambda density: resnet18(density, 32),
    "ResNet-18, 224 px": lambda density: resnet18(density, 224),
    "MobileNetV2, 224 px": mobilenet_v2,
}
