"""How many threads run a small network: on a busy machine, several that wait for each other are slower than one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

# Multiply-adds of a forward pass below which one thread is enough: a training step of such a network takes some 20 to 100 ms.
# Every operation that is shared out ends with all threads waiting for the last one, and a thread that another program has pushed
# off its core keeps the others waiting for milliseconds: with 2 threads on 2 busy cores, a step of LeNet-300-100 with 256
# samples took 90 ms instead of 9, one of a small residual network 1200 ms instead of 14.
WORTH_SHARING = 1 << 29
# Reading and writing one value takes as long as so many multiply-adds.
VALUE = 16


@contextlib.contextmanager
def threads_for(multiply_adds: float) -> Iterator[None]:
    """One thread inside the block where so much work at a time is too little to be shared out among several.

    Outside the block the number of threads is as before.
    """
    before = torch.get_num_threads()
    if before == 1 or multiply_adds >= WORTH_SHARING:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def enough_threads(module: nn.Module, sample: Tensor, batch_size: int) -> contextlib.AbstractContextManager[None]:
    """The threads that batches of `batch_size` are worth: one, or all that are allowed.

    Decided by the network and the size of a batch, not by a clock, so that a repeated run computes the same bits. `sample` is
    a small batch on the module's device; on an accelerator nothing changes.
    """
    if sample.device.type != "cpu" or torch.get_num_threads() == 1:
        return contextlib.nullcontext()
    with torch.no_grad(), Work() as work:
        module(sample)
    return threads_for(work.multiply_adds / len(sample) * batch_size)


class Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the multiply-adds of what is called inside it, with VALUE more for every value that an operation makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.multiply_adds = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        if function._overloadpacket in flop_registry:
            self.multiply_adds += flop_registry[function._overloadpacket](*args, **kwargs, out_val=out) // 2
        if not function.is_view:
            self.multiply_adds += VALUE * sum(value.numel() for value in pytree.tree_leaves(out) if isinstance(value, Tensor))
        return out
