"""A network that came back from the graph is pruned and retrained like any other."""

from __future__ import annotations

import torch
from closeness import assert_close
from nets import made_up
from torch import nn

import edgeprune
from edgeprune.capturing import capture
from edgeprune.models import lenet_5
from edgeprune.passes import shrink
from edgeprune.pruning import prunable
from edgeprune.rebuilding import to_module


def test_a_rebuilt_network_is_pruned_and_retrained_under_its_layers_names() -> None:
    torch.manual_seed(0)
    net = to_module(shrink(capture(lenet_5().eval(), torch.zeros(1, 1, 28, 28))))
    names = [f"{name}.weight" for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(names) == 4
    assert list(prunable(net)) == names
    pruned = edgeprune.prune(net, 16, data=made_up((1, 28, 28), 128), rounds=1, epochs=1)
    left = prunable(pruned.module)
    assert sum(int((weight != 0).sum()) for weight in left.values()) == sum(w.numel() for w in prunable(net).values()) // 16
    before = prunable(net)
    assert [name for name in names if not torch.equal(before[name] * (left[name] != 0), left[name])] == names
    x = torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        assert_close(pruned.module(x).numpy(), shrink(capture(pruned.module, x)).run(x.numpy()), 1e-5)


def test_a_weight_that_a_traced_function_reads_is_found_beside_those_of_layers() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(6, 5)
            self.weight = nn.Parameter(torch.randn(4, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(self.body(x), self.weight)

    program = torch.export.export(Both(), (torch.randn(2, 6),)).module()
    assert list(prunable(program)) == ["weight", "body.weight"]
