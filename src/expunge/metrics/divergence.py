"""How far apart two models' predictions are: divergences between rows of class probabilities."""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from expunge.core.errors import InvalidValue

Array = NDArray[np.float64]

_TINY = np.finfo(np.float64).tiny  # 2.2e-308, the smallest normal number


def kl_divergence(p: Array, q: Array) -> Array:
    """``KL(p_i || q_i) = sum_k p_ik log(p_ik / q_ik)`` of each pair of rows, (n,) nats; smaller is nearer.

    Terms with ``p_ik = 0`` are zero. A ``q_ik`` below 2.2e-308 (float64's smallest normal number) counts as
    that, so that a class which q rules out costs p about 708 nats instead of infinitely many. Not symmetric.

    Args:
        p: (n, K), rows of probabilities.
        q: (n, K).

    Raises:
        InvalidValue: They are not two such arrays of equal shape.
    """
    if np.ndim(p) != 2 or np.shape(p) != np.shape(q):
        raise InvalidValue("q", f"shape {np.shape(q)} beside {np.shape(p)}", "two arrays of one shape (n, K)")
    return np.maximum(rel_entr(p, np.maximum(q, _TINY)).sum(axis=1), 0.0)  # rounding can go below zero


def js_divergence(p: Array, q: Array) -> Array:
    """``(KL(p_i || m_i) + KL(q_i || m_i)) / 2`` with ``m = (p + q) / 2``, (n,) nats; smaller is nearer.

    Symmetric, zero for equal rows alone, and at most ``log 2``, for rows that share no class.

    Args:
        p: (n, K), rows of probabilities.
        q: (n, K).
    """
    m = (p + q) / 2
    return np.clip((kl_divergence(p, m) + kl_divergence(q, m)) / 2, 0.0, log(2))
