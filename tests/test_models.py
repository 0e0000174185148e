"""The reference networks, and the words that name any network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeprune.errors import EdgepruneError
from edgeprune.models import MODELS, build_model, is_trusted, parse_model_args

SHAPES = {name: (1, 28, 28) if name.startswith("lenet") else (3, 32, 32) for name in MODELS}


def weights(module: torch.nn.Module) -> int:
    return sum(p.numel() for name, p in module.named_parameters() if p.dim() > 1)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_reference_network_runs_and_exports(name: str) -> None:
    module = build_model(f"edgeprune.models:{name}", {"num_classes": 7}).eval()
    x = torch.randn(2, *SHAPES[name])
    exported = torch.export.export(module, (x,)).module()
    assert module(x).shape == (2, 7)
    assert torch.equal(exported(x), module(x))


@pytest.mark.parametrize(("name", "count"), [("lenet_300_100", 266_200), ("lenet_5", 430_500)])
def test_a_lenet_has_the_weights_of_the_literature(name: str, count: int) -> None:
    assert weights(build_model(f"edgeprune.models:{name}")) == count


def test_a_cifar_resnet20_has_the_parameters_of_its_paper() -> None:
    module = build_model("edgeprune.models:resnet20")
    assert sum(p.numel() for p in module.parameters()) == 269_722


def test_a_torchvision_network_is_built_without_fetching_weights() -> None:
    assert build_model("torchvision:resnet18", {"num_classes": 10}).fc.out_features == 10


def test_a_factory_in_a_file_is_found_from_the_given_folder(tmp_path: Path) -> None:
    (tmp_path / "width.py").write_text("WIDTH = 3\n")
    (tmp_path / "net.py").write_text(
        "import torch\nfrom width import WIDTH\ndef make(out=1):\n    return torch.nn.Linear(WIDTH, out)\n"
    )
    assert build_model("net.py:make", {"out": 5}, folder=tmp_path).weight.shape == (5, 3)


def test_a_factory_in_a_module_of_the_working_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "found_in_the_working_folder.py").write_text("import torch\nmake = lambda: torch.nn.Linear(2, 2)\n")
    monkeypatch.chdir(tmp_path)
    assert build_model("found_in_the_working_folder:make").in_features == 2


NET = "import torch\nnumber = 3\ndef make(width): return torch.nn.Linear(1, width)\ndef text(): return 'x'\n"


@pytest.mark.parametrize(
    ("spec", "args", "parts"),
    [
        ("resnet18", {}, ["no two parts", "torchvision:resnet18"]),
        ("torchvision:resnt18", {}, ["'resnt18'", "'resnet18'"]),
        ("torchvision:resnet18", {"weights": "DEFAULT"}, ["weights", "checkpoint"]),
        ("edgeprune.models:resnet21", {}, ["resnet21", "resnet20"]),
        ("no_such_package.net:make", {}, ["no_such_package", "path/to/file.py"]),
        ("absent.py:make", {}, ["absent.py", "does not exist"]),
        ("net.py:mak", {}, ["'mak'", "'make'"]),
        ("net.py:number", {}, ["int", "not a function"]),
        ("net.py:text", {}, ["str", "torch.nn.Module"]),
        ("net.py:make", {"breadth": 3}, ["breadth=3", "(width)"]),
        ("broken.py:make", {}, ["broken.py", "SyntaxError"]),
    ],
)
def test_a_spec_that_cannot_be_built_says_what_would_do(
    tmp_path: Path, spec: str, args: dict[str, object], parts: list[str]
) -> None:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "broken.py").write_text("def make(:\n")
    with pytest.raises(EdgepruneError) as caught:
        build_model(spec, args, folder=tmp_path)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("spec", ["torchvision:resnet18", "edgeprune.models:lenet_5"])
def test_a_network_of_the_library_needs_no_trust(spec: str) -> None:
    assert is_trusted(spec)


@pytest.mark.parametrize(
    "spec",
    ["os:system", "net.py:make", "edgeprune.models:importlib.import_module", "torchvision:io.read_file", "edgeprune.models:"],
)
def test_any_other_code_needs_the_users_word(spec: str) -> None:
    assert not is_trusted(spec)


def test_model_arguments_are_literals_where_they_can_be() -> None:
    assert parse_model_args(["n=10", "rate=1e-3", "act=relu", "sizes=(1, 2)", "on=True", "eq=a=b", "none=None"]) == {
        "n": 10,
        "rate": 1e-3,
        "act": "relu",
        "sizes": (1, 2),
        "on": True,
        "eq": "a=b",
        "none": None,
    }


@pytest.mark.parametrize("pairs", [["n"], ["=3"], ["a b=3"], ["n=1", "n=2"]])
def test_a_model_argument_that_is_no_pair_is_refused(pairs: list[str]) -> None:
    with pytest.raises(EdgepruneError, match="--model-arg"):
        parse_model_args(pairs)
