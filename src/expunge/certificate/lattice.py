"""Noise at release: on a lattice, where nothing of a number's low bits gets through, or plain float64.

``W = g (rint(w / g) + Z)``, g a power of two and Z independent discrete Gaussians, P(Z = k) proportional to
exp(-k^2 g^2 / (2 s^2)). Whole numbers are added as such, and nothing but their sum goes into W. Moving two
models to the lattice brings them apart by at most g sqrt(dim), half of it each. They are a whole vector v
apart then: W of one is (g^2 ||v||^2 / (2 s^2))-zCDP from W of the other (Canonne, Kamath and Steinke, 2020,
Theorem 4). The sampler is theirs, as OpenDP keeps it: exact rational arithmetic on bits of OpenSSL's
generator, which the operating system seeds (also after a fork).

With float noise, W = fl(w + s z), an observer who knows two candidates can see from the low bits which of
them it was (Mironov, CCS 2012): it is for figures alone.
"""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import BrokenInvariant
from expunge.core.seeds import Noise

_FEATURES = Lock()  # OpenDP's switches are of the whole process
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


def discrete_gaussian(size: int, scale: float) -> NDArray[np.int64]:
    """Independent whole numbers, (size,), each k with probability proportional to exp(-k^2 / (2 scale^2))."""
    import opendp.mod
    import opendp.prelude as dp

    with _FEATURES:
        asked = "contrib" not in opendp.mod.GLOBAL_FEATURES
        dp.enable_features("contrib")  # what OpenDP has not vetted to the end: its Gaussian asks for it
        try:
            space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="i64")
            sampler = space >> dp.m.then_gaussian(scale=scale)
        finally:
            if asked:
                dp.disable_features("contrib")
    return np.array(sampler(np.zeros(size, dtype=np.int64)), dtype=np.int64)


def with_float_noise(w: NDArray[np.float64], std: float, rng: Noise) -> NDArray[np.float64]:
    """``w + std z`` of w's shape, z standard normal from ``rng``: for figures, see above."""
    return w + std * rng.normal(size=w.size).reshape(w.shape)
