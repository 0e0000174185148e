"""torchvision, importable also beside a CPU-only torch.

The operator library of a CUDA build of torchvision cannot load against a CPU-only torch; its import then stops at a missing
schema of `torchvision::nms`. Models, datasets and transforms need no such operator, so the schemas alone let them in.
"""

from __future__ import annotations

from .errors import MissingExtra

try:
    import torch
except ModuleNotFoundError:
    raise MissingExtra("torch", "torch", "torchvision") from None

try:
    import torchvision
except ModuleNotFoundError:
    raise MissingExtra("torchvision", "torch", "models and datasets of torchvision") from None
except RuntimeError as error:
    if "torchvision::nms does not exist" not in str(error):
        raise
    # The library object must outlive the import: its schemas vanish with it.
    _schemas = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    _schemas.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _schemas.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    import torchvision

__all__ = ["torchvision"]
