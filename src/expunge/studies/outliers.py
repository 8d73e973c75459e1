"""The rows whose removal changes the model most and least."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from expunge.core.checks import LARGEST, require_count, require_from_zero, require_positive
from expunge.core.errors import InvalidValue
from expunge.linear.logistic import LogisticProblem
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rows import BLOCK_ROWS, Array
from expunge.predictors.linear import LinearModel
from expunge.studies import two_digits

ENDS = ("most", "least")
MEASURES = ("norm", "loss", "margin")
_HEADINGS = ("removed row", "rows", "norm of the step", "loss", "margin", "misclassified")


class Outliers:
    """For every training row the length of the Newton step that would remove it, and the rows at either end.

    Args:
        dataset: ``mnist_3v8`` or ``digits_3v8``.
        lam: Regularisation per example.
        std: Standard deviation of the perturbation; 0 leaves it out.
        show: Rows of each class at either end.

    Raises:
        InvalidValue: A value is not allowed.
    """

    name = "outliers"

    def __init__(
        self, dataset: str = "mnist_3v8", lam: float = 1e-3, std: float = 10.0, show: int = 12
    ) -> None:
        self.lam = require_positive("lam", lam, most=LARGEST)
        self.std = require_from_zero("std", std, most=LARGEST)
        self.dataset, self.rows = two_digits.load(dataset)
        self.show = require_count("show", show)
        fewest = int(np.unique(self.dataset.y_train, return_counts=True)[1].min())
        if 2 * self.show > fewest:
            raise InvalidValue("show", show, f"at most {fewest // 2}, half of the rows of a class")

    def cells(self) -> list[dict[str, Any]]:
        """Each class."""
        return [{"class": name} for name in self.dataset.class_names.values()]

    @one_blas_thread()
    def run_cell(self, cell: dict[str, Any], seed: int) -> dict[str, Any]:
        """Rank the rows of one class.

        Returns:
            ``most`` and ``least``: the ``show`` rows at either end, the most extreme first, each as ``row``
            (ids), ``norm`` (||step||), ``loss`` and ``margin`` (y x.w); ``median``: each of these three over
            the class; ``misclassified``, the share of the class.
        """
        trained = LinearModel(self.lam, self.std)
        trained.fit(self.rows, self.dataset.y_train, seed)
        problem, w = trained.problem, trained.w
        of_class = np.flatnonzero(self.dataset.y_train == self.dataset.label_of(cell["class"]))
        margin = (problem.y * self.rows.scores(w))[of_class]
        measured = (removal_norms(problem, w, of_class), np.logaddexp(0.0, -margin), margin)
        values = dict(zip(MEASURES, measured, strict=True))
        order = np.argsort(-values["norm"], kind="stable")
        found: dict[str, Any] = {}
        for end, ranked in zip(ENDS, (order, order[::-1]), strict=True):
            at = ranked[: self.show]
            found[end] = {"row": of_class[at].tolist(), **{key: v[at].tolist() for key, v in values.items()}}
        found["median"] = {key: float(np.median(v)) for key, v in values.items()}
        return {**found, "misclassified": float(np.mean(margin <= 0))}

    def table(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A row for either end, and one for the median row of each class."""
        rows: list[tuple[Any, ...]] = []
        for end, own in self.summary(records)["influence"].items():
            means = [own[f"mean_{key}"] for key in MEASURES]
            rows.append((f"change it {end}", len(own["rows"]), *means, own["misclassified"]))
        for own in records:
            medians = [own["median"][key] for key in MEASURES]
            rows.append((f"median of class {own['class']}", None, *medians, own["misclassified"]))
        return [dict(zip(_HEADINGS, row, strict=True)) for row in rows]

    def summary(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """What the rows at either end have in common.

        Returns:
            ``influence``: for ``most`` and ``least``, over the shown rows of all classes, ``mean_norm``,
            ``mean_loss``, ``mean_margin``, ``misclassified`` (the share) and ``rows`` (ids, the most extreme
            first); ``ratio`` of the mean norms; ``misclassified`` of all rows, the mean over the classes.
        """
        influence: dict[str, Any] = {}
        for end, sign in zip(ENDS, (-1, 1), strict=True):
            shown = [record[end] for record in records]
            joined = {key: np.concatenate([own[key] for own in shown]) for key in ("row", *MEASURES)}
            order = np.argsort(sign * joined["norm"], kind="stable")
            influence[end] = {
                **{f"mean_{key}": float(joined[key].mean()) for key in MEASURES},
                "misclassified": float(np.mean(joined["margin"] <= 0)),
                "rows": joined["row"][order].tolist(),
            }
        return {
            "influence": influence,
            "ratio": influence["most"]["mean_norm"] / influence["least"]["mean_norm"],
            "misclassified": float(np.mean([record["misclassified"] for record in records])),
        }

    def figures(self, records: list[dict[str, Any]], folder: Path) -> None:
        """Write ``outliers.png`` and ``.svg``."""
        from expunge.studies.outliers_figure import draw

        draw(records, self.dataset.x_train, self.dataset.unit).save(folder)


def removal_norms(problem: LogisticProblem, w: Array, rows: NDArray[np.int64]) -> Array:
    r"""``||H(w; D\i)^{-1} g_i||_2`` for each row i, (m,): the published step that would remove it alone.

    With s = sigmoid(x.w), ``c = s (1 - s)`` and ``g = a x + lam w`` for one row (a = -y sigmoid(-y x.w)),
    ``H(w; D\i) = A - c x x^T``, where A = X^T diag(c) X + lam (n - 1) I is the same for all rows. One
    factorisation therefore serves them all, exactly (Sherman and Morrison). ``problem`` is the loss over all
    rows, ``w`` (d,), ``rows`` (m,) ids of rows that have not been removed.
    """
    matrix = problem.hessian(w)
    matrix[np.diag_indices(len(w))] -= problem.lam
    factor = cho_factor(matrix, lower=True, overwrite_a=True)
    shrunk = problem.lam * cho_solve(factor, w)  # lam A^{-1} w
    norms = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        x, y = problem.rows.dense(rows[part]), problem.y[rows[part]]
        scores = x @ w
        a, c = -y * expit(-y * scores), expit(scores) * expit(-scores)
        u = cho_solve(factor, x.T).T  # rows A^{-1} x
        steps = a[:, None] * u + shrunk  # A^{-1} g
        gain = c * np.sum(x * steps, axis=1) / (1 - c * np.sum(x * u, axis=1))
        norms[part] = np.linalg.norm(steps + gain[:, None] * u, axis=1)
    return norms
