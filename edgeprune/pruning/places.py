"""Where training runs: a device, a precision, and the processes that share the work."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException

from ..errors import EdgepruneError
from .masks import Masks

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # the parameters themselves stay float32


@dataclass(frozen=True)
class Place:
    """Where training runs: a torch device and a Fabric precision."""

    device: str = "cpu"
    precision: str = "32-true"

    def fabric(self) -> Fabric:
        """A Fabric on one device per process, joined where there are several.

        Raises EdgepruneError naming the device or precision that is not to be had.
        """
        together = processes()
        kind, _, index = str(self.device).partition(":")
        if self.precision not in PRECISIONS:
            raise EdgepruneError(f"precision={self.precision!r} is not known; choose one of {', '.join(PRECISIONS)}")
        chatter = logging.getLogger("lightning_fabric")
        level = chatter.level
        chatter.setLevel(logging.WARNING)  # it announces every mixed precision it is asked for
        try:
            devices: Any = [int(index)] if index and kind != "cpu" else 1
            if together == 1:
                return Fabric(accelerator=kind, devices=devices, precision=self.precision)  # type: ignore[arg-type]
            local = int(os.environ["LOCAL_WORLD_SIZE"])
            nodes, strategy = together // local, DDPStrategy(find_unused_parameters=True)
            fabric = Fabric(accelerator=kind, devices=local, num_nodes=nodes, strategy=strategy, precision=self.precision)  # type: ignore[arg-type]
            fabric.launch()
            return fabric
        except (ValueError, RuntimeError, MisconfigurationException) as error:
            reason = str(error).strip().splitlines()[0]
            raise EdgepruneError(
                f"cannot train on device {self.device} with precision {self.precision}: {reason}; "
                "try device cpu with precision 32-true"
            ) from None
        finally:
            chatter.setLevel(level)


def processes() -> int:
    """How many processes train together: more than one under torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def leads() -> bool:
    """Whether this process is the one that reports and writes."""
    return processes() == 1 or int(os.environ["RANK"]) == 0


def agreed(masks: Masks) -> Masks:
    """The leading process's masks in all processes: a device's rounding may order two weights differently elsewhere."""
    if processes() == 1 or not torch.distributed.is_initialized():
        return masks
    row = torch.cat([mask.reshape(-1) for mask in masks.values()]).to(torch.uint8)
    if torch.distributed.get_backend() == "nccl":
        row = row.cuda()
    torch.distributed.broadcast(row, 0)
    parts = torch.split(row.bool().cpu(), [mask.numel() for mask in masks.values()])
    return Masks({name: part.view(mask.shape) for (name, mask), part in zip(masks.items(), parts, strict=True)})
