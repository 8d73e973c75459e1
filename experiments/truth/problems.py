"""Random problems of every kind that the certified estimator takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
Rng = np.random.Generator


def _usual(rng: Rng, n: int, d: int) -> Rows:
    return rng.normal(size=(n, d))


def _duplicates(rng: Rng, n: int, d: int) -> Rows:
    return rng.normal(size=(3, d))[rng.integers(3, size=n)]


def _colinear(rng: Rng, n: int, d: int) -> Rows:
    return rng.normal(size=(n, 1)) * rng.normal(size=d) + 1e-12 * rng.normal(size=(n, d))


def _clouds(rng: Rng, n: int, d: int) -> Rows:
    half = rng.normal(size=d) + 1e-3 * rng.normal(size=(n // 2, d))
    return np.vstack([half, -half, rng.normal(size=(n - 2 * len(half), d))])


def _any_size(rng: Rng, n: int, d: int) -> Rows:
    return rng.normal(size=(n, d)) * 10.0 ** rng.integers(-300, 300, size=(n, 1))


def _subnormal(rng: Rng, n: int, d: int) -> Rows:
    return rng.integers(-9, 10, size=(n, d)) * 5e-324


def _uneven(rng: Rng, n: int, d: int) -> Rows:
    return rng.normal(size=(n, d)) * 10.0 ** rng.integers(-150, 150, size=d)


def _sparse(rng: Rng, n: int, d: int) -> Rows:
    return (rng.random((n, d)) < 0.2) * rng.normal(size=(n, d))  # some rows are zero


def _wide(rng: Rng, n: int, d: int) -> Rows:
    return rng.normal(size=(n, 8 * d + n))


def _one_hot(rng: Rng, n: int, d: int) -> Rows:
    return np.eye(d)[rng.integers(d, size=n)]


STRUCTURES: dict[str, Callable[[Rng, int, int], Rows]] = {
    "usual": _usual,
    "duplicates": _duplicates,
    "colinear": _colinear,
    "clouds": _clouds,
    "any_size": _any_size,
    "subnormal": _subnormal,
    "uneven": _uneven,
    "sparse": _sparse,
    "wide": _wide,
    "one_hot": _one_hot,
}
_TYPES = ("float64", "float64", "float32", "float16", "int64", "uint8")


@dataclass(frozen=True)
class Problem:
    """Data, settings of the estimator, and what is asked.

    Attributes:
        structure: How the rows were made; one of ``STRUCTURES``.
        x: (n, d). y: (n,) labels.
        settings: Of ``CertifiedLogisticRegression``.
        requests: Row ids, request by request; some cannot be served.
        threads: How many threads ask at the same time.
        loads: Requests after which the model is saved, and the loaded one goes on.
    """

    structure: str
    x: Rows
    y: NDArray[Any]
    settings: dict[str, Any]
    requests: list[list[int]]
    threads: int
    loads: frozenset[int]

    def possible(self) -> list[list[int]]:
        """The requests that can be served, one after the other."""
        gone: set[int] = set()
        possible = []
        for rows in self.requests:
            fits = rows and len(gone) + len(rows) < len(self.x) and len(set(rows)) == len(rows)
            if fits and all(0 <= row < len(self.x) for row in rows) and not gone & set(rows):
                possible.append(rows)
                gone |= set(rows)
        return possible


def draw(number: int, seed: int) -> Problem:
    """Return the problem of this number; the structures take turns."""
    rng = np.random.default_rng((seed, number))
    structure = list(STRUCTURES)[number % len(STRUCTURES)]
    n, d = int(rng.integers(8, 120)), int(rng.integers(1, 20))
    n *= 40 if structure != "wide" and rng.random() < 0.04 else 1  # several blocks of rows
    x = STRUCTURES[structure](rng, n, d)
    kind = "float64" if structure in ("any_size", "subnormal", "uneven") else str(rng.choice(_TYPES))
    if kind in ("int64", "uint8"):
        x = np.clip(np.round(60 * x + (100 if kind == "uint8" else 0)), 0 if kind == "uint8" else -999, 255)
    x, y = x.astype(kind), _labels(rng, x)
    settings = _settings(rng, len(np.unique(y)))
    if not settings["normalize"]:
        x = _shortened(x.astype(np.float64))
    threads = int(rng.choice([1, 1, 1, 4]))
    requests = _requests(rng, n)
    loads = rng.choice(len(requests), 2) if threads == 1 else np.empty(0, dtype=int)
    return Problem(structure, x, y, settings, requests, threads, frozenset(map(int, loads)))


def of_release(number: int, seed: int) -> Problem:
    """The problem of this number, with noise at release whatever it was drawn with."""
    problem = draw(number, seed)
    settings = {**problem.settings, **released(np.random.default_rng((seed, number, 1)))}
    settings.pop("at_limit", None)
    return replace(problem, settings=settings)


def _labels(rng: Rng, x: Rows) -> NDArray[Any]:
    """Two to ten classes, by a direction or by lot; of some a single row."""
    n = len(x)
    classes = min(n - 1, int(rng.choice([2, 2, 3, 5, 10])))
    if rng.random() < 0.5:
        size = np.abs(x.astype(np.float64)).max(axis=1, keepdims=True)
        scores = (x / np.where(size > 0, size, 1.0)) @ rng.normal(size=x.shape[1])
        y = np.argsort(np.argsort(scores, kind="stable")) * classes // n
    else:
        y = rng.integers(classes, size=n)
    y[rng.permutation(n)[:classes]] = np.arange(classes)
    if classes > 2 and rng.random() < 0.5:  # one row each, but for the first
        y = np.where(np.arange(n) < classes, np.arange(n), 0)[rng.permutation(n)]
    return np.asarray(y) if rng.random() < 0.7 else np.array([f"class {label}" for label in y])


def _settings(rng: Rng, classes: int) -> dict[str, Any]:
    return {
        "lam": float(10.0 ** rng.uniform(-5, 2)),
        "epsilon": float(rng.choice([0.1, 1.0, 4.0])),
        **(released(rng) if rng.random() < 0.4 else _published(rng)),
        "normalize": bool(rng.random() < 0.8),
        "subsample_ratio": float(rng.choice([1.0, 0.4])) if classes > 2 else 1.0,
        "joint_training": bool(rng.random() < 0.5),
        "random_state": int(rng.integers(2**31)) if rng.random() < 0.5 else None,
    }


def released(rng: Rng) -> dict[str, Any]:
    """Noise at release: its size or the residual given, or neither; sometimes for few releases."""
    given = str(rng.choice(["neither", "neither", "std", "residual_held"]))
    return {
        "perturbation": "release",
        "delta": float(rng.choice([1e-4, 1e-6])),
        "releases": int(rng.choice([1, 3, 1000, 1000, 10**6, 10**6])),
        "std": float(10.0 ** rng.uniform(-9, 1.5)) if given == "std" else None,
        "residual_held": float(10.0 ** rng.uniform(-10, 1)) if given == "residual_held" else None,
        "noise": (None, "lattice", "float")[rng.integers(3)],
        "certificate": "measured",
        "update": "corrected",
        "anchor": 0,
    }


def _published(rng: Rng) -> dict[str, Any]:
    """A perturbation of the loss, in every way that it is served."""
    pure = bool(rng.random() < 0.2)
    return {
        "perturbation": "pure_eps" if pure else "gaussian",
        "delta": 0.0 if pure else float(rng.choice([1e-4, 1e-6])),
        "std": float(10.0 ** rng.uniform(-9, 1.5)),
        "certificate": str(rng.choice(["worst_case", "data_dependent", "third_order", "measured"])),
        "update": str(rng.choice(["fresh", "frozen", "corrected"])),
        "at_limit": str(rng.choice(["retrain", "refuse"])),
        "anchor": int(rng.choice([0, 0, 1, 3])),
    }


def _shortened(x: Rows) -> Rows:
    """Rows of norm at most 1, some of them exactly 1 as float64 has it."""
    size = np.abs(x).max(axis=1, keepdims=True)
    x = x / np.where(size > 0, size, 1.0)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(norms > 0, norms, 1.0))


def _requests(rng: Rng, n: int) -> list[list[int]]:
    """Rows in a random order, singly and in batches, with requests between that nobody can serve."""
    order, requests = rng.permutation(n).tolist(), []
    for _ in range(int(rng.integers(1, 9))):
        size = int(rng.choice([1, 1, 1, 3, n // 4, n // 2]))
        requests.append([order.pop() for _ in range(min(size, len(order)))])
        if rng.random() < 0.3:
            gone = requests[0][:1]
            bad = [[n], [-1], [], gone, requests[-1] + requests[-1][:1], list(range(n))]
            requests.append(bad[int(rng.integers(len(bad)))])
    return requests
