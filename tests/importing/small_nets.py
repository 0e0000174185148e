"""Small networks as people export them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from edgeprune.vision import torchvision

models = torchvision.models
Maker = Callable[[], nn.Module]


class Resampled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, 2, 1)
        self.up = nn.ConvTranspose2d(8, 6, 3, 2, 1, output_padding=1)
        self.slope = nn.PReLU(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.interpolate(self.slope(self.up(self.down(x))), scale_factor=2, mode="bilinear", align_corners=False)
        y = F.pad(F.interpolate(y, scale_factor=0.5, mode="nearest"), (1, 1, 0, 2), mode="reflect")
        return F.pixel_shuffle(y[:, :4], 2)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.steps = kind(5, 7, num_layers=2, bidirectional=True, batch_first=True)  # type: ignore[call-arg]
        self.head = nn.Linear(14, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, state = self.steps(x)
        last = state[0] if isinstance(state, tuple) else state
        return self.head(y[:, -1]) + self.head(torch.cat([last[-1], last[-2]], 1))


class Encoder(nn.Module):
    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=batch_first, activation="gelu")
        self.body, self.head, self.first = (
            nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
            nn.Linear(16, 3),
            batch_first,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x if self.first else x.transpose(0, 1))
        return self.head(y.mean(1 if self.first else 0))


class Norms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.group = nn.Conv2d(3, 6, 3, padding="same"), nn.GroupNorm(2, 6)
        self.instance, self.line = nn.InstanceNorm2d(6, affine=True), nn.LayerNorm(6)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.instance(F.mish(self.group(self.conv(x))))
        y = F.avg_pool2d(y, 3, 2, 1, ceil_mode=True, count_include_pad=False)
        y = self.line(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        a, b = y.chunk(2, 1)
        gated = [a * torch.sigmoid(b), F.silu(a), F.gelu(b, approximate="tanh"), F.hardswish(a), F.gelu(a), F.normalize(b)]
        return torch.cat(gated, 1).flatten(1), y.mean((2, 3))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line, self.conv = nn.Linear(4, 3), nn.Conv1d(2, 3, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.line(x), self.conv(y) * self.line(x)[:, :, None]


def _vit() -> nn.Module:
    made = models.VisionTransformer(32, 8, 2, 4, 16, 32, num_classes=5)
    nn.init.normal_(made.heads.head.weight)
    return made


def _swin(second: bool = False) -> nn.Module:
    part = models.swin_transformer
    more = {"block": part.SwinTransformerBlockV2, "downsample_layer": part.PatchMergingV2} if second else {}
    return models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=5, **more)


IMAGE = ((3, 32, 32),)
# name: (the network, the shapes of its inputs, the oldest opset it can be exported to)
NETS: dict[str, tuple[Maker, tuple[tuple[int, ...], ...], int]] = {
    "resnet18": (lambda: models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=10), IMAGE, 13),
    "mobilenet_v2": (lambda: models.mobilenet_v2(width_mult=0.25, num_classes=10), IMAGE, 13),
    "mobilenet_v3": (lambda: models.mobilenet_v3_small(width_mult=0.5, num_classes=10), IMAGE, 13),
    "shufflenet": (lambda: models.ShuffleNetV2([1, 1, 1], [8, 16, 32, 64, 64], num_classes=10), IMAGE, 13),
    "densenet": (lambda: models.DenseNet(8, (2, 2), 16, num_classes=10), IMAGE, 13),
    "convnext": (
        lambda: models.ConvNeXt(
            [models.convnext.CNBlockConfig(8, 16, 1), models.convnext.CNBlockConfig(16, None, 1)], num_classes=10
        ),
        IMAGE,
        13,
    ),
    "vit": (_vit, IMAGE, 14),
    "swin": (_swin, IMAGE, 13),
    "swin v2": (lambda: _swin(True), IMAGE, 13),
    "encoder": (lambda: Encoder(True), ((9, 16),), 14),
    "encoder, batch second": (lambda: Encoder(False), ((9, 16),), 14),
    "resampled": (Resampled, ((3, 16, 16),), 13),
    "lstm": (lambda: Recurrent(nn.LSTM), ((6, 5),), 14),
    "gru": (lambda: Recurrent(nn.GRU), ((6, 5),), 14),
    "norms": (Norms, ((3, 11, 11),), 13),
    "two inputs": (TwoInputs, ((4,), (2, 9)), 13),
}


def network(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network with weights that look trained, and inputs of two."""
    make, shapes, _ = NETS[name]
    torch.manual_seed(0)
    module = make().eval()
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return module, tuple(torch.randn(2, *shape) for shape in shapes)


def export(module: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, opset: int, *, open_batch: bool) -> Path:
    names = [f"in{i}" for i in range(len(inputs))]
    axes = {name: {0: "batch"} for name in names} if open_batch else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = inputs if open_batch else tuple(x[:1] for x in inputs)
        torch.onnx.export(module, given, path, dynamo=False, opset_version=opset, input_names=names, dynamic_axes=axes)
    return path
