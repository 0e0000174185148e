"""Encoders of Hugging Face's transformers as networks of one input: the numbers of the tokens."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .errors import EdgepruneError, MissingExtra
from .naming import close_to
from .vision import torchvision  # noqa: F401  transformers imports it, which not every installation survives by itself

try:
    import transformers
except ModuleNotFoundError:
    raise MissingExtra("transformers", "transformers", "--model transformers:...") from None

__all__ = ["transformer", "transformers"]

TASK = "ForSequenceClassification"
# What a configuration could name code by that is fetched and run.
CODE = ("attn_implementation", "auto_map", "trust_remote_code", "quantization_config", "experts_implementation")


def transformer(name: str, args: Mapping[str, Any]) -> nn.Module:
    """The class `transformers.NAME`, which classifies texts, built from its configuration with these values; all weights new.

    It takes token numbers `[batch, tokens]` and gives logits; tokens of the padding number are masked, and all are of the
    first type. The weights are the same ones every time.
    Raises EdgepruneError for a name that is no such class, and for a value that could bring code along.
    """
    names = [each for each in dir(transformers) if each.endswith(TASK) and not each.startswith("Auto")]
    if name not in names:
        raise EdgepruneError(
            f"--model transformers:{name} is not known{close_to(name, names)}; it takes a class that ends in {TASK}"
        )
    forbidden = [key for key in args if key.startswith("_") or key in CODE]
    if forbidden:
        raise EdgepruneError(f"model argument {forbidden[0]} is not allowed: it can name code that would be fetched and run")
    base = getattr(transformers, name)
    config = base.config_class(**args)
    if config.pad_token_id is None:
        config.pad_token_id = 0
    config._attn_implementation = "sdpa" if getattr(base, "_supports_sdpa", False) else "eager"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _over_tokens(base)(config)  # type: ignore[no-any-return]


def _over_tokens(base: Any) -> Any:
    """The class with a forward of one input; names of parameters stay those of its checkpoints."""

    def forward(self: Any, input_ids: Tensor) -> Tensor:
        mask = input_ids != self.config.pad_token_id
        return base.forward(self, input_ids=input_ids, attention_mask=mask).logits  # type: ignore[no-any-return]

    def example_input(self: Any, shape: tuple[int, ...]) -> Tensor:
        """A batch of one: token numbers of this length."""
        return torch.ones(1, *shape, dtype=torch.int64)

    return type(base.__name__, (base,), {"forward": forward, "example_input": example_input, "__doc__": inspect.getdoc(base)})
