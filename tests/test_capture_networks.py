"""Real networks, half of their convolution channels zeroed: captured, shrunk and run, they stay the same function."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from closeness import assert_close, relative_error
from torch import nn

from edgeprune.capturing import capture
from edgeprune.checkpoint import load
from edgeprune.ops import BatchNorm
from edgeprune.passes import shrink
from edgeprune.passes.check import check
from edgeprune.vision import torchvision

# name, sizes of the images, the share of parameters that may be left, arguments. Groups of equal size keep regnet large, tied
# expansions the nets with inverted bottlenecks.
NETS: list[tuple[str, tuple[int, int], float, dict[str, Any]]] = [
    ("resnet18", (48, 65), 0.46, {}),
    ("mobilenet_v2", (48, 65), 0.3, {}),
    ("mobilenet_v3_small", (48, 65), 0.51, {}),
    ("densenet121", (48, 65), 0.27, {}),
    ("googlenet", (48, 65), 0.27, {"init_weights": False, "aux_logits": False}),
    ("squeezenet1_1", (48, 65), 0.27, {}),
    ("efficientnet_b0", (48, 65), 0.57, {}),
    ("regnet_y_400mf", (48, 65), 0.87, {}),
    ("vgg11_bn", (32, 64), 0.27, {}),
    ("alexnet", (64, 79), 0.28, {}),
    ("inception_v3", (75, 91), 0.36, {"init_weights": False, "aux_logits": False}),
]


def as_if_trained_and_pruned(module: nn.Module) -> nn.Module:
    """Statistics and weights away from their defaults; every convolution loses half of its output channels, bias included."""
    generator = torch.Generator().manual_seed(1)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            for t, low, high in (
                (m.running_mean, -0.3, 0.3),
                (m.running_var, 0.5, 1.5),
                (m.weight, 0.5, 1.5),
                (m.bias, -0.3, 0.3),
            ):
                t.data.uniform_(low, high, generator=generator)
        if isinstance(m, nn.Conv2d):
            dead = torch.randperm(m.out_channels, generator=generator)[: m.out_channels // 2]
            m.weight.data[dead] = 0
            if m.bias is not None:
                m.bias.data[dead[::2]] = 0
    return module.eval()


@pytest.mark.parametrize(("name", "sizes", "share", "settings"), NETS, ids=[n[0] for n in NETS])
def test_a_pruned_network_stays_the_same_function(
    name: str, sizes: tuple[int, int], share: float, settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    build: Callable[..., nn.Module] = torchvision.models.get_model_builder(name)
    module = build(weights=None, num_classes=10, **settings)
    if name in ("vgg11_bn", "alexnet"):  # their own classifiers hold over 50 million weights, which prove nothing more
        module.classifier = nn.Linear(512 * 49 if name == "vgg11_bn" else 256 * 36, 10)
    module = as_if_trained_and_pruned(module)
    images = [torch.randn(2, 3, s, s, generator=torch.Generator().manual_seed(s)) for s in sizes]
    graph = check(capture(module, images[0]))
    small = check(shrink(graph))
    assert small.parameters <= share * graph.parameters
    assert shrink(small) == small
    with torch.no_grad():
        floats = [module(x).numpy() for x in images]
        module.double()
        exact = [module(x.double()).numpy() for x in images]
    for x, f, e in zip(images, floats, exact, strict=True):
        result = small.at(x.shape[1:]).run(x.numpy())
        assert result.dtype == np.float32
        # The network's own rounding is the measure where it is coarser than ours.
        assert_close(e, result.astype(np.float64), max(1e-5, 10 * relative_error(e, f.astype(np.float64))))


def cifar_images(folder: Path, count: int) -> np.ndarray:
    """The first test images of CIFAR-10, [count, 3, 32, 32], each channel from -1 to 1."""
    image = pytest.importorskip("PIL.Image")
    sheets = []
    with zipfile.ZipFile(folder / "cifar10" / "cifar10_test_webp.zip") as archive:
        for sheet in range(-(-count // 100)):  # ten by ten images a sheet
            pixels = np.asarray(image.open(io.BytesIO(archive.read(f"test/{sheet:03d}.webp"))).convert("RGB"))
            sheets.append(pixels.reshape(10, 32, 10, 32, 3).transpose(0, 2, 4, 1, 3).reshape(100, 3, 32, 32))
    return np.concatenate(sheets)[:count].astype(np.float32) / 127.5 - 1


def test_a_public_channel_pruned_network_shrinks_as_far_as_is_known_to_be_exact(shared_data: Path) -> None:
    """A ResNet-20 with input channels of conv2 at zero, stored dense: 272,474 parameters, of which 43,194 at least are dead."""
    path = shared_data / "checkpoints" / "resnet20-channel-masked" / "checkpoint_trained_ch_regularized_dense.pth.tar"
    module = load(path, model="edgeprune.models:resnet20_conv_shortcut", input_shape=(3, 32, 32)).module.eval()
    assert sum(p.numel() for p in module.parameters()) == 272_474
    graph = check(capture(module, torch.zeros(1, 3, 32, 32)))
    small = check(shrink(graph, fold=False))
    # As torch counts them: a batch norm's statistics are buffers.
    statistics = sum(n.op.mean.size + n.op.var.size for n in small.nodes if isinstance(n.op, BatchNorm))
    assert small.parameters - statistics <= 229_280
    images = cifar_images(shared_data, 200)
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
    assert_close(expected, small.run(images), 1e-5)
    assert_close(expected, shrink(graph).run(images), 1e-5)
