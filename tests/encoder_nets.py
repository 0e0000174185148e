"""Encoders as people write them, with parts that are dead: what each part is left with is worked out by hand beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# How a mask of padded places reaches the scores.
MASKS = ("added", "least number", "filled", "where", "truth values", "numbers", "causal as well", "layer")


@dataclass(frozen=True)
class Sizes:
    vocabulary: int = 30
    places: int = 10
    width: int = 12
    heads: int = 3
    units: int = 20
    layers: int = 2
    classes: int = 4


class SelfAttention(nn.Module):
    def __init__(self, s: Sizes, mask: str) -> None:
        super().__init__()
        self.heads, self.mask = s.heads, mask
        self.query, self.key, self.value, self.out = (nn.Linear(s.width, s.width) for _ in range(4))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = (layer(x).view(b, t, self.heads, -1).transpose(1, 2) for layer in (self.query, self.key, self.value))
        over_keys = mask[:, None, None, :]
        if self.mask in ("truth values", "numbers"):
            given = over_keys > 0 if self.mask == "truth values" else (over_keys.to(x.dtype) - 1) * 1e4
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=given)
        else:
            scores = q @ k.transpose(-1, -2) / math.sqrt(c // self.heads)
            if self.mask == "added":
                scores = scores + (1.0 - over_keys) * -10000.0
            elif self.mask == "least number":
                scores = scores + (1.0 - over_keys.to(x.dtype)) * torch.finfo(x.dtype).min
            elif self.mask == "filled":
                scores = scores.masked_fill(over_keys == 0, float("-inf"))
            elif self.mask == "where":
                scores = torch.where(over_keys.bool(), scores, torch.tensor(torch.finfo(x.dtype).min, dtype=x.dtype))
            else:
                earlier = torch.ones(t, t, dtype=torch.bool).tril()
                scores = scores.masked_fill(~(over_keys.bool() & earlier), -1e9)
            y = scores.softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(b, t, c))


class LayerOfTorch(nn.Module):
    """The same by PyTorch's own layer, which takes truth values that close a key."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(s.width, s.heads, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.layer(x, x, x, key_padding_mask=mask == 0, need_weights=False)[0]


class Layer(nn.Module):
    def __init__(self, s: Sizes, mask: str) -> None:
        super().__init__()
        self.attention = LayerOfTorch(s) if mask == "layer" else SelfAttention(s, mask)
        self.up, self.down = nn.Linear(s.width, s.units), nn.Linear(s.units, s.width)
        self.after_attention, self.after_units = nn.LayerNorm(s.width), nn.LayerNorm(s.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.after_attention(x + self.attention(x, mask))
        return self.after_units(x + self.down(F.gelu(self.up(x))))


class Bert(nn.Module):
    """Tokens, their mask and their types to a class for the whole, a number for every token, and what the pooler makes."""

    def __init__(self, mask: str = "added", sizes: Sizes = Sizes()) -> None:
        super().__init__()
        s = sizes
        self.tokens, self.places, self.types = (nn.Embedding(n, s.width) for n in (s.vocabulary, s.places, 2))
        self.norm = nn.LayerNorm(s.width)
        self.layers = nn.ModuleList(Layer(s, mask) for _ in range(s.layers))
        self.pooler, self.classes, self.marks = nn.Linear(s.width, 5), nn.Linear(5, s.classes), nn.Linear(s.width, 1)

    def forward(self, tokens: Tensor, mask: Tensor, types: Tensor) -> dict[str, Tensor]:
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1])) + self.types(types)
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        pooled = self.pooler(x[:, 0]).tanh()
        return {"classes": self.classes(pooled), "marks": self.marks(x), "pooled": pooled}


def trained(module: nn.Module) -> nn.Module:
    """Weights away from their defaults, the same ones every time."""
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 1
        parameter.data.normal_(0, fan**-0.5, generator=generator)
    for m in module.modules():
        if isinstance(m, nn.LayerNorm):
            m.weight.data.mul_(0.3).add_(1.0)
    return module.eval()


@torch.no_grad()
def with_dead_parts(module: Bert, sizes: Sizes = Sizes()) -> Bert:
    """In the first layer a head whose values have no weights, a pair of q and k in every other head, three units.

    In the second a head that nothing reads, and two units that nothing reads.
    """
    each = sizes.width // sizes.heads
    first, second = (layer.attention for layer in module.layers)
    first.value.weight[each : 2 * each] = 0  # its bias stays: the head holds constants
    first.query.weight[1] = first.query.bias[1] = 0
    first.key.weight[2 * each + 3] = 0  # a constant key adds the same to all scores of a row
    second.out.weight[:, :each] = 0
    module.layers[0].up.weight[[2, 3, 11]] = 0
    module.layers[1].down.weight[:, [0, 19]] = 0
    return module


@torch.no_grad()
def with_dead_width(module: nn.Module, dead: list[int]) -> nn.Module:
    """Channels of the embedding that nothing writes and no norm lets through."""
    for name, m in module.named_modules():
        if isinstance(m, nn.Embedding):
            m.weight[:, dead] = 0
        elif isinstance(m, nn.LayerNorm) or name.endswith((".out", ".down", "out_proj", ".mlp.3")):
            m.weight[dead] = 0
            m.bias[dead] = 0
    return module


def tokens_of(length: int, sizes: Sizes = Sizes(), batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, mask and types; every sequence has another number of places that count, the first one all."""
    generator = torch.Generator().manual_seed(length)
    tokens = torch.randint(sizes.vocabulary, (batch, length), generator=generator)
    ends = torch.tensor([length, *(1 + (i * 5) % length for i in range(1, batch))])
    mask = (torch.arange(length) < ends[:, None]).long()
    return tokens, mask, torch.randint(2, (batch, length), generator=generator)
