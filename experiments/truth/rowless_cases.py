"""Random problems and hostile orders of requests for removals that never touch the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rng = np.random.Generator


def _usual(rng: Rng, n: int, d: int) -> Floats:
    return rng.normal(size=(n, d))


def _copies(rng: Rng, n: int, d: int) -> Floats:
    return rng.normal(size=(3, d))[np.minimum(2, rng.geometric(0.7, size=n) - 1)]


def _near_copies(rng: Rng, n: int, d: int) -> Floats:
    return rng.normal(size=(2, d))[rng.integers(2, size=n)] + 1e-7 * rng.normal(size=(n, d))


def _aligned(rng: Rng, n: int, d: int) -> Floats:
    """All along one direction, most one way: the terms of the bound add up without loss."""
    ways = np.where(rng.random(n) < 0.9, 1.0, -1.0)
    return ways[:, None] * rng.normal(size=d)


def _mirrored(rng: Rng, n: int, d: int) -> Floats:
    half = rng.normal(size=(n // 2, d))
    return np.vstack([half, -half, rng.normal(size=(n % 2, d))])


def _clouds(rng: Rng, n: int, d: int) -> Floats:
    centres = 3 * rng.normal(size=(4, d))
    return centres[rng.integers(4, size=n)] + rng.normal(size=(n, d))


def _tiny(rng: Rng, n: int, d: int) -> Floats:
    """Norms from 1e-7 to exactly 1, taken as they are."""
    x = rng.normal(size=(n, d))
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
    x *= 10.0 ** rng.uniform(-7, -1e-9, size=(n, 1))
    x[rng.random(n) < 0.2] = np.eye(d)[rng.integers(d)]
    return x


def _one_hot(rng: Rng, n: int, d: int) -> Floats:
    return np.eye(d)[rng.integers(d, size=n)]


def _sparse(rng: Rng, n: int, d: int) -> Floats:
    return (rng.random((n, d)) < 0.2) * rng.normal(size=(n, d))  # some rows are zero


def _wide(rng: Rng, n: int, d: int) -> Floats:
    return rng.normal(size=(min(n, 60), 50 + d))


def _images(rng: Rng, n: int, d: int) -> Floats:
    return np.round(255 * rng.random(size=(n, d)) ** 3)


KINDS: dict[str, Callable[[Rng, int, int], Floats]] = {
    "usual": _usual,
    "copies": _copies,
    "near copies": _near_copies,
    "aligned": _aligned,
    "mirrored": _mirrored,
    "clouds": _clouds,
    "tiny": _tiny,
    "one-hot": _one_hot,
    "sparse": _sparse,
    "wide": _wide,
    "images": _images,
}
ORDERS = (
    "random",
    "heaviest",
    "lightest",
    "one class",
    "farthest drift",
    "leverage",
    "alike",
    "back and forth",
    "skewed",
    "closest",
)
BATCHES = ("one", "one", "one", "few", "many", "most")
_LOOKED_AT = 60  # rows up to which ``closest`` tries its requests out


@dataclass(frozen=True)
class Case:
    """Rows, settings, and how requests are chosen.

    Attributes:
        kind: How the rows were made; one of ``KINDS``.
        order: Which rows leave first; one of ``ORDERS``.
        batch: How many leave at once; one of ``BATCHES``.
        x: (n, d), not normalised but where they are ``tiny``. y: (n,) whole numbers.
        model: Settings of ``LinearModel``. newton: Of ``Newton``, but for scheme and update.
        most: Requests at most.
        loads: Before which requests the model is saved, and the loaded one goes on.
        rng: Of the choices that are left.
    """

    kind: str
    order: str
    batch: str
    x: NDArray[Any]
    y: Ints
    model: dict[str, Any]
    newton: dict[str, Any]
    most: int
    loads: frozenset[int]
    rng: Rng


def draw(number: int, seed: int, largest: int = 3000, most: int | None = None) -> Case:
    """Return the case of this number, of at most ``largest`` rows and ``most`` requests; kinds take turns."""
    rng = np.random.default_rng((seed, number))
    kind = list(KINDS)[number % len(KINDS)]
    order = ORDERS[number // len(KINDS) % len(ORDERS)]
    n = int(np.exp(rng.uniform(np.log(10), np.log(largest))))
    if order == "closest":
        n = min(n, _LOOKED_AT)
    d = int(np.exp(rng.uniform(0, np.log(51))))
    x = KINDS[kind](rng, n, d)
    n = len(x)
    if kind == "images":
        x = x.astype(np.uint8)
    elif rng.random() < 0.2 and kind != "tiny":
        x = x.astype(np.float32)
    y = _labels(rng, x.astype(np.float64))
    classes = len(np.unique(y))
    model = {
        "lam": float(10.0 ** rng.uniform(-6, 1)),
        "subsample_ratio": float(rng.choice([1.0, 0.4])) if classes > 2 else 1.0,
    }
    newton: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-5, "releases": n + 1}
    if rng.random() < 0.9:  # from a pass at every request to none at all, and a few beyond all reason
        low, high = ((-9, 0), (-4, np.log10(n) - 1), (-4, np.log10(n) - 1), (0, 6))[rng.integers(4)]
        newton["residual"] = float(10.0 ** rng.uniform(low, high))
    batch = str(rng.choice(BATCHES))
    most = int(rng.choice([30, 100, 400, n])) if most is None else most
    loads = frozenset(rng.integers(1, 30, size=2).tolist()) if rng.random() < 0.2 else frozenset()
    return Case(kind, order, batch, x, y, model, newton, most, loads, rng)


def _labels(rng: Rng, x: Floats) -> Ints:
    """Two to six classes: separable by a direction, the same with some flipped, uneven, or by lot."""
    n = len(x)
    classes = min(n - 1, int(rng.choice([2, 2, 2, 3, 6])))
    scores = x @ rng.normal(size=x.shape[1])
    y = np.argsort(np.argsort(scores, kind="stable")) * classes // n
    way = rng.integers(4)
    if way == 1:
        flipped = rng.random(n) < 0.15
        y[flipped] = rng.integers(classes, size=int(flipped.sum()))
    elif way == 2:
        y = rng.integers(classes, size=n)
    elif way == 3:
        y = np.minimum(classes - 1, rng.geometric(0.8, size=n) - 1)
    y[rng.permutation(n)[:classes]] = np.arange(classes)
    return np.asarray(y, dtype=np.int64)


@dataclass
class View:
    """What whoever chooses the requests looks at: everything, the secret model included.

    Attributes:
        x: (n, d) rows as the model has them. signs: (n, K) labels of the columns. classes: (n,) labels.
        used: (n, K) bool, which column uses which row.
        stay: Ids of the rows that have not left.
        w: (d, K) the model inside. start: (d, K) where it was after the last pass.
        last: The row that left last; None at the start.
        inverse: (d, d), about the inverse Hessian of the first column at the start.
    """

    x: Floats
    signs: Floats
    classes: Ints
    used: NDArray[np.bool_]
    stay: Ints
    w: Floats
    start: Floats
    last: int | None
    inverse: Floats

    def chosen(self, case: Case) -> Ints:
        """The rows of the next request; of ``closest`` a proposal."""
        count, n = 1, len(self.stay)
        if case.batch == "few":
            count = int(case.rng.integers(1, 6))
        elif case.batch == "many":
            count = int(case.rng.integers(1, max(2, n // 4)))
        elif case.batch == "most":
            count = int(case.rng.integers(max(1, n // 3), max(2, n - 1)))
        count = min(count, n - 1)
        keys = self._keys(case.order, case.rng)
        if count == 1:
            return self.stay[[int(np.argmin(keys))]]
        return self.stay[np.argsort(keys, kind="stable")[:count]]

    def _keys(self, order: str, rng: Rng) -> Floats:
        """The smallest leave first, (len(stay),)."""
        x = self.x[self.stay]
        if order in ("random", "closest") or not x.size:
            return rng.random(len(x))
        if order == "one class":
            return self.classes[self.stay] + rng.random(len(x))
        if order == "leverage":
            return -np.einsum("ij,jk,ik->i", x, self.inverse, x)
        if order == "alike":
            return rng.random(len(x)) if self.last is None else -np.abs(x @ self.x[self.last])
        scores = x @ self.w
        slopes = 1 / (1 + np.exp(np.clip(self.signs[self.stay] * scores, -700, 700)))
        if order == "skewed":  # those of the largest third derivative, times the square of what they moved
            third = np.abs(slopes * (1 - slopes) * (1 - 2 * slopes)) * self.used[self.stay]
            return -(third * (x @ (self.w - self.start)) ** 2).sum(axis=1) - 1e-9 * rng.random(len(x))
        weights = slopes * self.used[self.stay]
        if order in ("heaviest", "lightest"):
            weight = np.sqrt((weights**2).sum(axis=1)) * np.linalg.norm(x, axis=1)
            return -weight if order == "heaviest" else weight
        # a row that leaves takes its gradient -y s x along, and the model steps by H^-1 of it
        drift = self.w[:, 0] - self.start[:, 0]
        steps = -(self.signs[self.stay, 0] * weights[:, 0])[:, None] * (x @ self.inverse)
        farther = np.linalg.norm(drift + steps, axis=1)
        return farther if order == "back and forth" and drift @ drift > 1e-4 else -farther
