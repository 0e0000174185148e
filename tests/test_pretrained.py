"""Checkpoints of Hugging Face: pre-trained encoders under a new head, from the folder to the verified artifact."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from closeness import assert_close

from edgeprune.capturing import capture
from edgeprune.checkpoint import load, load_masks
from edgeprune.cli import main
from edgeprune.data import load_data
from edgeprune.errors import EdgepruneError
from edgeprune.formats import load as load_artifact
from edgeprune.formats import write
from edgeprune.ops import Attention
from edgeprune.passes import shrink
from edgeprune.pruning import Probe, head_weights, prune
from edgeprune.vision import torchvision  # noqa: F401  transformers imports it

SAMPLE = Path(__file__).parents[1] / "samples" / "text"
BERT = "transformers:BertForSequenceClassification"


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="needs the extra: pip install 'edgeprune[transformers]'")


def opened(path: Path = SAMPLE / "pretrained", **args: Any) -> Any:
    return load(path, model=BERT, model_args={"num_labels": 16, **args}, input_shape=(12,))


def test_without_the_package_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from edgeprune.errors import MissingExtra\n"
        "from edgeprune.models import build_model\n"
        f"try: build_model({BERT!r})\n"
        "except MissingExtra as error: assert 'edgeprune[transformers]' in str(error), error\n"
        "else: raise SystemExit('built without the package')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_encoder_is_the_pretrained_one_and_the_head_is_new(transformers: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "edgeprune"):
        module = opened().module
    assert "bert.pooler.dense, classifier: they are new" in caplog.text
    theirs = load_state()
    own = module.state_dict()
    for name in own:
        assert name.startswith(("classifier.", "bert.pooler.")) or torch.equal(own[name], theirs[name]), name
    assert own["classifier.weight"].shape == (16, 64)
    assert all(torch.equal(value, opened().module.state_dict()[name]) for name, value in own.items())


def test_padding_changes_no_answer_and_the_network_is_the_librarys_own(transformers: Any) -> None:
    module = opened().module
    ids = load_data(f"text:{SAMPLE / 'language'}").test.first(8)[0]
    longer = torch.cat([ids, torch.zeros(8, 5, dtype=torch.int64)], 1)
    plain = transformers.BertForSequenceClassification(module.config).eval()
    plain.load_state_dict(module.state_dict())
    with torch.no_grad():
        expected = plain(input_ids=ids, attention_mask=(ids != 0).long(), token_type_ids=torch.zeros_like(ids)).logits
        assert_close(expected.numpy(), module(ids).numpy(), 1e-6)
        assert_close(expected.numpy(), module(longer).numpy(), 1e-5)


def changed(tmp_path: Path, change: Any) -> Path:
    """A folder with the sample's weights after `change`, as a plain state dict."""
    state = change(load_state())
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text((SAMPLE / "pretrained" / "config.json").read_text())
    return tmp_path


def load_state() -> dict[str, torch.Tensor]:
    from edgeprune.checkpoint.safetensors import read_safetensors

    path = SAMPLE / "pretrained" / "model.safetensors"
    return read_safetensors(path, path.read_bytes())


@pytest.mark.parametrize("form", ["bare", "first names", "position ids"])
def test_other_names_of_the_same_encoder_are_understood(form: str, tmp_path: Path, transformers: Any) -> None:
    def change(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if form == "bare":
            return {name.removeprefix("bert."): value for name, value in state.items() if name.startswith("bert.")}
        if form == "first names":
            first = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
            return {n.replace(now := ".".join(n.split(".")[-2:]), first.get(now, now)): value for n, value in state.items()}
        return {**state, "bert.embeddings.position_ids": torch.arange(32)[None]}

    found, expected = opened(changed(tmp_path, change)).module.state_dict(), opened().module.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: {n: v for n, v in s.items() if "layer.1." not in n}, "16 missing"),
        (lambda s: {n: v for n, v in s.items() if not n.startswith("bert.")}, "does not fit"),
        (lambda s: {**s, "bert.encoder.layer.2.output.dense.bias": torch.zeros(64)}, "1 unexpected"),
        (lambda s: {**s, "classifier.weight": torch.zeros(3, 64)}, "of another shape"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(change: Any, expected: str, tmp_path: Path, transformers: Any) -> None:
    with pytest.raises(EdgepruneError, match=expected):
        opened(changed(tmp_path, change))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"attn_implementation": "someone/kernels"}, "attn_implementation is not allowed"),
        ({"_attn_implementation": "someone/kernels"}, "not allowed"),
        ({"auto_map": {}}, "not allowed"),
    ],
)
def test_arguments_that_could_fetch_code_are_refused(args: dict[str, Any], expected: str, transformers: Any) -> None:
    with pytest.raises(EdgepruneError, match=expected):
        opened(**args)


def test_a_configuration_that_names_code_of_its_own_is_refused(tmp_path: Path, transformers: Any) -> None:
    made = changed(tmp_path, lambda state: state)
    config = json.loads((made / "config.json").read_text())
    (made / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "x.Y"}}))
    with pytest.raises(EdgepruneError, match="auto_map is not allowed"):
        opened(made)


def test_classes_that_classify_no_texts_and_empty_folders_are_refused(tmp_path: Path, transformers: Any) -> None:
    with pytest.raises(EdgepruneError, match="ForSequenceClassification"):
        load(SAMPLE / "pretrained", model="transformers:BertModel", input_shape=(12,))
    with pytest.raises(EdgepruneError, match=r"neither model\.safetensors nor"):
        opened(tmp_path)


def test_the_prunable_set_is_the_encoders_and_the_pooler(transformers: Any) -> None:
    loaded = opened()
    probe = Probe(loaded.module, loaded.example_inputs)
    assert head_weights(loaded.module, probe) == {"classifier.weight"}
    # Four maps of 64 x 64 and two of 64 x 256 in each layer, and the pooler.
    assert probe.without({"classifier.weight"}).total == 2 * (4 * 64 * 64 + 2 * 64 * 256) + 64 * 64


@pytest.mark.parametrize("aap", [True, False])
def test_every_round_holds_exactly_so_many_tenths_of_zeros(aap: bool, transformers: Any) -> None:
    data = load_data(f"text:{SAMPLE / 'language'}", limit=64)
    loaded = load(SAMPLE / "pretrained", model=BERT, model_args={"num_labels": 16}, input_shape=data.input_shape)
    before = loaded.module.state_dict()
    pruned = prune(loaded.module, 10, data=data, method="bert-tickets", epochs=0, aap=aap)
    assert [r.total - r.kept for r in pruned.rounds] == [10_240 * i for i in range(10)]
    for name, value in pruned.module.state_dict().items():
        mask = pruned.masks.get(name, torch.ones_like(value, dtype=torch.bool))
        assert torch.equal(value[mask], before[name][mask]), name
    zeros = sum(int((value == 0).sum()) for name, value in pruned.module.state_dict().items() if name in pruned.masks)
    assert zeros == 92_160


def test_an_encoder_with_dead_heads_and_units_is_smaller_and_the_same_in_every_runtime(
    tmp_path: Path, transformers: Any
) -> None:
    data = load_data(f"text:{SAMPLE / 'language'}", limit=128)
    loaded = load(SAMPLE / "pretrained", model=BERT, model_args={"num_labels": 16}, input_shape=data.input_shape)
    masks = Probe(loaded.module, loaded.example_inputs).full()
    masks["bert.encoder.layer.0.attention.self.value.weight"][:16] = False
    masks["bert.encoder.layer.1.intermediate.dense.weight"][:100] = False
    pruned = prune(loaded.module, 4, data=data, method="bert-tickets", epochs=1, lr=1e-3, rounds=1, masks=masks)
    ids = data.test.first(128)[0]
    small = shrink(capture(pruned.module, ids[:2]))
    assert [n.op.heads for n in small.nodes if isinstance(n.op, Attention)] == [3, 4]
    units = [n.op.weight.shape[0] for n in small.nodes if n.source.endswith("intermediate.dense")]  # type: ignore[attr-defined]
    assert units[1] <= 156
    with torch.no_grad():
        expected = pruned.module(ids).numpy()
    for suffix in ("onnx", "tflite"):
        path, whole = tmp_path / f"small.{suffix}", tmp_path / f"whole.{suffix}"
        write(small, path)
        write(capture(loaded.module, ids[:2]), whole)
        assert path.stat().st_size < whole.stat().st_size
        (found,) = load_artifact(path).run(ids.numpy())
        assert_close(expected, found, 1e-4)
        assert np.array_equal(expected.argmax(1), found.argmax(1))


def test_one_command_finds_a_ticket_and_another_gives_its_masks_to_another_task(tmp_path: Path, transformers: Any) -> None:
    def run(task: str, out: str, *more: str) -> None:
        args = ["compress", str(SAMPLE / "pretrained"), "--model", BERT, "--data", f"text:{SAMPLE / task}", "--ratio", "2"]
        args += ["--method", "bert-tickets", "--epochs", "0", "--target", "onnx", "--no-measure", "-q", "-o", str(tmp_path / out)]
        result = CliRunner().invoke(main, [*args, *more])
        assert result.exit_code == 0, result.output

    run("language", "source", "--rounds", "1")
    run("kind", "target", "--masks", str(tmp_path / "source"))
    source, target = load_masks(tmp_path / "source"), load_masks(tmp_path / "target" / "pruned.pt")
    assert sum(int(mask.sum()) for mask in source.values()) == 51_200
    assert source.keys() == target.keys()
    assert all(torch.equal(mask, target[name]) for name, mask in source.items())
    report = json.loads((tmp_path / "target" / "report.json").read_text())
    assert report["weights"]["kept"] == report["weights"]["alive"] == 51_200
    verified = ["verify", str(tmp_path / "target" / "model.onnx"), str(tmp_path / "target" / "pruned.pt")]
    assert "pass --model transformers:Bert" in CliRunner().invoke(main, verified).output
    assert CliRunner().invoke(main, [*verified, "--model", BERT]).exit_code == 0


def test_masks_that_are_none_are_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(3)}, tmp_path / "pruned.pt")
    with pytest.raises(EdgepruneError, match="holds no masks"):
        load_masks(tmp_path)
