"""How far two arrays are apart, by what the numbers mean."""

from __future__ import annotations

import numpy as np


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference over largest magnitude; infinite where either is not a number."""
    assert a.shape == b.shape, f"shapes {a.shape} and {b.shape}"
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return float(np.abs(a - b).max(initial=0) / max(np.abs(a).max(initial=0), 1e-30))


def assert_close(a: np.ndarray, b: np.ndarray, tolerance: float) -> None:
    error = relative_error(a, b)
    if error > tolerance:
        worst = np.unravel_index(np.nanargmax(np.abs(a - b)), a.shape)
        raise AssertionError(f"relative error {error:.3g} > {tolerance:.0e}; worst at {worst}: {a[worst]!r} against {b[worst]!r}")
