"""Removal against a bound that is worked out apart from the passes, and from what ops say of their ties."""

from __future__ import annotations

import pytest
import torch
import zoo
import zoo_bound

from edgeprune import capture, shrink


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "mobilenet_v3_small"])
def test_whole_channels_that_no_tie_holds_all_leave(name: str) -> None:
    graph = capture(zoo.made(name), torch.zeros(1, 3, 64, 64))
    kept, bound = zoo_bound.matrices(shrink(graph)), zoo_bound.tied(graph)
    assert kept == bound < zoo_bound.matrices(graph)
