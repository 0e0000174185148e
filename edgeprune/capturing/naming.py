"""What an exported node is called: its op, and the user's layer it comes from."""

from __future__ import annotations

import operator

from torch import fx

# Ops that are a layer by themselves: their value takes the layer's name.
LEAVES = frozenset({
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "batch_norm",
    "layer_norm", "group_norm", "instance_norm", "rms_norm", "embedding",
})  # fmt: skip


def base_name(node: fx.Node) -> str:
    """"aten.relu_.default" as "relu_"."""
    if node.target is operator.getitem:
        return "getitem"
    return str(getattr(node.target, "_schema", node.target)).split("(", maxsplit=1)[0].split("::")[-1].split(".")[0]


def source_of(node: fx.Node) -> str:
    """The user's layer that the node comes from: "layer1.0.conv2"; empty for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return str(paths[-1]).removeprefix("L['self']").removeprefix(".") if paths else ""
