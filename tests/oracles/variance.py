"""Nested analysis of variance with dense matrices: quadratic forms and their traces."""

from __future__ import annotations

import numpy as np


def components(paths: list[tuple], y: np.ndarray) -> list[float | None]:
    """Unbiased variances of each level, the outermost first; None of a level without degrees of freedom.

    MS_l = y' Q_l y with Q_l = (P_l - P_{l-1}) / rank, P_l the projection onto means of the groups of level l;
    E y' Q y = sum_m s_m tr(Q Z_m Z_m') + 0 for the mean, which Q kills. All equations at once, by solving.
    """
    depth = len(paths[0])
    indicator = []
    for level in range(depth + 1):
        names = sorted({path[:level] for path in paths})
        indicator.append(np.array([[float(path[:level] == name) for name in names] for path in paths]))
    projection = [z @ np.linalg.inv(z.T @ z) @ z.T for z in indicator]
    forms = {}
    for level in range(1, depth + 1):
        free = indicator[level].shape[1] - indicator[level - 1].shape[1]
        if free:
            forms[level] = (projection[level] - projection[level - 1]) / free
    matrix = [[np.trace(q @ indicator[m] @ indicator[m].T) for m in forms] for q in forms.values()]
    found = np.linalg.solve(np.array(matrix), np.array([y @ q @ y for q in forms.values()])) if forms else []
    known = dict(zip(forms, map(float, found), strict=True))
    return [known.get(level) for level in range(1, depth + 1)]


def balanced(y: np.ndarray) -> tuple[float, float, float]:
    """The same of an (I, J, K) table, straight from the textbook: loops and the three mean squares."""
    i_, j_, k_ = y.shape
    whole, own = y.mean(), y.mean(axis=(1, 2))
    ms_a = j_ * k_ * sum((own[i] - whole) ** 2 for i in range(i_)) / (i_ - 1)
    ms_b = k_ * sum((y[i, j].mean() - own[i]) ** 2 for i in range(i_) for j in range(j_)) / (i_ * (j_ - 1))
    inner = [(y[i, j, k] - y[i, j].mean()) ** 2 for i in range(i_) for j in range(j_) for k in range(k_)]
    ms_e = sum(inner) / (i_ * j_ * (k_ - 1))
    return (ms_a - ms_b) / (j_ * k_), (ms_b - ms_e) / k_, ms_e
