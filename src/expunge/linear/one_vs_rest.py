"""K binary problems out of K classes, each with the rows it uses.

Class k separates its own rows (y = +1) from the others (y = -1). The K problems share nothing but the rows,
so a removal certificate for the (d, K) weights adds up their squared residuals: ``sum_k ||r_k||^2``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expunge.linear.classes import ClassList
from expunge.linear.given import Array
from expunge.linear.logistic import LogisticProblem
from expunge.linear.operations import RowOperations

_BLOCK = 65_536


def one_vs_rest(
    rows: RowOperations,
    labels: NDArray[np.int64],
    classes: NDArray[np.int64] | ClassList,
    lam: float,
    b: Array,
    subsample_ratio: float = 1.0,
    rng: np.random.Generator | None = None,
    iterative: bool = False,
    sizes: Array | None = None,
) -> list[LogisticProblem]:
    """Return one problem per class; for two classes a single one, in which the larger label is +1.

    With ``subsample_ratio`` below 1 class k uses all of its own rows and each other row with that
    probability. The draws of one row depend on no other row: the model trained without a row would use the
    very same rows otherwise, which a certificate needs. Nor do they on which classes are still there: a class
    keeps its subsample when another goes, and with two left the larger label keeps its own, which need not
    have a row of the smaller. ``lam`` multiplies the rows that the class uses.

    ``labels`` are (n,), ``classes`` (K,) different ones in rising order, ``b`` the (d, K)
    perturbation, (d, 1) for two classes. Problems that use all of ``rows`` share this object.
    ``iterative`` is as in ``LogisticProblem``; ``sizes`` (n,) is what each row counts, in every column the
    same, None for 1 each.
    """
    known = classes if isinstance(classes, ClassList) else ClassList.of(classes)
    used = None
    if subsample_ratio < 1:
        assert rng is not None
        used = _used(labels, known, subsample_ratio, rng)[:, -known.width :]
    return [
        LogisticProblem(
            rows if used is None else rows.only(used[:, k]),
            signed(labels == label, sizes),
            lam,
            np.ascontiguousarray(b[:, k]),
            iterative,
        )
        for k, label in enumerate(known.positive)
    ]


def signed(positive: NDArray[np.bool_], sizes: Array | None) -> Array:
    """Y as ``LogisticProblem`` has it: +1 and -1, times what each row counts, (n,)."""
    y = np.where(positive, 1.0, -1.0)
    return y if sizes is None else y * sizes


def _used(
    labels: NDArray[np.int64], classes: ClassList, share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which class uses which row, (n, K); row i has the i-th draws, one for each class of the fit."""
    used = labels[:, None] == classes.labels
    for start in range(0, len(labels), _BLOCK):
        part = used[start : start + _BLOCK]
        part |= rng.random((len(part), classes.first))[:, classes.places] < share
    return used


def as_columns(flat: Array, dim: int) -> Array:
    """A perturbation as it is drawn, column after column, as (dim, width)."""
    return flat.reshape(-1, dim).T
