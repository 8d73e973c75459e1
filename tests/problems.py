"""Random problems for tests: small, float64, rows of norm at most one."""

import numpy as np
from hypothesis import strategies as st

from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Rows
from expunge.predictors.linear import SETTINGS, LinearModel


def make(seed, n=40, d=5, lam=1e-2, std=1.0, separable=False, kind="float64"):
    rng = np.random.default_rng(seed)
    if kind == "uint8":
        raw = rng.integers(0, 256, size=(n, d), dtype=np.uint8)
        raw[:, 0] = 200  # no row equals the offset everywhere
        rows = Rows.normalised(raw, 127.5)
    else:
        rows = Rows.normalised(rng.normal(size=(n, d)).astype(kind))
    direction = rng.normal(size=d)
    scores = rows.dense() @ direction
    noise = 0 if separable else rng.normal(size=n) * 0.5
    y = np.where(scores + noise > 0, 1.0, -1.0)
    y[:2] = (1.0, -1.0)
    return LogisticProblem(rows, y, lam, std * rng.normal(size=d))


def labels(problem):
    return problem.y.astype(np.int64)


problems = st.builds(
    make,
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(6, 120),
    d=st.integers(1, 12),
    lam=st.sampled_from([1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
    std=st.sampled_from([0.0, 0.01, 0.1, 1.0, 10.0]),
    separable=st.booleans(),
    kind=st.sampled_from(["float64", "float32", "uint8"]),
)


def method(kind, **settings):
    """A method on a linear model; settings go to the one they are of."""
    model = LinearModel(**{key: settings.pop(key) for key in SETTINGS if key in settings})
    return kind(model, **settings)
