"""All 80 torchvision classifiers with half of their channels dead: how exactly and how far they shrink. The table is zoo.md.

    python benchmarks/zoo.py                 what is missing in zoo.json, the smallest first
    python benchmarks/zoo.py resnet18        these, again
    python benchmarks/zoo.py --table         the table alone

Nets are made as if trained: batch norm statistics, norms, biases and layer scales away from their defaults, so that a dead
channel holds something. Then half of the output channels of every convolution lose their weights, and of every linear layer
but the last where there are more of those than convolutions (three of attention in one matrix included); biases stay.

params: what the PyTorch module stores. kept: after shrink. size: after shrink(optimize="size"), and the indices that takes.
kept / tied: in the weights of layers, what `shrink` keeps over the bound that keeps ties and every output (zoo_bound.py), which
knows nothing of the passes; below 1 where border channels are merged, which whole channels cannot be.
least: live inputs x live outputs of every layer, and what has no rows and columns as it is. ideal: the same, were there no padded
borders, at which a constant channel is none. gateless: that again, were a constant channel dead even where a squeeze-and-excite
gate multiplies it by what depends on the image; the usual way to count, which no network with gates can reach. error: largest difference of any output to the module over the largest output, in
float32; rounding: the module's own, float32 against float64. error64: the shrunk graph against the dense graph, both float64.
other: the shrunk graph at another image size against the module, where the module takes one. seconds: processor time of capture
and both shrinks. One process a net, one thread.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from zoo_bound import matrices, tied

HERE = Path(__file__).parent
STORE, TABLE = HERE / "zoo.json", HERE / "zoo.md"
LIMIT_S = 1800
SIZES = {"inception_v3": 299}
SETTINGS = {name: {"init_weights": False, "aux_logits": False} for name in ("googlenet", "inception_v3")}


def as_if_trained(module: Any, seed: int = 0) -> Any:
    """Weights that all start at one value, and the statistics of batch norms, drawn at random."""
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        start = parameter.data.reshape(-1)[0].item()
        if parameter.numel() > 1 and bool((parameter == start).all()):
            if start == 1:
                parameter.data.uniform_(0.5, 1.5, generator=generator)
            else:
                parameter.data.uniform_(-0.3, 0.3, generator=generator)
            if start == 0 and parameter.ndim > 1:
                parameter.data.mul_(0.2)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.uniform_(-0.3, 0.3, generator=generator)
            m.running_var.uniform_(0.5, 1.5, generator=generator)
    return module.eval()


def half_dead(module: Any, seed: int = 1) -> Any:
    """Half of the output channels of every layer without weights."""
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    convs = [m.weight for m in module.modules() if isinstance(m, nn.Conv2d)]
    linears = [m.weight for m in module.modules() if isinstance(m, nn.Linear)]
    attention = [m.in_proj_weight for m in module.modules() if isinstance(m, nn.MultiheadAttention)]
    for weight in convs + (linears[:-1] + attention if len(linears) > len(convs) else []):
        dead = torch.randperm(len(weight), generator=generator)[: len(weight) // 2]
        weight.data[dead] = 0
    return module


def least(graph: Any) -> int:
    """The numbers between live inputs and live outputs of every layer; biases, norms and the like as they are."""
    total = 0
    for node in graph.nodes:
        for name, array in node.op.arrays.items():
            if name != "weight" or array.ndim < 2:
                total += array.size
                continue
            groups = getattr(node.op, "groups", 1)
            for part in array.reshape(groups, -1, *array.shape[1:]):
                rows = (part != 0).reshape(len(part), -1).any(1)
                columns = (part != 0).reshape(*part.shape[:2], -1).any((0, 2))
                total += int(rows.sum() * columns.sum() * part[0, 0].size)
    return total


def borderless(graph: Any) -> Any:
    """The graph with padding that repeats the edge instead of zeros: constants stay constant then. Another function."""
    from dataclasses import replace

    from edgeprune.graph import Node
    from edgeprune.ops import Conv, PadWith

    nodes = []
    for node in graph.nodes:
        if isinstance(node.op, Conv) and node.op.padded:
            nodes.append(Node(f"{node.name}.edge", PadWith("replicate", node.op.padding), node.inputs))
            op = replace(node.op, padding=((0, 0),) * len(node.op.padding))
            node = replace(node, op=op, inputs=(nodes[-1].name,))
        nodes.append(node)
    return graph.with_nodes(nodes)


def gateless(graph: Any) -> Any:
    """The graph with gates that leave a constant channel constant, whatever they hold. Another function."""
    from dataclasses import replace

    import numpy as np

    from edgeprune.ops import Mul

    class Gate(Mul):
        def constant(self, ins: Any, *constants: Any) -> Any:
            features = max((0, 1), key=lambda i: ins[i].positions)
            return np.where(np.isnan(constants[features]), np.nan, 0.0)

    def gates(node: Any) -> bool:
        return type(node.op) is Mul and len({v.positions for v in graph.ins(node)}) == 2

    return graph.with_nodes(replace(n, op=Gate()) if gates(n) else n for n in graph.nodes)


def indices(graph: Any) -> int:
    return sum(len(node.op.index) for node in graph.nodes if hasattr(node.op, "index"))


def made(name: str) -> Any:
    import torch

    from edgeprune.vision import torchvision

    torch.manual_seed(0)
    return half_dead(as_if_trained(torchvision.models.get_model(name, weights=None, **SETTINGS.get(name, {}))))


def measure(name: str) -> dict[str, Any]:
    import numpy as np
    import torch

    from edgeprune.capturing import capture
    from edgeprune.errors import EdgepruneError
    from edgeprune.passes import shrink
    from edgeprune.passes.check import check

    torch.set_num_threads(1)
    module = made(name)
    params = sum(p.numel() for p in module.parameters())
    size = SIZES.get(name, 224)
    images = torch.nn.functional.interpolate(torch.randn(1, 3, 9, 9), (size, size), mode="bilinear")
    row: dict[str, Any] = {"params": params, "nonzero": sum(int((p != 0).sum()) for p in module.parameters())}

    times = [time.process_time()]
    graph = capture(module, images)
    times.append(time.process_time())
    with torch.no_grad():
        truth = module(images).numpy()
    other = size + 32
    moved_images = torch.nn.functional.interpolate(images, (other, other))
    try:
        with torch.no_grad():
            there = module(moved_images).numpy()
    except (AssertionError, RuntimeError, ValueError):
        there = None
    del module  # the largest hold 2.6 GB a copy

    def error(result: Any, reference: Any) -> float:
        return float(np.abs(result - reference).max() / np.abs(reference).max())

    begun = time.process_time()
    kept = shrink(graph)
    times.append(times[-1] + time.process_time() - begun)
    row.update(tied=[matrices(kept), tied(graph)])
    row.update(kept=check(kept).parameters, least=least(kept), error=[error(kept.run(images.numpy()), truth)])
    begun = time.process_time()
    small = shrink(kept, optimize="size")
    times.append(times[-1] + time.process_time() - begun)
    del kept
    row.update(seconds=[after - before for before, after in itertools.pairwise(times)])
    row.update(size=check(small).parameters, indices=indices(small))
    row["error"].append(error(small.run(images.numpy()), truth))
    row["other"] = None
    if there is not None:
        try:
            row["other"] = error(small.at((3, other, other)).run(moved_images.numpy()), there)
        except (ValueError, EdgepruneError) as refusal:
            row["other"] = str(refusal)[:100]
    del small
    row["ideal"] = least(shrink(borderless(graph)))
    row["gateless"] = least(shrink(gateless(borderless(graph))))
    double, graph = images.numpy().astype(np.float64), graph.astype(np.float64)
    dense64 = graph.run(double)
    row["rounding"] = error(truth, dense64)
    row["error64"] = error(shrink(graph, optimize="size").run(double), dense64)
    return row


# What the table cannot say by itself.
NOTES = """
## What is left above the ideal, and why

* **Borders.** A padded depthwise layer makes of a constant channel a function of the place. All such channels together span 8
  functions under a 3 x 3 kernel and an activation, 24 under 5 x 5 (`kept`, which takes maps of any size: 15 and 80): as many
  channels stay, with the columns of the layer that reads them. Most of what MNASNet, MobileNet and EfficientNet have above the
  ideal is that.
* **Gates.** Squeeze-and-excite multiplies a channel by a number that depends on the whole image. Where the channel is constant
  and the gate is not, the product is neither: it is another function of the image for every channel, and the layer behind it
  reads them all. `gateless` counts those channels as dead, as is usual. No tool that keeps the function can come near it: three
  eighths of the expanded channels of an EfficientNet are such products (half of the gates live, times three quarters of the
  channels without a live path), and its ideal is 1.27 to 1.45 times `gateless`.
* **Sums.** Without `optimize="size"` a residual sum keeps a channel in all its branches when one needs it: the column `kept`.
* **Windows.** Swin holds its position tables written out, one number for each head and pair of places in a window, in `least`,
  `ideal` and `size` alike; its masks are computed for each image size and not stored.
"""


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [
        "# Removal on all 80 torchvision classifiers",
        "",
        "Written by `python benchmarks/zoo.py`, whose first lines say what the columns mean. Millions of parameters; seconds of",
        "processor time of one thread, capture and both shrinks together.",
        "",
        "| net | params | nonzero | kept | kept / tied | size | indices | least | size / least | ideal | size / ideal | gateless | error | rounding "
        "| error64 | other size | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]

    def number(x: Any) -> str:
        return "–" if x is None else "no" if isinstance(x, str) else f"{x:.0e}"

    def millions(n: float) -> str:
        return f"{n / 1e6:.2f}"

    for name, r in sorted(rows.items(), key=lambda item: item[1].get("params", 0)):
        if "failed" in r:
            lines.append(f"| {name} | failed: {r['failed']} |" + " |" * 15)
            continue
        cells = [
            name, millions(r["params"]), millions(r["nonzero"]), millions(r["kept"]), f"{r['tied'][0] / r['tied'][1]:.3f}", millions(r["size"]), millions(r["indices"]),
            millions(r["least"]), f"{r['size'] / r['least']:.3f}", millions(r["ideal"]), f"{r['size'] / r['ideal']:.3f}",
            millions(r["gateless"]),
            f"{max(r['error']):.0e}", number(r["rounding"]), number(r["error64"]), number(r["other"]),
            f"{sum(r['seconds']):.1f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    done = [r for r in rows.values() if "failed" not in r]
    exact = sum(max(r["error"]) <= max(1e-5, 10 * r["rounding"]) for r in done)
    held = [r["tied"][0] / r["tied"][1] for r in done]
    near, close = (sum(r["size"] <= 1.05 * r[bound] for r in done) for bound in ("least", "ideal"))
    usual, total = (sorted(sum(r["seconds"][:n]) for r in done) for n in (2, 3))
    lines += [
        "",
        f"{len(rows)} nets: {exact} within 1e-5 or ten times their own float32 rounding; "
        f"{sum(r['error64'] <= 1e-10 for r in done)} within 1e-10 in float64; with ties kept {sum(x <= 1.02 for x in held)} within 2 % "
        f"of the bound that keeps them; "
        f"with optimize=size {near} within 5 % of the least, "
        f"{close} within 5 % of the ideal; "
        f"median {usual[len(usual) // 2]:.1f} s of capture and shrink, {total[len(total) // 2]:.1f} s with the second shrink, by "
        f"optimize=size.",
    ]
    return "\n".join(lines) + "\n" + NOTES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        json.dump(measure(options.nets[0]), sys.stdout)
        return
    rows = json.loads(STORE.read_text()) if STORE.exists() else {}
    if not options.table:
        for name in options.nets or [n for n in by_size() if n not in rows]:
            command = [sys.executable, __file__, "--one", name]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            try:
                ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment, check=True)
                rows[name] = json.loads(ran.stdout)
            except subprocess.CalledProcessError as failure:
                rows[name] = {"failed": (failure.stderr.strip().splitlines() or ["killed"])[-1][:200]}
            except subprocess.TimeoutExpired:
                rows[name] = {"failed": f"more than {LIMIT_S} s"}
            STORE.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
            sys.stderr.write(f"{name}: {rows[name]}\n")
            TABLE.write_text(table(rows))
    TABLE.write_text(table(rows))


def by_size() -> list[str]:
    """The classifiers' names, the cheapest first, as torchvision itself tells their size."""
    from edgeprune.vision import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    size = {n: torchvision.models.get_model_weights(n).DEFAULT.meta["num_params"] for n in names}
    return sorted(names, key=size.__getitem__)


if __name__ == "__main__":
    main()
