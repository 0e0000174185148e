"""Kernels' costs are found again from times that were made of them, and make a target that layers are chosen for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeprune.cli import main
from edgeprune.delivery import costs_on
from edgeprune.errors import EdgepruneError
from edgeprune.formats import read
from edgeprune.profiling.calibration import calibrate, fit, toml
from edgeprune.profiling.records import to_plain
from edgeprune.profiling.targets import load_target, names
from edgeprune.sparse import Costs

START = 4.0  # microseconds before the first op
TRUE = Costs(
    conv_ns=0.02, pointwise_ns=0.03, depthwise_ns=0.1, weight_ns=0.05, sparse_ns=0.8, check_ns=0.6, row_ns=1.2, copy_ns=0.07,
    gather_ns=5.0, op_ns=900.0,
)  # fmt: skip


def clock(path: Path) -> float:
    """The microseconds that a device of TRUE costs would take."""
    name, ops = path.stem, sum(read(path).counts.values())
    work = {
        "conv": 64 * 64 * 9 * 1024 * TRUE.conv_ns,
        "pointwise": 256 * 256 * 196 * TRUE.pointwise_ns,
        "depthwise": 256 * 9 * 196 * TRUE.depthwise_ns,
        "linear": 1024 * 1024 * (TRUE.pointwise_ns + 4 * TRUE.weight_ns),
        "gather": 16 * 1024 * TRUE.gather_ns,
        "copy": 4 * 64 * 40 * 40 * TRUE.copy_ns,
    }
    if name.startswith("sparse"):
        weight = next(tensor for tensor in read(path).tensors if tensor.encoding == "csr")
        places = int(name.split()[1])
        return START + TRUE.matrix(weight.nonzeros or 0, weight.shape[0], places)
    return START + (work.get(name, 0.0) + ops * TRUE.op_ns) / 1e3


def test_the_costs_are_found_in_the_times() -> None:
    found = fit(clock)
    for field in dataclasses.fields(Costs):
        assert getattr(found, field.name) == pytest.approx(getattr(TRUE, field.name), rel=0.01), field.name


def test_times_that_make_no_sense_are_refused() -> None:
    with pytest.raises(EdgepruneError, match=r"make no sense.*quiet machine"):
        fit(lambda path: 1.0 if path.stem == "conv" else clock(path))


def test_the_folder_is_a_target_that_keeps_what_else_is_known(tmp_path: Path) -> None:
    made = calibrate(tmp_path / "my-board", target="raspberry-pi-4", clock=clock)
    known = load_target("raspberry-pi-4")
    assert made == load_target(tmp_path / "my-board")
    assert (made.name, made.hardware, made.costs) == ("my-board", known.hardware, known.costs)
    assert made.sources["kernels.litert"].how == "measured"
    assert costs_on(tmp_path / "my-board") == made.litert_kernels == made.kernels["litert"]
    assert made.litert_kernels.sparse_ns == pytest.approx(TRUE.sparse_ns, rel=0.01)


@pytest.mark.parametrize("name", names())
def test_every_target_that_takes_tflite_files_has_costs_for_its_kernels(name: str) -> None:
    target = load_target(name)
    if "litert" not in target.costs:
        with pytest.raises(EdgepruneError, match=f"{name} has no costs for litert"):
            costs_on(name)
        return
    costs = target.litert_kernels
    assert all(value > 0 for value in dataclasses.asdict(costs).values())
    # A dense multiply-add is many times quicker than one with an index, on every device; that is what choices are about.
    assert 2 < costs.sparse_ns / costs.conv_ns < 200


@pytest.mark.parametrize("name", names())
def test_a_target_survives_being_written(name: str) -> None:
    import tomllib

    def told(plain: object) -> object:
        if isinstance(plain, dict):
            return {key: told(value) for key, value in plain.items() if value not in (None, {})}
        return [told(each) for each in plain] if isinstance(plain, list) else plain

    plain = to_plain(load_target(name))
    assert tomllib.loads(toml(plain)) == told(plain)


def test_a_device_elsewhere_needs_its_address() -> None:
    done = CliRunner().invoke(main, ["calibrate", "--target", "raspberry-pi-4", "-o", "x"])
    assert done.exit_code == 2
    assert "--host" in done.output


@pytest.mark.slow
def test_this_machine_is_measured(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    done = CliRunner().invoke(main, ["calibrate", "-o", str(tmp_path / "here"), "--quiet"])
    assert done.exit_code == 0, done.output
    assert load_target(tmp_path / "here").litert_kernels.sparse_ns < 100
