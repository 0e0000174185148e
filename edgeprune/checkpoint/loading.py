"""From a file to a network in eval mode."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data import Preprocessing, parse_data_spec
from ..errors import EdgepruneError
from ..models import build_model, is_trusted
from ..naming import path_found
from .pretrained import SPEC, configuration, weights_in, with_new_head
from .programs import read_program
from .reading import is_program, read_bytes, unpickle
from .state import Found, classes_in_file, find_state, load_state

FORMAT = "edgeprune.checkpoint"
VERSION = 1
_LARGEST_INPUT = 2**28  # elements; a shape beyond it is a mistake, and would fill the memory

log = logging.getLogger("edgeprune")


@dataclass
class Loaded:
    """A network in eval mode and what its file says of it.

    `example_inputs` is a batch of one; `input_shape` has no batch axis; `data_spec` and `model_spec` have absolute paths;
    `masks` are those of an already pruned network (bool, by weight name, True where the weight exists; a weight without one is
    whole), None where the file has none; `meta` is whatever else the file says, in plain types.
    """

    module: nn.Module
    example_inputs: tuple[Tensor, ...]
    input_shape: tuple[int, ...]
    preprocessing: Preprocessing | None = None
    data_spec: str | None = None
    model_spec: str | None = None
    model_args: dict[str, Any] = field(default_factory=dict)
    masks: dict[str, Tensor] | None = None
    meta: dict[str, Any] = field(default_factory=dict)


def load(
    path: str | Path,
    *,
    model: str | None = None,
    model_args: Mapping[str, Any] | None = None,
    input_shape: tuple[int, ...] | None = None,
    allow_pickle: bool = False,
    stored_masks: str = "apply",
) -> Loaded:
    """The network that a checkpoint holds, in eval mode on the CPU.

    Takes what `save_checkpoint` wrote, a state dict (bare or under a usual key) with `model` to say how to build the network,
    what torch.export.save wrote, .safetensors, a folder of Hugging Face (with `model` "transformers:CLASS"), and, with
    `allow_pickle`, a pickled module. `model` and `model_args` are as in `edgeprune.models.build_model`; `input_shape` has no
    batch axis and goes before what the file says. Nothing that the file names is run without `allow_pickle`; what `model`
    names is. `stored_masks` is "apply" or "ignore".
    Raises EdgepruneError when the file is no checkpoint, would run code, or does not fit the network.
    """
    of_transformers = model is not None and model.startswith(SPEC)
    path = weights_in(Path(path)) if of_transformers else Path(path)
    where = str(path)
    if stored_masks not in ("apply", "ignore"):
        raise EdgepruneError(f"--stored-masks {stored_masks!r} is neither apply nor ignore")
    data = read_bytes(path)
    if is_program(data):
        module, shape = read_program(where, data, allow_pickle)
        return _ready(where, Loaded(module, (), shape), input_shape)
    content = unpickle(path, data, allow_pickle)
    if isinstance(content, Mapping) and content.get("format") == FORMAT:
        loaded = _own(path, content, model, model_args, allow_pickle, stored_masks == "apply")
        return _ready(where, loaded, input_shape)
    pickled = _pickled_module(content)
    if pickled is not None:
        return _ready(where, Loaded(pickled, (), ()), input_shape)
    found = find_state(where, content)
    if model is None:
        raise EdgepruneError(
            f"{where} is a state dict of {len(found.state)} tensors, which does not say how to build the network; "
            "pass --model torchvision:resnet18, package.module:factory or path/to/file.py:factory"
        )
    args = dict(model_args or {})
    if of_transformers:
        said = configuration(path)
        if "num_labels" in args:
            said = {key: value for key, value in said.items() if key not in ("id2label", "label2id")}
        args = {**said, **args}
    module = build_model(model, args)
    if of_transformers:
        found = with_new_head(where, module, found)
    if model.startswith("torchvision:") and "num_classes" not in args:
        classes = classes_in_file(found, module)
        if classes is not None:
            args["num_classes"] = classes
            module = build_model(model, args)
    masks = load_state(where, module, model, found, stored_masks == "apply")
    loaded = Loaded(module, (), (), model_spec=path_found(model), model_args=args, masks=masks, meta=found.facts)
    return _ready(where, loaded, input_shape)


def _own(
    path: Path,
    content: Mapping[str, Any],
    model: str | None,
    model_args: Mapping[str, Any] | None,
    allow_pickle: bool,
    use_masks: bool,
) -> Loaded:
    where = str(path)
    version = content.get("version")
    if version != VERSION:
        raise EdgepruneError(
            f"{where} is an edgeprune checkpoint of version {version}, this edgeprune reads {VERSION}; upgrade edgeprune"
        )
    try:
        spec, args = content["model"]["spec"], dict(content["model"]["args"])
        if not isinstance(spec, str) and (spec is not None or not isinstance(content["program"], Tensor)):
            raise TypeError("it does not say how to build the network")
        shape = tuple(int(n) for n in content["input_shape"])
        preprocessing = None if content["preprocessing"] is None else Preprocessing.from_dict(content["preprocessing"])
        state, masks = dict(content["state_dict"]), dict(content["masks"] or {})
        data_spec, meta, program = content["data"], dict(content["meta"]), content["program"]
        if not all(isinstance(value, Tensor) for value in (*state.values(), *masks.values())):
            raise TypeError("not all its weights and masks are tensors")
    except (KeyError, TypeError, ValueError) as error:
        raise EdgepruneError(
            f"{where} is a damaged edgeprune checkpoint ({type(error).__name__}: {error}); save it again"
        ) from None
    if model is None and model_args:
        args.update(model_args)
    elif model is not None:
        spec, args = path_found(model), dict(model_args or {}) or args
    if spec is None:
        module, _ = read_program(where, program.numpy().tobytes(), allow_pickle)
    else:
        if model is None and not is_trusted(spec) and not allow_pickle:
            raise EdgepruneError(
                f"{where} asks for the network {spec}, whose code would run; "
                f"if you trust it, pass --model {path_found(spec, path.parent)}"
            )
        spec = path_found(spec, path.parent)
        module = build_model(spec, args)
    kept = load_state(where, module, spec or "its own graph", Found(state, masks, {}), use_masks)
    loaded = Loaded(module, (), shape, preprocessing, None, spec, args, kept, meta)
    if data_spec is not None:
        named = parse_data_spec(str(data_spec)).found_from(path.parent)
        if named.runs_code and not allow_pickle:
            log.warning("%s names its data as %s, whose code would run; to use it, pass --data %s", where, named, named)
        else:
            loaded.data_spec = str(named)
    return loaded


def _pickled_module(content: Any) -> nn.Module | None:
    """The module that was pickled, whole or beside other things; only a reader that may run code gives one."""
    if isinstance(content, nn.Module):
        return content
    if isinstance(content, Mapping):
        return next((value for value in content.values() if isinstance(value, nn.Module)), None)
    return None


def _ready(where: str, loaded: Loaded, input_shape: tuple[int, ...] | None) -> Loaded:
    """The same in eval mode, with an input that was seen to pass."""
    shape = tuple(input_shape or loaded.input_shape)
    if not shape:
        raise EdgepruneError(
            f"{where} does not say what its network takes; "
            "pass --input-shape, such as --input-shape 3,224,224 (without the batch)"
        )
    elements = 1
    for n in shape:
        elements *= n
        if n < 1 or elements > _LARGEST_INPUT:
            raise EdgepruneError(
                f"--input-shape {','.join(map(str, shape))} is no shape of sensible positive sizes; give it like 3,224,224"
            )
    loaded.input_shape = shape
    example = getattr(loaded.module, "example_input", None)  # of a network that does not take plain numbers
    drawn = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)) if example is None else example(shape)
    loaded.example_inputs = (drawn,)
    loaded.module.eval()
    try:
        with torch.no_grad():
            loaded.module(*loaded.example_inputs)
    except Exception as error:  # a network may raise anything on what it was not made for
        first = str(error).split("\n")[0][:200].rstrip(" .")
        raise EdgepruneError(
            f"{where}: the network fails on an input of shape {(1, *shape)} ({first}); pass --input-shape"
        ) from None
    return loaded
