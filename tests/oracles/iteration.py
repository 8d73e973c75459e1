"""Amplification by iteration, written straight from its equations: mpmath, quadrature, and nothing shared."""

from __future__ import annotations

import mpmath as mp
import numpy as np
from scipy.optimize import minimize
from scipy.stats import norm


def mu(contraction, start, drift, steps, std):
    """``min_k (a^k start + drift sum_{j<k} a^j) / (s sqrt(sum_{j<k} a^2j))`` with 60 digits."""
    with mp.workdps(60):
        a, found = mp.mpf(contraction), []
        for k in range(1, steps + 1):
            above = a**k * mp.mpf(start) + mp.mpf(drift) * sum(a**j for j in range(k))
            found.append(above / (mp.mpf(std) * mp.sqrt(sum(a ** (2 * j) for j in range(k)))))
        return min(found)


def cheapest_shifts(a, start, drift, steps):
    """Least ``sqrt(sum m_t^2)`` over shifts m >= 0 that bring ``d <- a d + drift - m`` from ``start`` to 0.

    Found by a solver that knows nothing of the closed form; the distances stay >= 0 on the way.
    """

    def ways(m):
        d, path = start, []
        for step in m:
            d = a * d + drift - step
            path.append(d)
        return np.array(path)

    rules = [{"type": "eq", "fun": lambda m: ways(m)[-1]}, {"type": "ineq", "fun": lambda m: ways(m)[:-1]}]
    begin = np.full(steps, start / steps + drift)
    how = {"bounds": [(0, None)] * steps, "constraints": rules, "method": "SLSQP"}
    found = minimize(lambda m: float(m @ m), begin, options={"ftol": 1e-14, "maxiter": 500}, **how)
    assert found.success
    return float(np.sqrt(found.fun))


def laws_of_one_weight(step, starts, std, steps, points):
    """Densities on the grid ``points`` after ``steps`` noisy steps in one dimension, one for each start.

    ``x <- step(x) + std z``, by the Chapman-Kolmogorov equation on the grid.
    """
    width = points[1] - points[0]
    found = []
    for start in starts:
        density = norm.pdf(points, step(np.array([start]))[0], std)
        kernel = norm.pdf(points[:, None], step(points)[None, :], std)
        for _ in range(steps - 1):
            density = kernel @ density * width
        found.append(density)
    return found


def profile(p, q, epsilon, width):
    """``max(sup_S P(S) - e^eps Q(S), sup_S Q(S) - e^eps P(S))`` of two densities on a grid."""
    return max(
        float(np.clip(one - np.exp(epsilon) * other, 0, None).sum() * width)
        for one, other in ((p, q), (q, p))
    )
