"""Binary attribute tables with known dependencies, standing in for CelebA's 40 attributes of faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from expunge.core.checks import require_count

MOST_PARENTS = 3
RATES = (0.02, 0.5)  # shares of ones: from rare (bald, moustache) to common (smiling)
STRENGTHS = (1.5, 3.0)  # change of the log-odds by one parent, either way


def binary_attributes(n: int, p: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[list[int]]]:
    """Draw a random sparse directed acyclic network of ``p`` binary variables, and ``n`` samples from it.

    Attribute j has up to three parents among 0..j-1; ``P(a_j = 1 | parents) = sigmoid(c_j + w_j . parents)``
    where ``|w|`` is uniform in ``STRENGTHS``, of either sign; ``c_j`` makes the mean of the probabilities
    over the samples the attribute's base rate, log-uniform in ``RATES``.

    Returns:
        The table, (n, p) of 0 and 1, and the parents of each attribute, ascending.

    Raises:
        ValueError: ``n`` or ``p`` is below 1.
    """
    require_count("n", n)
    require_count("p", p)
    table = np.zeros((n, p), dtype=np.uint8)
    parents: list[list[int]] = []
    for j in range(p):
        count = int(rng.integers(0, min(MOST_PARENTS, j) + 1))
        chosen = sorted(int(k) for k in rng.choice(j, size=count, replace=False)) if count else []
        weights = rng.uniform(*STRENGTHS, size=count) * rng.choice((-1.0, 1.0), size=count)
        rate = float(np.exp(rng.uniform(*np.log(RATES))))
        logits = table[:, chosen] @ weights
        table[:, j] = rng.random(n) < expit(logits + _intercept(logits, rate))
        parents.append(chosen)
    return table, parents


def markov_blanket_of(parents: list[list[int]], j: int) -> list[int]:
    """Return the parents, the children and the children's other parents of ``j``, ascending.

    Given these, ``j`` is independent of all others.
    """
    children = [k for k, above in enumerate(parents) if j in above]
    found = set(parents[j]).union(children, *(parents[k] for k in children))
    return sorted(found - {j})


def neighbours_of(parents: list[list[int]], j: int) -> list[int]:
    """Return the parents and the children of ``j``, ascending: what is linked to it directly."""
    return sorted({*parents[j], *(k for k, above in enumerate(parents) if j in above)})


def _intercept(logits: NDArray[np.float64], rate: float) -> float:
    """Solve ``mean(sigmoid(c + logits)) = rate`` for c, over the few distinct logits."""
    values, counts = np.unique(logits, return_counts=True)
    share, low, high = counts / len(logits), -values.max() - 50.0, -values.min() + 50.0
    return float(brentq(lambda c: share @ expit(c + values) - rate, low, high, xtol=1e-14))
