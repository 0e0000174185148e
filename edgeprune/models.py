"""Small reference networks, and the words by which a command names any network: `--model SPEC`.

A SPEC is `torchvision:resnet18`, `transformers:BertForSequenceClassification`, `package.module:factory` or
`path/to/file.py:factory`. The networks of this file are named
`edgeprune.models:resnet20` and so on; their parameter names are those of the checkpoints that are public for them.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import EdgepruneError
from .naming import close_to, find_object, split_spec

__all__ = [
    "build_model",
    "is_trusted",
    "lenet_5",
    "lenet_300_100",
    "parse_model_args",
    "resnet20",
    "resnet20_conv_shortcut",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
]


class LeNet300(nn.Module):
    """Two hidden layers of 300 and 100; 266,200 weights on 28x28 images."""

    def __init__(self, num_classes: int = 10, in_features: int = 784) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_features, 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)  # type: ignore[no-any-return]


class LeNet5(nn.Module):
    """The Caffe form of LeNet-5 for 28x28 images: 20 and 50 maps, 500 hidden units, 430,500 weights."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(800, 500)
        self.fc2 = nn.Linear(500, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc2(x)  # type: ignore[no-any-return]


class PaddedShortcut(nn.Module):
    """Option A: every second pixel, and zeros for the channels that are new. No parameters."""

    def __init__(self, added: int) -> None:
        super().__init__()
        self.added = added

    def forward(self, x: Tensor) -> Tensor:
        before = self.added // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, self.added - before))


class CifarBlock(nn.Module):
    """conv, batch norm, ReLU, conv, batch norm, plus the shortcut, ReLU."""

    def __init__(self, width_in: int, width: int, stride: int, conv_shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            if conv_shortcut:
                conv = nn.Conv2d(width_in, width, 1, stride, bias=False)
                self.downsample = nn.Sequential(conv, nn.BatchNorm2d(width))
            else:
                self.downsample = PaddedShortcut(width - width_in)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class CifarResNet(nn.Module):
    """The residual networks for 32x32 images of He et al. 2016: three stages of `blocks` blocks, 16, 32 and 64 channels.

    `conv_shortcut=False` is option A of the paper (its classifier is called `linear` here), True is option B (`fc`): so are
    the layers called in the checkpoints that are public for the two.
    """

    def __init__(self, blocks: int, num_classes: int = 10, conv_shortcut: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(blocks, 16, 16, 1, conv_shortcut)
        self.layer2 = self._stage(blocks, 16, 32, 2, conv_shortcut)
        self.layer3 = self._stage(blocks, 32, 64, 2, conv_shortcut)
        self._head = "fc" if conv_shortcut else "linear"
        self.add_module(self._head, nn.Linear(64, num_classes))

    @staticmethod
    def _stage(blocks: int, width_in: int, width: int, stride: int, conv_shortcut: bool) -> nn.Sequential:
        first = CifarBlock(width_in, width, stride, conv_shortcut)
        return nn.Sequential(first, *(CifarBlock(width, width, 1, conv_shortcut) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
        return self.get_submodule(self._head)(x)  # type: ignore[no-any-return]


def lenet_300_100(num_classes: int = 10, in_features: int = 784) -> nn.Module:
    """LeNet-300-100 on flattened images; input (1, 28, 28)."""
    return LeNet300(num_classes, in_features)


def lenet_5(num_classes: int = 10) -> nn.Module:
    """LeNet-5 in its Caffe form; input (1, 28, 28)."""
    return LeNet5(num_classes)


def resnet20(num_classes: int = 10) -> nn.Module:
    """ResNet-20 for CIFAR, option-A shortcuts; input (3, 32, 32)."""
    return CifarResNet(3, num_classes)


def resnet20_conv_shortcut(num_classes: int = 10) -> nn.Module:
    """ResNet-20 for CIFAR with 1x1 convolution shortcuts and a classifier called `fc`; input (3, 32, 32)."""
    return CifarResNet(3, num_classes, conv_shortcut=True)


def resnet32(num_classes: int = 10) -> nn.Module:
    """ResNet-32 for CIFAR, option-A shortcuts; input (3, 32, 32)."""
    return CifarResNet(5, num_classes)


def resnet44(num_classes: int = 10) -> nn.Module:
    """ResNet-44 for CIFAR, option-A shortcuts; input (3, 32, 32)."""
    return CifarResNet(7, num_classes)


def resnet56(num_classes: int = 10) -> nn.Module:
    """ResNet-56 for CIFAR, option-A shortcuts; input (3, 32, 32)."""
    return CifarResNet(9, num_classes)


def resnet110(num_classes: int = 10) -> nn.Module:
    """ResNet-110 for CIFAR, option-A shortcuts; input (3, 32, 32)."""
    return CifarResNet(18, num_classes)


MODELS: dict[str, Callable[..., nn.Module]] = {
    factory.__name__: factory
    for factory in (
        lenet_300_100, lenet_5, resnet20, resnet20_conv_shortcut, resnet32, resnet44, resnet56, resnet110
    )
}  # fmt: skip


def build_model(spec: str, args: Mapping[str, Any] | None = None, folder: str | Path = ".") -> nn.Module:
    """The network that `spec` names, freshly built with `args` as keyword arguments; runs the code that `spec` names.

    A relative path in `spec` is taken from `folder`. Raises EdgepruneError when the spec cannot be read, found or called.
    """
    args = dict(args or {})
    head, name = split_spec(spec, "--model", "torchvision:resnet18, package.module:factory or path/to/file.py:factory")
    if head == "torchvision":
        factory = _torchvision_factory(name)
        if "weights" in args:
            raise EdgepruneError("model argument weights is not allowed: the weights come from the checkpoint")
        args["weights"] = None
    elif head == "transformers":
        from .encoders import transformer

        factory = functools.partial(_with, transformer, name)
    elif head == "edgeprune.models":
        if name not in MODELS:
            raise EdgepruneError(f"edgeprune.models has no {name!r}{close_to(name, MODELS)}; it has: {', '.join(MODELS)}")
        factory = MODELS[name]
    else:
        factory = find_object(head, name, "--model", Path(folder))
    if not callable(factory):
        raise EdgepruneError(f"--model {spec}: {name} is a {type(factory).__name__}, not a function or class to call")
    try:
        module = factory(**args)
    except TypeError as error:
        # What a wrong argument raises; the signature is what the user can act on.
        raise EdgepruneError(
            f"--model {spec} cannot be called with {_spoken(args)}: {error}; its arguments are {_signature(factory)}"
        ) from error
    except EdgepruneError:
        raise
    except Exception as error:
        raise EdgepruneError(f"--model {spec} failed while building: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise EdgepruneError(f"--model {spec} gave a {type(module).__name__}, not a torch.nn.Module")
    return module


def _with(build: Callable[[str, Mapping[str, Any]], nn.Module], name: str, **args: Any) -> nn.Module:
    return build(name, args)


def is_trusted(spec: str) -> bool:
    """Whether building `spec` runs no code but that of edgeprune and torchvision; a file may then ask for it by itself."""
    head, _, name = spec.partition(":")
    return (head == "torchvision" and name.isidentifier()) or (head == "edgeprune.models" and name in MODELS)


def parse_model_args(pairs: Sequence[str]) -> dict[str, Any]:
    """`["width=2", "act=relu"]` as keyword arguments: values are Python literals where they can be, strings otherwise."""
    args: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals or not key.isidentifier():
            raise EdgepruneError(f"--model-arg {pair!r} is not key=value, such as num_classes=10")
        if key in args:
            raise EdgepruneError(f"--model-arg {key} is given twice")
        try:
            args[key] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            args[key] = text
    return args


def _torchvision_factory(name: str) -> Callable[..., Any]:
    from .vision import torchvision

    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise EdgepruneError(
            f"torchvision has no classifier called {name!r}{close_to(name, names)}; torchvision.models.list_models() lists them"
        )
    builder: Callable[..., Any] = torchvision.models.get_model_builder(name)
    return builder


def _signature(factory: Callable[..., Any]) -> str:
    try:
        return str(inspect.signature(factory))
    except (TypeError, ValueError):
        return "unknown"


def _spoken(args: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{key}={value!r}" for key, value in args.items() if key != "weights")
    return f"({shown})" if shown else "no arguments"
