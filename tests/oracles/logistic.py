"""The perturbed logistic loss, one row at a time, straight from method section 1.

The size of y[i] is what row i counts, its sign the label: -1 and +1 where all count alike.
"""

import numpy as np
from scipy.special import expit as sigmoid

WIDE = np.finfo(np.longdouble).nmant >= 63
"""Whether ``np.longdouble`` has a mantissa of 64 bits, as on x86: 2,048 times as exact as float64."""


def loss(x, y, lam, b, w):
    n = len(x)
    total = sum(abs(y[i]) * np.logaddexp(0, -np.sign(y[i]) * (x[i] @ w)) for i in range(n))
    return total + lam * n / 2 * (w @ w) + b @ w


def gradient(x, y, lam, b, w):
    n = len(x)
    total = np.zeros_like(w)
    for i in range(n):
        total += -y[i] * x[i] * sigmoid(-np.sign(y[i]) * (x[i] @ w))
    return total + lam * n * w + b


def wide_gradient(x, y, lam, b, w):
    """The same in long doubles, all rows at once."""
    x, y, lam, b, w = (np.asarray(one, dtype=np.longdouble) for one in (x, y, lam, b, w))
    return -(y / (1 + np.exp(np.sign(y) * (x @ w)))) @ x + lam * len(x) * w + b


def norm(x):
    """Root of the sum of squares, in the type that ``x`` has."""
    return float(np.sqrt(np.sum(x * x)))


def hessian(x, y, lam, w):
    n, d = x.shape
    total = lam * n * np.eye(d)
    for i in range(n):
        s = sigmoid(x[i] @ w)
        total += abs(y[i]) * s * (1 - s) * np.outer(x[i], x[i])
    return total


def minimise(x, y, lam, b, steps=100):
    """Plain Newton with a backtracking search on the loss."""
    w = np.zeros(x.shape[1])
    for _ in range(steps):
        direction = -np.linalg.solve(hessian(x, y, lam, w), gradient(x, y, lam, b, w))
        t = 1.0
        while t > 1e-8 and loss(x, y, lam, b, w + t * direction) > loss(x, y, lam, b, w) + 1e-12:
            t /= 2
        w = w + t * direction
    return w


def remove_fresh(x, y, lam, b, w, gone):
    """One published removal: returns the new weights and the rows that stay."""
    stay = np.setdiff1d(np.arange(len(x)), gone)
    g = sum(-y[i] * x[i] * sigmoid(-np.sign(y[i]) * (x[i] @ w)) + lam * w for i in gone)
    return w + np.linalg.solve(hessian(x[stay], y[stay], lam, w), g), stay
