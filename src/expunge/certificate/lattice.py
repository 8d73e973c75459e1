"""Noise at release: on a lattice, where nothing of a number's low bits gets through, or plain float64.

``W = g (rint(w / g) + Z)``, g a power of two and Z independent discrete Gaussians, P(Z = k) proportional to
exp(-k^2 g^2 / (2 s^2)). Whole numbers are added as such, and nothing but their sum goes into W. Moving two
models to the lattice brings them apart by at most g sqrt(dim), half of it each. They are a whole vector v
apart then: W of one is (g^2 ||v||^2 / (2 s^2))-zCDP from W of the other (Canonne, Kamath and Steinke, 2020,
Theorem 4). The sampler is exact, on bits of the operating system's generator: ``discrete``.

With float noise, W = fl(w + s z), an observer who knows two candidates can see from the low bits which of
them it was (Mironov, CCS 2012): it is for figures alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expunge.certificate.discrete import discrete_gaussian
from expunge.core.errors import BrokenInvariant
from expunge.core.seeds import Noise

_COUNTED = 2.0**53  # up to here every whole number is a float64


def on_lattice(w: NDArray[np.float64], std: float, grid: float) -> NDArray[np.float64]:
    """``g (rint(w / g) + Z)`` of w's shape, Z discrete Gaussian of scale std / g; drawn afresh at every call.

    Raises:
        BrokenInvariant: ``w`` holds what is no number, or what has no place on a lattice that fine.
    """
    steps = np.rint(np.asarray(w, dtype=np.float64) / grid)
    if not (np.abs(steps) < _COUNTED).all():
        must = f"of finite numbers below {_COUNTED * grid:g}, 2^53 steps of the lattice"
        raise BrokenInvariant("the model", "of others", must)  # and not which: it is secret
    published = steps.astype(np.int64) + discrete_gaussian(steps.size, std / grid).reshape(steps.shape)
    return published.astype(np.float64) * grid


def with_float_noise(w: NDArray[np.float64], std: float, rng: Noise) -> NDArray[np.float64]:
    """``w + std z`` of w's shape, z standard normal from ``rng``: for figures, see above."""
    return w + std * rng.normal(size=w.size).reshape(w.shape)
