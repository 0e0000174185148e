"""What a network says, asked without leaving a trace."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Incomparable(Exception):
    """The network could not be called, whatever it raised."""


def answers(module: nn.Module, sample: Tensor) -> list[Tensor]:
    """The tensors `module` returns for `sample` in eval mode, then in training mode; random numbers are fixed, nothing changes.

    With or without gradients as the caller has it: kernels differ, and so does the order of values in memory. Raises Incomparable
    for whatever the network raises.
    """
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    modes = [(part, part.training) for part in module.modules()]
    found = []
    try:
        with torch.random.fork_rng(devices=[sample.device] if sample.is_cuda else []):
            for training in (False, True):
                torch.manual_seed(0)
                module.train(training)
                out = module(sample)
                found += [v.detach() for v in (out if isinstance(out, tuple) else (out,)) if isinstance(v, Tensor)]
    except Exception as error:
        raise Incomparable(str(error)) from error
    finally:
        for part, mode in modes:
            part.training = mode
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
    return found
