"""Transformer encoders lose their dead heads, units and width, and compute what they did: in numpy and in the runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from closeness import assert_close
from encoder_nets import MASKS, Bert, Sizes, tokens_of, trained, with_dead_parts, with_dead_width
from torch import Tensor, nn

from edgeprune.capturing import capture
from edgeprune.formats import load, write
from edgeprune.graph import Graph
from edgeprune.ops import Attention
from edgeprune.passes import shrink
from edgeprune.passes.check import check
from edgeprune.vision import torchvision

torch.set_num_threads(1)
SIZES = Sizes()


def answers(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[np.ndarray]:
    with torch.no_grad():
        made = module(*inputs)
    made = list(made.values()) if isinstance(made, dict) else [made]
    return [each.numpy() for each in made]


def run(graph: Graph, inputs: tuple[Tensor, ...]) -> list[np.ndarray]:
    made = graph.run(*(x.numpy() for x in inputs))
    return list(made) if isinstance(made, tuple) else [made]


def agree(expected: list[np.ndarray], found: list[np.ndarray], tolerance: float) -> None:
    for a, b in zip(expected, found, strict=True):
        assert_close(a, b, tolerance)
        assert a.shape[-1] == 1 or np.array_equal(a.argmax(-1), b.argmax(-1))


def shrunk_exactly(module: nn.Module, inputs: tuple[Tensor, ...]) -> Graph:
    """The shrunk graph, after comparing it with the module in float32 and in float64."""
    small = check(shrink(check(capture(module, inputs))))
    assert shrink(small) == small
    agree(answers(module, inputs), run(small, inputs), 1e-5)
    module.double()
    doubles = tuple(x.double() if x.dtype.is_floating_point else x for x in inputs)
    double = check(shrink(check(capture(module, doubles))))
    assert double.dtype == np.float64
    agree(answers(module, doubles), run(double, doubles), 1e-10)
    module.float()
    return small


def in_the_runtimes(graph: Graph, expected: list[np.ndarray], inputs: tuple[Tensor, ...], folder: Path, *formats: str) -> None:
    for suffix in formats or (".onnx", ".tflite"):
        write(graph, folder / f"m{suffix}")
        found = load(folder / f"m{suffix}").run(*(x.numpy() for x in inputs))
        agree(expected, found, 1e-4)


def heads_of(graph: Graph) -> list[tuple[int, int, int]]:
    """(heads, channels of q and k, channels of v), attention by attention."""
    nodes = [n for n in graph.nodes if isinstance(n.op, Attention)]
    return [(n.op.heads, graph.values[n.inputs[0]].channels, graph.values[n.inputs[2]].channels) for n in nodes]  # type: ignore[attr-defined]


# -- BERT --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", MASKS)
def test_a_mask_of_padded_places_is_an_input(mask: str) -> None:
    module = trained(Bert(mask))
    inputs = tokens_of(7)
    graph = shrunk_exactly(module, inputs)
    assert list(graph.inputs) == ["tokens", "mask", "types"]
    assert graph.outputs == ("classes", "marks", "pooled")
    # What lies behind the end of a sequence changes nothing before it.
    tokens, places, types = inputs
    other = torch.where(places > 0, tokens, (tokens + 1) % SIZES.vocabulary)
    before, after = (run(graph, (t, places, types)) for t in (tokens, other))
    assert np.array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])


def parameters(width: int, units: int, attention: int, *, places: int) -> int:
    """Of a BERT whose layers have `units` units and `attention` weights and biases together, by hand."""
    s = SIZES
    embeddings = (s.vocabulary + places + 2) * width + 2 * width
    mlp = units * width + units + s.layers * width + width * units
    norms = s.layers * 2 * 2 * width
    heads = (width * 5 + 5) + (5 * s.classes + s.classes) + (width + 1)
    return embeddings + attention + mlp + norms + heads


def attention_parameters(width: int, of_keys: int, of_values: int) -> int:
    return 2 * (of_keys * width + of_keys) + of_values * width + of_values + width * of_values + width


@pytest.mark.parametrize("mask", ["added", "truth values"])
# The position of a single place is a constant, which the table of tokens takes.
@pytest.mark.parametrize(("length", "places"), [(1, 0), (4, 4), (10, 10)])
def test_dead_heads_pairs_and_units_leave_a_bert(mask: str, length: int, places: int, tmp_path: Path) -> None:
    module = with_dead_parts(trained(Bert(mask)))
    inputs = tokens_of(length)
    small = shrunk_exactly(module, inputs)
    # Two heads of four stay in both layers; in the first one each lost a pair.
    assert heads_of(small) == [(2, 6, 8), (2, 8, 8)]
    layers = attention_parameters(12, 6, 8) + attention_parameters(12, 8, 8)
    extra = sum(a.size for n in small.nodes for a in n.op.arrays.values() if n.source.endswith(".attention"))  # the mask's
    assert small.parameters - extra == parameters(12, 17 + 18, layers, places=places)
    in_the_runtimes(small, answers(module, inputs), inputs, tmp_path)


def test_dead_width_leaves_a_bert(tmp_path: Path) -> None:
    module = with_dead_width(with_dead_parts(trained(Bert("filled"))), [0, 5, 6])
    inputs = tokens_of(8)
    small = shrunk_exactly(module, inputs)
    assert heads_of(small) == [(2, 6, 8), (2, 8, 8)]
    layers = attention_parameters(9, 6, 8) + attention_parameters(9, 8, 8)
    extra = sum(a.size for n in small.nodes for a in n.op.arrays.values() if n.source.endswith(".attention"))
    assert small.parameters - extra == parameters(9, 17 + 18, layers, places=8)
    in_the_runtimes(small, answers(module, inputs), inputs, tmp_path, ".onnx", ".tflite", ".c")


def test_width_that_a_norm_lets_through_stays() -> None:
    module = with_dead_width(trained(Bert("filled")), [0, 5])
    module.norm.weight.data[5] = 0.5
    small = shrunk_exactly(module, tokens_of(5))
    assert small.values["norm"].channels == 11


def test_a_mask_that_is_one_number_everywhere_leaves() -> None:
    class Fixed(Bert):
        def forward(self, tokens: Tensor, mask: Tensor, types: Tensor) -> dict[str, Tensor]:
            return super().forward(tokens, mask * 0 + 1, types)

    small = shrunk_exactly(trained(Fixed("added")), tokens_of(5))
    assert all(len(n.inputs) == 3 for n in small.nodes if isinstance(n.op, Attention))


# -- PyTorch's and torchvision's own -----------------------------------------------------------------------------------


class TorchEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, activation="gelu", norm_first=True)
        self.embed = nn.Embedding(30, 12)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12, 4)

    def forward(self, tokens: Tensor, padding: Tensor) -> Tensor:
        x = self.layers(self.embed(tokens), src_key_padding_mask=padding)
        kept = (~padding).unsqueeze(-1).to(x.dtype)
        return self.head((x * kept).sum(1) / kept.sum(1))


def test_an_encoder_of_pytorch_with_padding_and_a_mean_over_what_counts(tmp_path: Path) -> None:
    module = trained(TorchEncoder())
    first = module.layers.layers[0]
    first.self_attn.in_proj_weight.data[24:28] = 0
    first.linear2.weight.data[:, 7] = 0
    tokens, mask, _ = tokens_of(6)
    inputs = (tokens, mask == 0)
    small = shrunk_exactly(module, inputs)
    assert heads_of(small) == [(2, 8, 8), (3, 12, 12)]
    in_the_runtimes(small, answers(module, inputs), inputs, tmp_path)


def vit(dead_width: list[int]) -> nn.Module:
    module = torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 48, num_classes=10)
    module = with_dead_width(trained(module), dead_width)
    with torch.no_grad():
        for stored in (module.conv_proj.weight, module.conv_proj.bias):
            stored[dead_width] = 0
        for stored in (module.class_token, module.encoder.pos_embedding):
            stored[..., dead_width] = 0
        first = module.encoder.layers[0]
        first.self_attention.in_proj_weight[64 + 8 : 64 + 16] = 0  # the second head weighs nothing
        first.self_attention.in_proj_weight[3] = 0  # a query channel of the first head is its bias
        first.self_attention.in_proj_bias[3] = 0
        first.mlp[0].weight[[1, 40]] = 0
        module.encoder.layers[1].mlp[3].weight[:, :8] = 0
    return module


def test_dead_parts_leave_a_vision_transformer(tmp_path: Path) -> None:
    dead = [0, 9, 30, 31]
    module, width = vit(dead), 28
    inputs = (torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)),)
    small = shrunk_exactly(module, inputs)
    # Three heads of eight in the first layer; q and k keep eight channels in two of them, so in all.
    assert heads_of(small) == [(3, 24, 24), (4, 32, 32)]
    layers = attention_parameters(width, 24, 24) + attention_parameters(width, 32, 32)
    units = (46 + 40) * (2 * width + 1) + 2 * width
    tokens = 3 * 64 * width + width + width + 17 * width
    assert small.parameters == tokens + layers + units + 5 * 2 * width + width * 10 + 10
    in_the_runtimes(small, answers(module, inputs), inputs, tmp_path)


# -- Hugging Face ------------------------------------------------------------------------------------------------------


class Named(nn.Module):
    """A model that wants its inputs by name, as one that takes them in order."""

    def __init__(self, model: nn.Module, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.outputs = model, outputs

    def forward(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        made = self.model(input_ids=tokens, attention_mask=mask)
        return {name: made[name] for name in self.outputs}


def hugging_face(name: str) -> nn.Module:
    transformers: Any = pytest.importorskip("transformers", reason="needs the package transformers")
    torch.manual_seed(0)
    if name == "bert":
        config = transformers.BertConfig(
            vocab_size=30, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, num_labels=4,
            max_position_embeddings=16,
        )  # fmt: skip
        return Named(transformers.BertForSequenceClassification(config), ("logits",))
    config = transformers.DistilBertConfig(
        vocab_size=30, dim=12, n_layers=2, n_heads=3, hidden_dim=20, max_position_embeddings=16
    )  # fmt: skip
    return Named(transformers.DistilBertForQuestionAnswering(config), ("start_logits", "end_logits"))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_encoders_of_hugging_face_lose_their_dead_parts(name: str, implementation: str, tmp_path: Path) -> None:
    module = trained(hugging_face(name))
    module.model.config._attn_implementation = implementation
    with torch.no_grad():
        for key, stored in module.named_parameters():
            if "layer.0" not in key:
                continue
            if "self.value.weight" in key or "v_lin.weight" in key:
                stored[4:8] = 0
            if "intermediate.dense.weight" in key or "lin1.weight" in key:
                stored[[1, 2, 3]] = 0
    for length in (3, 9):
        tokens, mask, _ = tokens_of(length)
        small = shrunk_exactly(module, (tokens, mask))
        assert heads_of(small) == [(2, 8, 8), (3, 12, 12)]
    units = [n.op.weight.shape[0] for n in small.nodes if n.source.endswith(("intermediate.dense", "ffn.lin1"))]  # type: ignore[attr-defined]
    assert units == [17, 20]
    in_the_runtimes(small, answers(module, (tokens, mask)), (tokens, mask), tmp_path)
