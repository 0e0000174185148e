from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgeprune.errors import CheckFailed, EdgepruneError
from edgeprune.graph import Array, Graph, Node, Value
from edgeprune.ops import Activation, Affine, Conv, Embedding, Flatten, Linear
from edgeprune.parity import Parity, random_inputs, verify
from edgeprune.parity.comparison import Comparison


def classifier(seed: int = 0, classes: int = 10) -> Graph:
    random = np.random.default_rng(seed)
    first = random.standard_normal((20, 64)).astype(np.float32) / 8
    second = random.standard_normal((classes, 20)).astype(np.float32) / 4
    nodes = (
        Node("flat", Flatten(), ("x",)),
        Node("fc1", Linear(first, np.zeros(20, np.float32)), ("flat",)),
        Node("relu", Activation("relu"), ("fc1",)),
        Node("scores", Linear(second, None), ("relu",)),
    )
    return Graph({"x": Value((1, 8, 8))}, ("scores",), nodes)


class Fake:
    """A runtime that computes the graph and then something else."""

    def __init__(self, graph: Graph, change: Callable[[Array, Array], Array] = lambda x, y: y) -> None:
        self.graph = graph
        self.change = change
        self.batches: list[int] = []

    def run(self, *arrays: Array) -> Sequence[Array]:
        self.batches.append(len(arrays[0]))
        made = self.graph.run(*arrays)
        assert isinstance(made, np.ndarray)
        return [self.change(arrays[0], made.copy())]


GRAPH = classifier()
INPUTS = random_inputs(GRAPH, 600, seed=1)[0]


def reference_of(inputs: Array = INPUTS) -> Array:
    made = GRAPH.astype(np.float64).run(inputs.astype(np.float64))
    assert isinstance(made, np.ndarray)
    return made


def at_sample(wanted: int, spoil: Callable[[Array], None]) -> Callable[[Array, Array], Array]:
    """Changes the output of one sample, which is recognised by its input."""

    def change(x: Array, y: Array) -> Array:
        for i in np.flatnonzero((x == INPUTS[wanted]).all((1, 2, 3))):
            spoil(y[i])
        return y

    return change


def test_an_artifact_that_computes_the_same_passes() -> None:
    parity = verify(Fake(GRAPH), GRAPH, INPUTS, reference=reference_of())
    assert parity.check() is parity
    assert parity.samples == 600
    assert parity.top1_agreement == 1
    assert 0 < parity.max_relative_error < 1e-6  # the reference is float64
    assert [pair.name for pair in parity.pairs] == ["artifact vs reference", "artifact vs graph", "graph vs reference"]
    assert min(pair.classes for pair in parity.pairs) > 3


def test_without_a_reference_artifact_and_graph_are_compared() -> None:
    parity = verify(Fake(GRAPH), GRAPH, (INPUTS,))
    assert [pair.name for pair in parity.pairs] == ["artifact vs graph"]
    assert parity.max_relative_error == 0
    assert parity.pairs[0].worst is None


def test_an_error_is_relative_to_the_largest_magnitude_and_its_place_is_named() -> None:
    largest = float(np.abs(reference_of()).max())

    def spoil(y: Array) -> None:
        y[np.argsort(y)[0]] -= np.float32(3e-3 * largest)

    parity = verify(Fake(GRAPH, at_sample(411, spoil)), GRAPH, INPUTS, reference=reference_of())
    assert parity.max_relative_error == pytest.approx(3e-3, rel=1e-3)
    worst = parity.pairs[0].worst
    assert worst is not None
    assert (worst.sample, worst.output) == (411, "scores")
    assert worst.index == (int(reference_of()[411].argmin()),)
    assert not parity.passed
    with pytest.raises(CheckFailed, match=r"artifact vs reference: relative error 0\.003 is above 1e-05.*sample 411.*scores\["):
        parity.check()


def test_a_wrong_graph_is_told_from_a_wrong_artifact() -> None:
    other = classifier(seed=5)
    with pytest.raises(CheckFailed, match="artifact vs graph"):
        verify(Fake(GRAPH), other, INPUTS).check()
    parity = verify(Fake(other), other, INPUTS, reference=reference_of())
    good = {pair.name: pair.max_relative_error <= parity.tolerance for pair in parity.pairs}
    assert good == {"artifact vs reference": False, "artifact vs graph": True, "graph vs reference": False}


def test_another_top1_fails_even_when_the_values_are_within_a_wide_tolerance() -> None:
    reference = reference_of()
    margins = np.diff(np.sort(reference, axis=1)[:, -2:], axis=1)[:, 0] / np.abs(reference).max()
    sample = int(np.flatnonzero((margins > 1e-3) & (margins < 0.05))[0])
    second, first = np.argsort(reference[sample])[-2:]

    def spoil(y: Array) -> None:
        y[[first, second]] = y[[second, first]]

    parity = verify(Fake(GRAPH, at_sample(sample, spoil)), GRAPH, INPUTS, tolerance=0.1)
    assert parity.max_relative_error < 0.1
    assert parity.pairs[0].disagreements == 1
    assert parity.top1_agreement == pytest.approx(599 / 600)
    assert not parity.passed
    with pytest.raises(CheckFailed, match="another top-1 on 1 of 600 samples that are no ties"):
        parity.check()


@pytest.mark.parametrize(("apart", "tied"), [(1e-5, 50), (4e-5, 0)])
def test_a_tie_of_the_reference_may_fall_either_way_and_is_counted(apart: float, tied: int) -> None:
    random = np.random.default_rng(0)
    nodes = (
        Node("flat", Flatten(), ("x",)),
        Node("scores", Linear(random.standard_normal((2, 64)).astype(np.float32)), ("flat",)),
    )
    graph = Graph({"x": Value((1, 8, 8))}, ("scores",), nodes)
    reference = np.stack([np.full(50, 8.0), np.full(50, 8.0 * (1 - apart))], axis=1)
    pair = Comparison(graph, ("artifact", "reference"), 1e-3)
    pair.add(0, [reference[:, ::-1]], [reference])
    found = pair.result()
    assert found.ties == found.tied_disagreements == tied
    assert found.disagreements == 50 - tied
    assert found.top1_agreement == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("both", [False, True])
def test_what_is_not_finite_fails_and_is_equal_to_nothing(value: float, both: bool) -> None:
    reference = reference_of()
    if both:
        reference[7, 3] = value

    def spoil(y: Array) -> None:
        y[3] = value

    parity = verify(Fake(GRAPH, at_sample(7, spoil)), GRAPH, INPUTS, reference=reference)
    assert parity.max_relative_error == np.inf
    assert not parity.passed
    with pytest.raises(CheckFailed, match=r"artifact vs reference: 1 values are NaN or infinite; first at sample 7"):
        parity.check()
    assert json.loads(json.dumps(parity.to_dict(), allow_nan=False))["max_relative_error"] is None


def test_anything_but_zero_is_wrong_where_only_zeros_are_expected() -> None:
    graph = Graph({"x": Value((4,))}, ("y",), (Node("y", Linear(np.zeros((3, 4), np.float32), None), ("x",)),))
    x = np.ones((2, 4), np.float32)
    assert verify(Fake(graph), graph, x).check().max_relative_error == 0
    parity = verify(Fake(graph, lambda x, y: y + np.float32(1e-30)), graph, x)
    assert not parity.passed


def test_the_samples_go_through_in_batches_and_none_is_left_out() -> None:
    fake = Fake(GRAPH)
    verify(fake, GRAPH, INPUTS)
    assert sum(fake.batches) == 600
    assert len(fake.batches) > 1


def test_maps_have_no_top1() -> None:
    weight = np.ones((3, 1, 3, 3), np.float32)
    graph = Graph({"x": Value((1, 8, 8))}, ("y",), (Node("y", Conv(weight), ("x",)),))
    assert verify(Fake(graph), graph, INPUTS[:5]).check().top1_agreement is None


def test_outputs_of_another_shape_fail_the_check() -> None:
    with pytest.raises(CheckFailed, match=r"artifact vs graph: output scores is .*9\] instead of .*10\]"):
        verify(Fake(GRAPH, lambda x, y: y[:, :9]), GRAPH, INPUTS)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda: verify(Fake(GRAPH), GRAPH, INPUTS[:0]), ["no samples"]),
        (lambda: verify(Fake(GRAPH), GRAPH, INPUTS[:, :, :7]), ["input x", "1, 8, 8", "1, 7, 8"]),
        (lambda: verify(Fake(GRAPH), GRAPH, [INPUTS, INPUTS]), ["1 inputs", "not 2"]),
        (lambda: verify(Fake(GRAPH), GRAPH, INPUTS, reference=reference_of()[:5]), ["scores", "5, 10", "600, 10"]),
        (lambda: verify(Fake(GRAPH), GRAPH, INPUTS, tolerance=float("nan")), ["tolerance nan", "1e-05"]),
    ],
)
def test_what_does_not_fit_is_refused(change: Callable[[], Parity], parts: list[str]) -> None:
    with pytest.raises(EdgepruneError) as caught:
        change()
    assert all(part in str(caught.value) for part in parts), caught.value


def test_random_inputs_are_smooth_varied_and_the_same_for_the_same_seed() -> None:
    graph = Graph({"x": Value((3, 32, 32)), "v": Value((50,))}, ("x", "v"), ())
    image, vector = random_inputs(graph, 40, seed=3)
    assert image.shape == (40, 3, 32, 32)
    assert vector.shape == (40, 50)
    assert image.dtype == vector.dtype == np.float32
    np.testing.assert_array_equal(image, random_inputs(graph, 40, seed=3)[0])
    assert np.abs(image - random_inputs(graph, 40, seed=4)[0]).max() > 0.1
    # Neighbours differ little against the spread of an image; white noise would give about 1.4.
    steps = np.abs(np.diff(image, axis=3)).mean((1, 2, 3)) / image.std((1, 2, 3))
    assert steps.max() < 0.5
    assert image.mean((1, 2, 3)).std() > 0.2


def test_random_inputs_of_a_lookup_are_rows_of_its_table() -> None:
    small, large = np.zeros((7, 2), np.float32), np.zeros((90, 2), np.float32)
    nodes = (
        Node("a", Embedding(small), ("ids",)),
        Node("b", Embedding(large), ("ids",)),
        Node("c", Embedding(large), ("others",)),
    )
    graph = Graph({"ids": Value((12,)), "others": Value((12,)), "x": Value((12,))}, ("a", "b", "c", "x"), nodes)
    ids, others, plain = random_inputs(graph, 50, seed=3)
    assert ids.dtype == others.dtype == np.float32
    assert np.array_equal(np.unique(ids), np.arange(7))
    assert 80 < len(np.unique(others)) <= 90
    assert np.array_equal(others, others.round())
    assert others.max() < 90
    assert not np.array_equal(plain, plain.round())


def test_random_inputs_refuse_a_lookup_of_what_was_computed() -> None:
    nodes = (
        Node("twice", Affine(np.full(12, 2.0, np.float32), np.zeros(12, np.float32)), ("ids",)),
        Node("a", Embedding(np.zeros((7, 2), np.float32)), ("twice",), "words"),
    )
    with pytest.raises(EdgepruneError, match=r"words.*ids.*samples of yours"):
        random_inputs(Graph({"ids": Value((12,))}, ("a",), nodes), 5)


def test_verification_needs_no_torch() -> None:
    code = "import sys, edgeprune.parity; print([m for m in sys.modules if re.match('torch|tensorflow', m)])"
    done = subprocess.run([sys.executable, "-c", f"import re; {code}"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\[\]\s*", done.stdout)
