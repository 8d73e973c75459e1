"""Compiling what training and removal run, before anybody looks at a clock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Rows


def rehearse(rows: Rows) -> None:
    """Run every kernel once, on a single row that is stored like these.

    The kernels are compiled for each way in which rows may be stored when they first meet it, for some
    seconds; what is compiled is kept for later processes, where that is possible. No time that is reported
    shall depend on it.
    """
    one = replace(rows, raw=rows.raw[:1], scale=rows.scale[:1], index=None)
    w = np.zeros(one.dim)
    problem = LogisticProblem(one, np.ones(1), 1.0, w)
    problem.gradient(w)
    problem.curvature(w).along(w)
    for kind in (np.float32, np.float64):
        for _ in one.weighted_blocks(None, range(0, 1, 1), kind):
            pass
