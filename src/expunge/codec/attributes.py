"""Binary attribute tables with known dependencies, standing in for CelebA's 40 attributes of faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_PARENTS = 3
RATES = (0.02, 0.5)  # shares of ones: from rare (bald, moustache) to common (smiling)
STRENGTHS = (1.5, 3.0)  # change of the log-odds by one parent, either way
_HALVINGS = 60


def binary_attributes(n: int, p: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[list[int]]]:
    """Draw a random sparse directed acyclic network of binary variables, and samples from it.

    Attribute j has up to three parents among 0..j-1; ``P(a_j = 1 | parents) = sigmoid(c_j + w_j . parents)``
    where ``|w|`` is uniform in ``STRENGTHS``, of either sign; ``c_j`` makes the mean of the probabilities
    over the samples the attribute's base rate, log-uniform in ``RATES``.

    Args:
        n: Samples.
        p: Attributes.
        rng: Where network and samples are drawn from.

    Returns:
        The table, (n, p) of 0 and 1, and the parents of each attribute, ascending.

    Raises:
        ValueError: ``n`` or ``p`` is below 1.
    """
    if n < 1 or p < 1:
        raise ValueError(f"n, p: got {n}, {p}, allowed: whole numbers >= 1")
    table = np.zeros((n, p), dtype=np.uint8)
    parents: list[list[int]] = []
    for j in range(p):
        count = int(rng.integers(0, min(MOST_PARENTS, j) + 1))
        chosen = sorted(int(k) for k in rng.choice(j, size=count, replace=False)) if count else []
        weights = rng.uniform(*STRENGTHS, size=count) * rng.choice((-1.0, 1.0), size=count)
        rate = float(np.exp(rng.uniform(*np.log(RATES))))
        logits = table[:, chosen] @ weights
        table[:, j] = rng.random(n) < _sigmoid(logits + _intercept(logits, rate))
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


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1 + np.tanh(0.5 * x))  # never overflows


def _intercept(logits: NDArray[np.float64], rate: float) -> float:
    """Solve ``mean(sigmoid(c + logits)) = rate`` for c by bisection over the few distinct logits."""
    values, counts = np.unique(logits, return_counts=True)
    share = counts / len(logits)
    low, high = -float(values.max()) - 50.0, -float(values.min()) + 50.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if share @ _sigmoid(middle + values) < rate:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
