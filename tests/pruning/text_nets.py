"""An encoder over token numbers, and a task of made-up sentences that it can learn."""

from __future__ import annotations

import torch
from encoder_nets import Bert, Sizes, trained
from torch import Tensor

from edgeprune.data import ArraySplit, Data
from edgeprune.data.datasets import AS_IT_IS

# 2 x (4 x 10 x 10 + 2 x 10 x 20) weights in the layers and 10 x 5 in the pooler: 1,650.
SIZES = Sizes(vocabulary=24, places=8, width=10, heads=2, units=20, layers=2, classes=4)


class Reader(Bert):
    """Token numbers to a class; number 0 is padding."""

    def __init__(self, mask: str = "filled") -> None:
        super().__init__(mask, SIZES)
        self.marks = None

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).long()
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1])) + self.types(torch.zeros_like(ids))
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        return self.classes(self.pooler(x[:, 0]).tanh())


def reader(mask: str = "filled") -> Reader:
    """The same weights every time: what stands for pre-trained ones."""
    module = Reader(mask)
    trained(module)
    return module


def sentences(count: int = 160, seed: int = 0, classes: int = SIZES.classes) -> Data:
    """The class is the remainder of the second token by the number of classes."""
    draw = torch.Generator().manual_seed(seed)

    def split(n: int) -> ArraySplit:
        ids = torch.randint(1, SIZES.vocabulary, (n, SIZES.places), generator=draw)
        ends = torch.randint(3, SIZES.places + 1, (n, 1), generator=draw)
        ids[torch.arange(SIZES.places) >= ends] = 0
        return ArraySplit(ids, ids[:, 1] % classes, None)

    return Data("sentences", split(count), split(64), (SIZES.places,), (), AS_IT_IS)
