"""Small networks, and data that fits in memory, for the pruning tests."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeprune.data import Data, Preprocessing
from edgeprune.pruning import Probe


class LeNet300(nn.Module):
    """784-300-100-10; `inputs`, `wide` and `narrow` shrink it for quick tests."""

    def __init__(self, inputs: int = 784, wide: int = 300, narrow: int = 100) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(inputs, wide), nn.Linear(wide, narrow), nn.Linear(narrow, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class LeNet5(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.max_pool2d(torch.tanh(self.conv2(x)), 2).view(-1, 400)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


class Block(nn.Module):
    """A basic block with the parameter-free shortcut of the original CIFAR networks."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.more = stride, (channels - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more or self.stride > 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return F.relu(out + x)


class CifarResNet(nn.Module):
    """A CIFAR ResNet of 6 * blocks + 2 layers; keys as in the public checkpoints."""

    def __init__(self, blocks: int = 3, width: int = 16) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        inputs = width
        for stage in range(3):
            parts = []
            for block in range(blocks):
                channels = width << stage
                parts.append(Block(inputs, channels, 2 if stage and not block else 1))
                inputs = channels
            setattr(self, f"layer{stage + 1}", nn.Sequential(*parts))
        self.linear = nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(F.avg_pool2d(x, x.shape[3]).view(x.shape[0], -1))


def residual_network(seed: int = 0) -> tuple[nn.Module, Probe]:
    """A ResNet as if trained: its norms are away from their defaults."""
    torch.manual_seed(seed)
    net = CifarResNet(2, 8).eval()
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.2, 1.5)
            nn.init.uniform_(norm.bias, -0.3, 0.3)
            norm.running_mean.uniform_(-0.3, 0.3)
            norm.running_var.uniform_(0.5, 1.5)
    return net, Probe(net, (torch.zeros(1, 3, 32, 32),))


def vgg(widths: tuple[int | str, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for width in widths:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)


class Memory:
    """A split of tensors as they are."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.y)

    def batches(
        self, batch_size: int, *, shuffle: bool = False, seed: int = 0, augment: bool = False, device: object = "cpu"
    ) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)) if shuffle else torch.arange(len(self))
        for rows in order.split(batch_size):
            yield self.x[rows].to(device), self.y[rows].to(device)

    def first(self, n: int) -> tuple[Tensor, Tensor]:
        return self.x[:n], self.y[:n]


def made_up(shape: tuple[int, ...] = (16,), n: int = 512, seed: int = 0) -> Data:
    """Ten noisy points in the input space and the task of telling them apart."""
    draw = torch.Generator().manual_seed(seed)
    centres = torch.randn(10, *shape, generator=draw)
    y = torch.arange(n) % 10
    x = centres[y] + 0.3 * torch.randn(n, *shape, generator=draw)
    half = n // 2
    return Data(
        "made-up",
        Memory(x[:half], y[:half]),
        Memory(x[half:], y[half:]),
        shape,
        (),
        Preprocessing(1.0, (0.0,), (1.0,), "none", None),
    )


def mnist(folder: Path) -> Data:
    def read(name: str, offset: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=offset)

    def split(name: str) -> Memory:
        pixels = torch.tensor(read(f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)).float() / 255
        return Memory((pixels - 0.1307) / 0.3081, torch.tensor(read(f"{name}-labels-idx1-ubyte.gz", 8)).long())

    preprocessing = Preprocessing(1 / 255, (0.1307,), (0.3081,), "gray", (28, 28))
    return Data(f"mnist:{folder}", split("train"), split("t10k"), (1, 28, 28), tuple("0123456789"), preprocessing)
