"""Stripes: whole taps of filters, chosen, taken out and written."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nets import residual_network
from torch import Tensor, nn

from edgeprune.errors import EdgepruneError
from edgeprune.pruning import Probe
from edgeprune.pruning.structured.stripes import Thinning, folded, smallest_stripes, take_sizes, with_skeletons


def by_stripes(x: Tensor, weight: Tensor, kept: Tensor, stride: int) -> Tensor:
    """The convolution as products of one tap at a time, for the filters that have it."""
    _, _, rows, columns = weight.shape
    padded = F.pad(x, (columns // 2, columns // 2, rows // 2, rows // 2))
    high, wide = (padded.shape[2] - rows) // stride + 1, (padded.shape[3] - columns) // stride + 1
    out = x.new_zeros(len(x), len(weight), high, wide)
    for i, j in itertools.product(range(rows), range(columns)):
        having = kept[:, i, j].nonzero().squeeze(1)
        seen = padded[:, :, i : i + stride * high : stride, j : j + stride * wide : stride]
        out[:, having] += torch.einsum("nc,bchw->bnhw", weight[having, :, i, j], seen)
    return out


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_without_some_stripes_is_the_sum_of_the_others(kernel: int, stride: int) -> None:
    torch.manual_seed(kernel)
    layer = nn.Conv2d(4, 6, kernel, stride, kernel // 2, bias=False).double()
    net = nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.LazyLinear(2, dtype=torch.float64))
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    net(x)
    weight = layer.weight.detach().clone()
    if kernel == 1:
        with pytest.raises(EdgepruneError, match="several taps"):
            with_skeletons(net, Probe(net.float(), (x.float(),)).full())
        return
    probe = Probe(net.float(), (x.float(),))
    net.double()
    skeletons = with_skeletons(net, probe.full())
    sizes = torch.rand(6, kernel, kernel, dtype=torch.float64)
    sizes[sizes < 0.4] = 0
    with torch.no_grad():
        skeletons["0.weight"].stripes.copy_(sizes.unsqueeze(1))
    found = folded(net, skeletons)["0.weight"]
    assert torch.equal(found, sizes)
    assert int((layer.weight[:, 0] != 0).sum()) == int((sizes > 0).sum())
    expected = by_stripes(x, weight * sizes.unsqueeze(1), sizes > 0, stride)
    assert torch.allclose(layer(x), expected, rtol=1e-10, atol=1e-12)


def test_the_skeleton_of_a_trained_network_begins_with_the_sizes_of_its_stripes() -> None:
    net, probe = residual_network()
    convolutions = [each for each in net.modules() if isinstance(each, nn.Conv2d)]
    with torch.no_grad():
        convolutions[0].weight[:, :, 0] = 0.0
    before = [each.weight.detach().clone() for each in convolutions]
    skeletons = with_skeletons(net, probe.full())
    take_sizes(net, skeletons)
    assert all(torch.allclose(each.weight, was, atol=1e-7) for each, was in zip(convolutions, before, strict=True))
    for skeleton, was in zip(skeletons.values(), (w for w in before if w[0, 0].numel() > 1), strict=True):
        norms = was.norm(dim=1, keepdim=True)
        assert torch.allclose(skeleton.stripes, norms / norms[norms > 0].mean(), atol=1e-5)
    folded(net, skeletons)
    assert all(torch.allclose(each.weight, was, atol=1e-7) for each, was in zip(convolutions, before, strict=True))


def test_a_stripe_at_the_threshold_goes_and_never_comes_back() -> None:
    net, probe = residual_network()
    skeletons = with_skeletons(net, probe.full())
    assert len(skeletons) == len([n for n in probe.names if "conv" in n])
    with torch.no_grad():
        for skeleton in skeletons.values():
            skeleton.stripes[0, 0, 0, 0] = 0.005
    thinning = Thinning(skeletons, penalty=0.01, threshold=0.01)
    optimizer = torch.optim.SGD([s.stripes for s in skeletons.values()], lr=1.0, momentum=0.9)
    for step in range(3):
        thinning.before(step)
        optimizer.zero_grad()
        net(torch.randn(2, 3, 32, 32)).sum().backward()
        before = {n: s.stripes.grad.clone() for n, s in skeletons.items()}
        thinning.update(step)
        for name, skeleton in skeletons.items():
            there = skeleton.stripes != 0
            assert torch.allclose(skeleton.stripes.grad[there], (before[name] + 0.01 * skeleton.stripes.sign())[there])
        optimizer.step()
    thinning.end()
    assert all(s.stripes[0, 0, 0, 0] == 0 for s in skeletons.values())
    assert all((s.stripes != 0).any() for s in skeletons.values())


def test_the_smallest_stripes_go_whole_and_one_of_every_layer_stays() -> None:
    net, probe = residual_network()
    skeletons = with_skeletons(net, probe.full())
    with torch.no_grad():
        for skeleton in skeletons.values():
            skeleton.stripes.uniform_(0, 1)
    sizes = folded(net, skeletons)
    budget = probe.total // 5
    masks = smallest_stripes(sizes, probe.full(), probe, budget)
    assert budget * 0.97 < masks.kept <= budget
    for name in sizes:
        whole = masks[name].any(1)
        assert whole.any()


@pytest.mark.slow
def test_a_network_pruned_by_stripes_is_written_by_them_in_both_formats(tmp_path: Path) -> None:
    import edgeprune
    from edgeprune.models import resnet20

    torch.manual_seed(0)
    torch.save(resnet20().state_dict(), tmp_path / "net.pt")
    rng = np.random.default_rng(0)
    images, labels = rng.integers(256, size=(64, 32, 32, 3), dtype=np.uint8), rng.integers(10, size=64)
    np.savez(tmp_path / "made_up.npz", x_train=images, y_train=labels, x_test=images[:16], y_test=labels[:16])
    made = edgeprune.compress(
        tmp_path / "net.pt", 6, targets="tflite,onnx", out=tmp_path / "out", data=str(tmp_path / "made_up.npz"), measure=False,
        method="stripes", epochs=1, source={"model": "edgeprune.models:resnet20"},
    )  # fmt: skip
    quick = edgeprune.export(
        tmp_path / "out" / "pruned.pt", targets="tflite,onnx", out=tmp_path / "quick", measure=False, optimize="latency"
    )
    for report, form in ((made, "stripes+densify"), (quick, "stripes")):
        for artifact in report.artifacts:
            assert artifact.parity is not None
            assert artifact.parity.max_relative_error < 1e-5
            assert sum(layer.encoding.get(artifact.format) == form for layer in report.layers) > 5
