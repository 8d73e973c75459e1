"""The evaluations over many models, straight from their equations: loops over attacks and models."""

from __future__ import annotations

from math import inf, log, log2, nan, pi, sqrt

import numpy as np
from scipy.stats import gaussian_kde


def klom(u, r, bins=20):
    """Of one example: lists of margins."""
    u, r = ([min(max(x, -100.0), 100.0) for x in one] for one in (u, r))
    low, high = min(*u, *r), max(*u, *r)

    def place(x):
        return min(int((x - low) / (high - low) * bins), bins - 1) if high > low else 0

    total = 0.0
    for k in range(bins):
        p, q = (sum(place(x) == k for x in one) / len(one) for one in (u, r))
        if p > 0:
            total += p * log(p / max(q, 1e-5))
    return total


def epsilon(u, r, delta):
    """Of one example: every set of neighbouring values, and its complement, is an attack."""
    ranges = sorted((max(u) - min(u), max(r) - min(r)))
    if ranges[1] > 0 and ranges[0] / ranges[1] < 0.01:
        return 50.0
    values = sorted({*u, *r})
    best = -inf
    for i in range(len(values)):
        for j in range(i, len(values)):
            for called in (True, False):
                fpr = sum((values[i] <= x <= values[j]) == called for x in r) / len(r)
                fnr = 1 - sum((values[i] <= x <= values[j]) == called for x in u) / len(u)
                if fpr == 0 and fnr == 0:
                    best = inf
                elif fpr > 0 and fnr > 0:
                    for a, b in ((fpr, fnr), (fnr, fpr)):
                        if 1 - delta - a > 0:
                            best = max(best, log(1 - delta - a) - log(b))
    return nan if best == -inf else min(max(best, 0.0), 50.0)


def ratio(phi, trained, i):
    """Of one example: model i is attacked with what the others have."""
    logs = []
    for world in (True, False):
        own = [x for k, x in enumerate(phi) if k != i and trained[k] == world]
        if len(own) < 2:
            return nan
        mean = sum(own) / len(own)
        std = sqrt(sum((x - mean) ** 2 for x in own) / (len(own) - 1))
        if std == 0:
            return nan
        logs.append(-log(std * sqrt(2 * pi)) - (phi[i] - mean) ** 2 / (2 * std**2))
    return logs[0] - logs[1]


def auc(inside, outside):
    """Over all pairs."""
    pairs = [(a > b) + (a == b) / 2 for a in inside for b in outside]
    return sum(pairs) / len(pairs)


def zrf(predicted, random):
    """Lists of rows of probabilities."""
    total = 0.0
    for p, r in zip(predicted, random, strict=True):
        for a, b in zip(p, r, strict=True):
            middle = (a + b) / 2
            total += sum(part * log2(part / middle) / 2 for part in (a, b) if part > 0)
    return 1 - total / len(predicted)


def hsic(k, m):
    """Of n x n matrices, centred by H = I - 11'/n."""
    n = len(k)
    h = np.eye(n) - np.ones((n, n)) / n
    return np.trace(h @ k @ h @ h @ m @ h)


def hsic_unbiased(k, m):
    """Song's estimate, times n (n - 3), term by term."""
    n, one = len(k), np.ones(len(k))
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    both = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return np.trace(k @ m) + both - 2 * (one @ k @ m @ one) / (n - 2)


def cka(x, y, hsic):
    """By either estimate."""
    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / sqrt(hsic(k, k) * hsic(m, m))


def ruli(phi, world, i):
    """Of one example: the log-ratio of kernel densities of the others, by scipy's estimate."""
    logs = []
    for side in (True, False):
        own = [x for k, x in enumerate(phi) if k != i and world[k] == side]
        if len(own) < 2 or len(set(own)) < 2:
            return nan
        logs.append(float(gaussian_kde(own).logpdf(phi[i])[0]))
    return logs[0] - logs[1]
