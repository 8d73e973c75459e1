"""An existing permutation test of conditional mutual information, from a package the user may install."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

MISSING = "without it codec, lcodec; with it after pip install 'expunge[cmi]' (tigramite)"


def available() -> bool:
    """Whether tigramite (GPL-3, no dependency of this package) is installed."""
    return find_spec("tigramite") is not None


def cmiknn_test(
    y: NDArray[np.float64],
    z: NDArray[np.float64],
    x: NDArray[np.float64] | None,
    *,
    permutations: int,
    neighbours: int,
    knn: int,
    rng: np.random.Generator,
    threads: int | None,
) -> tuple[float, float]:
    """Test Y independent of Z (given X) by tigramite's CMIknn (Runge 2018).

    The statistic is the estimator of Frenzel and Pompe (2007) with ``knn`` neighbours on ranks; copies are
    local permutations as in ``independence_test``, or without X permutations of all rows.

    y is (n,), z (n, q), x (n, r) or None; ``rng`` seeds the test; the rest is as in ``independence_test``.

    Returns:
        Estimate in nats and p-value, (1 + copies that reach it) / (permutations + 1).

    Raises:
        ImportError: tigramite is not installed.
    """
    logging.getLogger("numba").setLevel(logging.WARNING)  # its kernels report on their compilation
    test = import_module("tigramite.independence_tests.cmiknn").CMIknn(
        knn=knn,
        shuffle_neighbors=neighbours,
        sig_samples=permutations,
        sig_blocklength=1,  # rows are independent, not a time series
        permute="X",  # what it calls X is our Z: the same side as in independence_test
        workers=threads or -1,
        seed=int(rng.integers(2**31)),
    )
    with redirect_stdout(io.StringIO()):
        statistic, p_value = test.run_test_raw(z, y[:, None], x)
    return float(statistic), float(p_value)
