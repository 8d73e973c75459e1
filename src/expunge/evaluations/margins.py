"""Margins: what the standard evaluations look at, one number for each model and example."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from expunge.core.errors import InvalidValue

Array = NDArray[np.float64]
FARTHEST = 100.0
SIDES = {"forget": "removed", "retain": "retained", "test": "test"}
"""The rows that are looked at, and what they are called."""


def margins(logits: Array, y: NDArray[np.int64]) -> Array:
    """``m = z_y - log sum_{k != y} exp z_k``, (..., E): how surely an example is classified as its own class.

    The same number as ``phi = log p_y - log sum_{k != y} p_k`` of the softmax p, without its rounding where
    p_y is nearly 1. Above 0 just if p_y > 1/2.

    Args:
        logits: (..., E, K) outputs z, K >= 2.
        y: (E,) number of each example's class.

    Raises:
        InvalidValue: The shapes do not go together.
    """
    z = np.asarray(logits, dtype=np.float64)
    if z.ndim < 2 or z.shape[-1] < 2 or np.shape(y) != z.shape[-2:-1]:
        raise InvalidValue(
            "logits", f"shape {z.shape} with labels {np.shape(y)}", "(..., E, K) with (E,), K >= 2"
        )
    own = np.arange(z.shape[-1]) == np.asarray(y)[:, None]
    return z[..., own] - logsumexp(np.where(own, -np.inf, z), axis=-1)


def phi(probabilities: Array, y: NDArray[np.int64]) -> Array:
    """``log p_y - log sum_{k != y} p_k``, (E,), clipped to +-100: the ``margins`` of a model's outputs.

    Nothing is subtracted from 1, so that nothing is lost where p_y is nearly 1. NaN where a probability is.

    Args:
        probabilities: (E, K), K >= 2.
        y: (E,) number of each example's class.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    own = np.arange(p.shape[1]) == np.asarray(y)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(p[own]) - np.log(np.where(own, 0.0, p).sum(axis=1))
    return np.clip(found, -FARTHEST, FARTHEST)


def require_models(unlearned: Array, retrained: Array) -> tuple[Array, Array]:
    """Return two arrays of numbers, models x examples, in float64; both are of the same examples.

    Raises:
        InvalidValue: They are something else.
    """
    u, r = np.asarray(unlearned, dtype=np.float64), np.asarray(retrained, dtype=np.float64)
    if u.ndim != 2 or r.ndim != 2 or u.shape[1] != r.shape[1]:
        raise InvalidValue(
            "retrained", f"shape {r.shape} beside {u.shape}", "(models, E) of the same E examples"
        )
    return u, r
