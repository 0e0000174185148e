"""Capture of what transformers and edge networks are made of, and removal on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from test_capture import Does, agrees, rand, settled
from torch import Tensor, nn

from edgeprune.capturing import capture
from edgeprune.errors import Unsupported
from edgeprune.graph import Graph
from edgeprune.ops import Attention, Flatten, Linear, Rearrange, Select
from edgeprune.passes import shrink
from edgeprune.passes.check import check

torch.manual_seed(0)


class LastState(nn.Module):
    """A recurrent layer read at its end, by output and by state."""

    def __init__(self, kind: type[nn.RNNBase], **settings: object) -> None:
        super().__init__()
        self.layer = kind(4, 5, batch_first=True, **settings)
        self.head = nn.Linear(5 * (1 + self.layer.bidirectional), 2)

    def forward(self, x: Tensor) -> Tensor:
        out, state = self.layer(x)
        state = state[0] if isinstance(state, tuple) else state
        last = torch.cat([state[-2], state[-1]], 1) if self.layer.bidirectional else state[-1]
        return self.head(out[:, -1]) + self.head(last)


class Encoder(nn.Module):
    """Tokens to classes, as BERT does it: embeddings, encoder layers, a class token's place."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(20, 8), nn.Parameter(torch.randn(6, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0, activation="gelu")
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.tokens(x) + self.places)[:, 0].tanh())


class Heads(nn.Module):
    """Self-attention written out, in as many ways as people write it."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.qkv, self.out = how, nn.Linear(8, 24), nn.Linear(8, 8)
        self.gain = nn.Parameter(torch.tensor([[[0.5]], [[2.0]]]))

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        if self.how == "einsum":
            q, k, v = (z.reshape(b, t, 2, 4) for z in self.qkv(x).chunk(3, -1))
            weights = torch.einsum("bthd,bshd->bhts", q, k).softmax(-1)
            return self.out(torch.einsum("bhts,bshd->bthd", weights, v).reshape(b, t, c))
        if self.how == "batched":
            q, k, v = (z.view(b, t, 2, 4).transpose(1, 2).reshape(b * 2, t, 4) for z in self.qkv(x).chunk(3, -1))
            y = torch.bmm(torch.baddbmm(torch.ones(1, t, t).to(x), q, k.transpose(1, 2), alpha=0.5).softmax(-1), v)
            return self.out(y.view(b, 2, t, 4).transpose(1, 2).reshape(b, t, c))
        q, k, v = self.qkv(x).reshape(b, t, 3, 2, 4).permute(2, 0, 3, 1, 4)
        if self.how == "channels interleaved":
            q, k, v = (z.reshape(b, t, 4, 2).permute(0, 3, 1, 2) for z in self.qkv(x).split(8, -1))
        if self.how == "causal":
            scores = (q @ k.transpose(-2, -1)) / 2
            scores = scores.masked_fill(torch.tril(torch.ones(t, t)) == 0, float("-inf"))
            y = scores.softmax(-1) @ v + F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.how == "cosine":
            scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * self.gain
            y = (scores + torch.arange(t * t).view(t, t) * 0.1).softmax(-1) @ v
        elif self.how == "keys first":
            y = (v.mT @ (q @ k.mT).softmax(-1).mT).mT
        else:
            y = (torch.matmul(q * 0.3, k.transpose(-2, -1)) * self.gain).softmax(dim=-1) @ v
        return self.out(y.transpose(1, 2).reshape(b, t, c))


class NonLocal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Conv2d(4, 3, 1) for _ in range(3))
        self.out = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).flatten(2) for part in self.parts)
        y = v @ (q.transpose(1, 2) @ k).softmax(-1).transpose(1, 2)
        return x + self.out(y.view(len(x), 3, *x.shape[2:]))


def windows(x: Tensor) -> Tensor:
    """2 x 2 windows of a map rolled by one, and back."""
    b, c, h, w = x.shape
    y = x.permute(0, 2, 3, 1).roll((-1, 1), (1, 2)).view(b, h // 2, 2, w // 2, 2, c)
    y = y.permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
    y = y - y.mean(1, keepdim=True)
    return y.view(b, h // 2, w // 2, 2, 2, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, h, w)


def spatial_gate(x: Tensor, c: nn.Module) -> Tensor:
    return x * c(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)).sigmoid()


def spectrogram(x: Tensor, c: nn.Module, d: nn.Module) -> Tensor:
    """Keyword spotting: features in, a channel made for them, features made channels."""
    x = c(x.unsqueeze(1))
    return d(x.permute(0, 1, 3, 2).reshape(len(x), -1, x.shape[2])).max(-1)[0]


def patches(x: Tensor, c: nn.Module) -> Tensor:
    b, n, h, w = x.shape
    return c(x.reshape(b, n, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(b, -1, 4 * n))


def pooled_by_attention(x: Tensor, c: nn.Module) -> Tensor:
    return (x * c(x).softmax(1)).sum(1)


def tokens_mixed(x: Tensor, a: nn.Module, n: nn.Module) -> Tensor:
    return x + a(n(x).transpose(1, 2)).transpose(1, 2)


def mha() -> nn.Module:
    return nn.MultiheadAttention(8, 2, batch_first=True)


MAP, SEQUENCE, STEPS = (2, 4, 8, 8), (2, 5, 8), (2, 6, 4)
PLACES = torch.arange(64.0).view(1, 1, 8, 8) / 64

CASES: list[tuple[str, nn.Module, list[tuple[int, ...]]]] = [
    ("transposed conv", nn.ConvTranspose2d(4, 3, 3, 2, 1, 1), [MAP]),
    ("transposed conv, all settings", nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 0), 2, True, (1, 2)), [MAP]),
    ("transposed conv 1d", nn.ConvTranspose1d(4, 3, 4, 2), [(2, 4, 7)]),
    *((f"upsampling, {settings}", nn.Upsample(**settings), [MAP]) for settings in (
        {"scale_factor": 2}, {"scale_factor": 1.7}, {"size": (5, 11)}, {"scale_factor": 2.5, "mode": "nearest-exact"},
        {"scale_factor": 2, "mode": "bilinear"}, {"scale_factor": (1.5, 0.6), "mode": "bilinear"},
        {"size": (13, 5), "mode": "bilinear", "align_corners": True},
    )),
    ("upsampling of rows", nn.Upsample(scale_factor=3, mode="linear"), [(2, 4, 7)]),
    ("upsampling to a given size", Does(lambda x: F.interpolate(x[:, :, ::2, ::2], x.shape[2:], mode="bilinear") + x), [MAP]),
    *((f"activation {type(m).__name__}", m, [MAP]) for m in (
        nn.PReLU(4), nn.PReLU(), nn.LogSigmoid(), nn.Softsign(), nn.Threshold(0.1, 0.5), nn.Hardshrink(), nn.Softshrink(),
        nn.Tanhshrink(), nn.RReLU(), nn.GLU(1), nn.CELU(0.5),
    )),
    ("gate of half the last axis", nn.GLU(-1), [SEQUENCE]),
    ("instance norm", nn.InstanceNorm2d(4, affine=True), [MAP]),
    ("instance norm with running statistics", nn.InstanceNorm2d(4, affine=True, track_running_stats=True), [MAP]),
    ("group norm", nn.GroupNorm(2, 4), [MAP]),
    ("layer norm", nn.LayerNorm(8), [SEQUENCE]),
    ("RMS norm", nn.RMSNorm(8, 1e-3), [SEQUENCE]),
    ("division by the length", Does(lambda x: F.normalize(x, dim=1)), [MAP]),
    ("adaptive max pool", nn.AdaptiveMaxPool2d((3, 1)), [MAP]),
    ("largest over places", Does(lambda x: x.amax((2, 3)) - x.flatten(2).min(2)[0]), [MAP]),
    ("convolution padded by mirrors", nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"), [MAP]),
    ("padding by the edge", nn.ReplicationPad2d((1, 2, 0, 3)), [MAP]),
    ("padding by the other side", nn.CircularPad2d((1, 2, 0, 3)), [MAP]),
    ("padding of rows by mirrors", nn.ReflectionPad1d(2), [(2, 4, 7)]),
    ("padding that cuts", Does(lambda x: F.pad(x, (-1, 2, 0, -3))), [MAP]),
    ("pixel shuffle", nn.PixelShuffle(2), [MAP]),
    ("pixel unshuffle", nn.PixelUnshuffle(2), [MAP]),
    ("channel shuffle", nn.ChannelShuffle(2), [MAP]),
    ("channel shuffle by hand", Does(lambda x: x.view(2 * 0 - 1, 2, 2, 8, 8).transpose(1, 2).flatten(1, 2)), [MAP]),
    ("LSTM", LastState(nn.LSTM), [STEPS]),
    ("LSTM, two layers and directions", LastState(nn.LSTM, num_layers=2, bidirectional=True), [STEPS]),
    ("GRU", LastState(nn.GRU), [STEPS]),
    ("GRU without bias, two directions", LastState(nn.GRU, bias=False, bidirectional=True), [STEPS]),
    *((f"attention, {how}", Heads(how), [SEQUENCE]) for how in (
        "plain", "einsum", "batched", "channels interleaved", "causal", "cosine", "keys first",
    )),
    ("attention layer", Does(lambda x, m: m(x, x, x, need_weights=False)[0], m=mha()), [SEQUENCE]),
    ("attention of the input itself", Does(lambda x: (x @ x.mT).softmax(-1) @ x), [SEQUENCE]),
    ("attention between channels", Does(lambda x: (x.flatten(2) @ x.flatten(2).mT).softmax(-1) @ x.flatten(2)), [MAP]),
    ("attention layer, weights unused", Does(lambda x, m: m(x, x, x)[0], m=mha()), [SEQUENCE]),
    ("attention between pixels", NonLocal(), [MAP]),
    ("windows of a rolled map", Does(windows), [MAP]),
    ("a gate by position", Does(spatial_gate, c=nn.Conv2d(2, 1, 3, padding=1)), [MAP]),
    ("a spectrogram", Does(spectrogram, c=nn.Conv2d(1, 4, (5, 3), padding=1), d=nn.Conv1d(32, 6, 3)), [(2, 9, 8)]),
    ("patches", Does(patches, c=nn.Linear(12, 5)), [(2, 3, 4, 6)]),
    ("pooling by attention", Does(pooled_by_attention, c=nn.Linear(8, 1)), [SEQUENCE]),
    ("tokens mixed", Does(tokens_mixed, a=nn.Linear(6, 6), n=nn.LayerNorm(4)), [STEPS]),
    ("a sequence flattened", nn.Sequential(nn.Flatten(), nn.Linear(40, 3)), [SEQUENCE]),
    ("focus", Does(lambda x: torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)), [MAP]),
    ("mean over places", Does(lambda x: x.mean(1)), [SEQUENCE]),
    ("mean over channels", Does(lambda x: x - x.mean(1, keepdim=True)), [MAP]),
    ("quotients", Does(lambda x: x / (1 + x.abs()) + 2 / (1 + x.abs())), [MAP]),
    ("powers", Does(lambda x: (x.abs() + 1) ** 1.5 + x**2 + torch.rsqrt(x.square() + 1)), [MAP]),
    ("the larger and the smaller", Does(lambda x: torch.maximum(x, x.flip(-1)) * torch.minimum(x, x.flip(1))), [MAP]),
    ("entries by a list", Does(lambda x: x[:, [2, 0]] + x[:, :2, [3, 1, 1, 0, 2, 7, 7, 7]]), [MAP]),
    ("halves of places", Does(lambda x: x.chunk(2, 2)[1] * x.chunk(2, 2)[0]), [MAP]),
    ("stack and unbind", Does(lambda x: torch.stack([x, 2 * x], 2).unbind(2)[1]), [MAP]),
    ("repeats", Does(lambda x: x.repeat(1, 2, 1, 1) + x.repeat_interleave(2, 1)), [MAP]),
    ("a constant by position", Does(lambda x: x + PLACES.to(x)), [MAP]),
    ("a constant that stretches", Does(lambda x: x.mean((2, 3), keepdim=True) * PLACES.to(x)), [MAP]),
    ("a token in front", Does(lambda x: torch.cat([PLACES.to(x)[0, 0, :1].expand(len(x), 1, 8), x], 1)), [SEQUENCE]),
    ("rolled channels and places", Does(lambda x: x.roll((1, -2), (1, 3))), [MAP]),
]  # fmt: skip


@pytest.mark.parametrize(("module", "shapes"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_graph_agrees_with_the_module(module: nn.Module, shapes: list[tuple[int, ...]]) -> None:
    agrees(module, *(rand(*s) for s in shapes))


def names(graph: Graph) -> list[type]:
    return [type(n.op) for n in graph.nodes]


def test_views_make_no_nodes() -> None:
    def there_and_back(x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2).unflatten(1, (8, 8)).permute(0, 3, 1, 2).contiguous() * 2

    graph = capture(Does(there_and_back), rand(*MAP))
    assert len(graph.nodes) == 1


def test_a_shuffle_is_a_selection_and_a_flatten_is_a_flatten() -> None:
    assert names(capture(nn.ChannelShuffle(2), rand(*MAP))) == [Select]
    assert names(capture(nn.Sequential(nn.Flatten(), nn.Linear(256, 2)), rand(*MAP))) == [Flatten, Linear]


def test_a_rearrangement_is_made_once_for_all_its_readers() -> None:
    def both(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
        y = x.flatten(2).transpose(1, 2)
        return a(y) + b(y)

    graph = capture(Does(both, a=nn.Linear(4, 3), b=nn.Linear(4, 3)), rand(*MAP))
    assert names(graph).count(Rearrange) == 1


def test_pixels_as_tokens_fit_another_image_size() -> None:
    module = settled(Does(lambda x, c: c(x.flatten(2).transpose(1, 2)).mean(1), c=nn.Linear(4, 3)))
    x = rand(2, 4, 5, 11)
    with torch.no_grad():
        assert_close(module(x).numpy(), capture(module, rand(*MAP)).at((4, 5, 11)).run(x.numpy()), 1e-5)


# -- removal -----------------------------------------------------------------------------------------------------------


def encoder(dead_head: bool = True) -> Encoder:
    """An encoder whose first layer has a dead head, two dead units and, in the second head, dead pairs of q and k."""
    torch.manual_seed(0)
    module = settled(Encoder())
    for parameter in module.parameters():
        parameter.data.uniform_(-0.8, 0.8)
    first = module.layers.layers[0]
    if dead_head:
        first.self_attn.in_proj_weight.data[16:20] = 0  # what the first head weighs
    first.self_attn.in_proj_weight.data[8 + 5] = 0  # a key channel of the second head
    first.linear1.weight.data[[3, 11]] = 0
    return module


TOKENS = torch.arange(12).reshape(2, 6) % 20


def test_an_encoder_on_tokens_is_captured_exactly() -> None:
    module = encoder()
    graph = check(capture(module, TOKENS))
    with torch.no_grad():
        assert_close(module(TOKENS).numpy(), graph.run(TOKENS.numpy()), 1e-5)


def test_dead_heads_pairs_and_units_leave_an_encoder() -> None:
    graph = capture(encoder(), TOKENS).astype(np.float64)
    small = check(shrink(graph))
    assert_close(graph.run(TOKENS.numpy()), small.run(TOKENS.numpy()), 1e-12)
    attention, other = (n for n in small.nodes if isinstance(n.op, Attention))
    q, k, v = (small.values[i].channels for i in attention.inputs)
    assert (attention.op.heads, q, k, v) == (1, 3, 3, 4)
    assert (other.op.heads, small.values[other.inputs[0]].channels) == (2, 8)
    units = next(n for n in small.nodes if n.source == "layers.layers.0.linear1")
    assert small.values[units.name].channels == 14


def test_a_living_head_stays() -> None:
    small = shrink(capture(encoder(dead_head=False), TOKENS))
    assert [n.op.heads for n in small.nodes if isinstance(n.op, Attention)] == [2, 2]


def test_dead_embedding_width_leaves_when_every_reader_agrees() -> None:
    """A channel that nothing writes but constants stays in the norm's statistics alone."""
    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.norm, self.up, self.down = nn.Linear(5, 8), nn.LayerNorm(8), nn.Linear(8, 6), nn.Linear(6, 8)
            self.last, self.head = nn.LayerNorm(8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x)
            x = x + self.down(F.gelu(self.up(self.norm(x))))
            return self.head(self.last(x)[:, 0])

    module = settled(Block())
    for written in (module.embed.weight, module.down.weight):
        written.data[[2, 5]] = 0
    for read in (module.up.weight, module.head.weight):
        read.data[:, [2, 5]] = 0
    x = rand(2, 4, 5)
    graph = capture(module, x).astype(np.float64)
    small = check(shrink(graph))
    assert_close(graph.run(x.double().numpy()), small.run(x.double().numpy()), 1e-12)
    assert small.values["embed"].channels == 6
    with torch.no_grad():
        assert_close(module(x).numpy(), small.astype(np.float32).run(x.numpy()), 1e-5)


# -- refusals ----------------------------------------------------------------------------------------------------------


class Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, attn_mask=mask)


class Remembers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(8, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        state = x.mean(1)[None, :, :5]
        return self.layer(x, (state, state))[0]


REFUSED: list[tuple[str, nn.Module, list[tuple[int, ...]], list[str]]] = [
    ("a mask for every head", Masked(), [(2, 3, 5, 4), (2, 3, 5, 5)], ["scaled_dot_product", "differs by head or window"]),
    ("a state from elsewhere", Remembers(), [SEQUENCE], ["layer: aten.lstm", "first state is not zeros"]),
    ("an LSTM with projections", nn.Sequential(nn.LSTM(8, 5, proj_size=3)), [SEQUENCE], ["aten.lstm", "proj_size"]),
    ("products as output", Does(lambda x: x.flatten(2) @ x.flatten(2).mT), [MAP], ["output 'output'", "attention weights"]),
    ("scores before a softmax", Does(lambda x: (x @ x.mT) @ x), [SEQUENCE], ["aten.matmul", "before a softmax"]),
    ("attention weights as output", Does(lambda x: (x @ x.mT).softmax(-1)), [SEQUENCE], ["attention weights"]),
    ("attention weights changed", Does(lambda x: (x @ x.mT).softmax(-1).relu() @ x), [SEQUENCE], ["relu", "attention scores"]),
    ("a query without keys", Does(lambda x: (x @ x.mT).masked_fill(torch.ones(1, 5) > 0, -1e9).softmax(-1) @ x), [SEQUENCE],
     ["aten.masked_fill", "leaves a query without keys"]),
    ("a norm over several axes", nn.Sequential(nn.LayerNorm([4, 8, 8])), [MAP], ["0: aten.layer_norm", "over the channels only"]),
    ("indices that depend on the input", Does(lambda x: x[:, x.amax((0, 2)).argsort()]), [SEQUENCE], ["aten.", "Rewrite"]),
    ("bicubic upsampling", nn.Sequential(nn.Upsample(scale_factor=2, mode="bicubic")), [MAP], ["0: aten.upsample_bicubic2d"]),
    ("one number per sample", Does(lambda x: x.sum((1, 2))), [SEQUENCE], ["one number for each example", "keepdim=True"]),
    ("a weight overwritten", Does(lambda x, c: x * c.weight.mul_(2).sum(), c=nn.Linear(2, 2)), [SEQUENCE], ["aten.mul_"]),
]  # fmt: skip


@pytest.mark.parametrize(("module", "shapes", "parts"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_what_has_no_meaning_is_refused_by_name(module: nn.Module, shapes: list[tuple[int, ...]], parts: list[str]) -> None:
    with pytest.raises(Unsupported) as refusal:
        capture(settled(module), [rand(*s) for s in shapes])
    assert all(part in str(refusal.value) for part in parts), str(refusal.value)
