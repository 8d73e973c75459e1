"""FOCI and CODEC as scikit-learn transformers, for its pipelines and searches."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from expunge.codec.inputs import FEWEST_ROWS
from expunge.codec.selection import foci, scores_alone
from expunge.codec.tie_breaking import NOISE, Ties, check_options
from expunge.core.checks import require_count, require_switch
from expunge.core.errors import InvalidValue
from expunge.core.seeds import seed_from

Seed = int | np.random.RandomState | np.random.Generator
Self = TypeVar("Self", bound="_Selector")


@dataclass(eq=False, repr=False, kw_only=True)  # an __init__ that keeps its arguments as they are
class _Selector(SelectorMixin, BaseEstimator):
    """What both have in common: how ties are broken, what ``fit`` takes, which columns are let through."""

    ties: Ties = "random"
    noise: float = NOISE
    threads: int | None = None
    random_state: Seed | None = 0

    def fit(self: Self, X: Any, y: Any) -> Self:
        """Choose columns of X (n, p) by what they say of y (n,).

        X: NumPy, a data frame, or anything that makes numbers, all finite; n at least 3. y: numbers, of
        regression or of classes, or labels of one kind, which count in sorted order.

        Raises:
            InvalidValue: A parameter, or y, is not allowed, in one line.
            ValueError: X or y is not as said (scikit-learn's own messages).
        """
        self._check()
        check_options(self.ties, self.noise, self.threads)
        seed = seed_from(self.random_state)
        X, y = validate_data(self, X, y, ensure_min_samples=FEWEST_ROWS)
        how: Any = {"ties": self.ties, "noise": self.noise, "rng": seed, "threads": self.threads}
        self.order_, self.scores_ = self._choose(X, _ordered(y), how)
        return self

    @abstractmethod
    def _check(self) -> None:
        """Raise ``InvalidValue`` unless the parameters of its own are allowed."""

    @abstractmethod
    def _choose(self, X: Any, y: Any, how: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The chosen columns, best first, and the score of each column, (p,)."""

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.order_] = True
        return mask

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@dataclass(eq=False, repr=False)
class FociSelector(_Selector):
    """Keep the columns that FOCI chooses: each adds the most to what those before it say of y.

    Azadkia and Chatterjee (2021): first the column with the largest T(Y, X_j), then that with the largest
    T(Y, X_j | chosen), and so on: a column that only repeats others is left out. As published it stops by
    itself, before a T that is not above zero. ``expunge.codec.foci`` does the work and chooses the same
    columns, also of tensors on a GPU.

    Only the order of y matters. Classes without an order are taken in sorted order: T is 0 (says nothing) and
    1 (says all) in whatever order, but between these it, and so which column is better, may depend on it.
    Distances are Euclidean: scale columns of different units first (``StandardScaler``).

    Args:
        max_features: At most that many columns; None: as many as it takes.
        stop: Stop as published. False: the first ``max_features``, those with scores of zero and below
            too; fewer only where y is a function of the chosen columns, or the others are constant.
        ties: Which of equally near rows is the neighbour: ``random``, ``first`` or ``noise`` (L-FOCI); see
            ``expunge.codec.codec``, like ``noise``.
        noise: For ``ties="noise"``: standard deviation, as a share of the column's own.
        threads: None: every core. The result is the same for any number; within a search of several
            processes (``n_jobs``) 1 is best.
        random_state: Seed of what breaks ties: a whole number, which chooses the same columns each time, a
            RandomState or Generator, or None.

    Attributes:
        order_: (k,) int64, the chosen columns, best first.
        scores_: (p,) float64, the T that a column was chosen with; NaN: not chosen.
        n_features_in_: p.
        feature_names_in_: (p,), where X was a data frame with names.
    """

    max_features: int | None = None
    stop: bool = True

    def _check(self) -> None:
        require_switch("stop", self.stop)
        if self.max_features is not None:
            require_count("max_features", self.max_features)

    def _choose(self, X: Any, y: Any, how: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        columns, found = foci(X, y, max_features=self.max_features, stop=bool(self.stop), **how)
        scores = np.full(X.shape[1], np.nan)
        scores[columns] = found
        return columns, scores


@dataclass(eq=False, repr=False)
class CodecSelector(_Selector):
    """Keep the k columns that say the most of y, each looked at alone: those with the largest T(Y, X_j).

    T is CODEC (Azadkia and Chatterjee 2021), 0 where X_j says nothing of y and 1 where y is a function of it,
    whatever its shape. It takes one pass over the columns, but columns that say the same are kept together:
    ``FociSelector`` leaves the second out, and ``expunge.codec.markov_blanket`` tests which are needed. Equal
    scores go to the lower column; constant columns are never kept.

    Only the order of y matters; classes without one are taken in sorted order, see ``FociSelector``, like
    ``ties``, ``noise``, ``threads`` and ``random_state``.

    Args:
        k: How many columns; all that are not constant where there are fewer.

    Attributes:
        order_: (k,) int64, the columns that are kept, best first.
        scores_: (p,) float64, T(Y, X_j) of each column; NaN: constant.
        n_features_in_: p.
        feature_names_in_: (p,), where X was a data frame with names.
    """

    k: int = 10

    def _check(self) -> None:
        require_count("k", self.k)

    def _choose(self, X: Any, y: Any, how: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        scores = scores_alone(X, y, **how)
        order = np.argsort(-scores, kind="stable")[: np.count_nonzero(~np.isnan(scores))]  # NaN comes last
        return order[: self.k], scores


def _ordered(y: NDArray[Any]) -> NDArray[Any]:
    """Numbers as they are; the place of each label among those there are, sorted."""
    if y.dtype.kind in "biuf":
        return y
    try:
        return np.asarray(np.unique(y, return_inverse=True)[1])
    except TypeError:  # None, or numbers, among text
        kinds = sorted({type(label).__name__ for label in y})
        raise InvalidValue("y", ", ".join(kinds), "numbers, or labels of one kind") from None
