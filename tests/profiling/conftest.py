from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import daemons
import numpy as np
import pytest

Maker = Callable[..., Path]


@pytest.fixture
def make_onnx(tmp_path: Path) -> Maker:
    """Writes a fully connected network of these widths."""
    onnx = pytest.importorskip("onnx", reason="writing a model to profile needs onnx")
    pytest.importorskip("onnxruntime", reason="profiling an .onnx file needs onnxruntime")

    def make(*widths: int, name: str = "model.onnx") -> Path:
        random = np.random.default_rng(0)
        nodes, weights, value = [], [], "x"
        for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
            weight = random.standard_normal((fan_in, fan_out)).astype(np.float32) / np.float32(np.sqrt(fan_in))
            weights.append(onnx.numpy_helper.from_array(weight, f"w{i}"))
            nodes.append(onnx.helper.make_node("MatMul", [value, f"w{i}"], [f"y{i}"]))
            value = f"y{i}"
        given = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", widths[0]])
        made = onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, ["batch", widths[-1]])
        graph = onnx.helper.make_graph(nodes, "net", [given], [made], weights)
        path = tmp_path / name
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)
        return path

    return make


@pytest.fixture
def ssh_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[daemons.Daemon]:
    """A destination, 127.0.0.1, that `ssh` on the PATH reaches, as a user's config would make it."""
    real = daemons.tool("ssh", "a connection over ssh")
    own = tmp_path / "daemon"
    own.mkdir()
    with daemons.sshd(own) as (daemon, options):
        wrapper = tmp_path / "bin" / "ssh"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec {real} {" ".join(options)} "$@"\n')
        wrapper.chmod(0o755)
        monkeypatch.setenv("PATH", str(wrapper.parent), prepend=":")
        yield daemon


@pytest.fixture
def ssh_host(ssh_daemon: daemons.Daemon) -> str:
    return "127.0.0.1"
