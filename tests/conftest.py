"""Fixtures and switches that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED_DATA = Path(os.environ.get("EDGEPRUNE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite the golden files instead of comparing with them")
    parser.addoption("--nightly", action="store_true", help="run the long proofs too, with more random cases")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--nightly"):
        skip = pytest.mark.skip(reason="a long proof: runs with --nightly")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of larger real data sets and public checkpoints; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the larger real data sets; set EDGEPRUNE_TEST_DATA to their folder")
    return SHARED_DATA


@pytest.fixture(scope="session")
def mnist_sample() -> Path:
    """samples/mnist: real data and a trained checkpoint that the project ships."""
    return Path(__file__).parents[1] / "samples" / "mnist"
