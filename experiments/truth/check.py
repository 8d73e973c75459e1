"""One problem served by the estimator and followed in 64-bit mantissas."""

from __future__ import annotations

import tempfile
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from experiments.truth.problems import Problem
from experiments.truth.releases import Releases, inside
from expunge import CertifiedLogisticRegression
from expunge.core.errors import InvalidValue, UserError
from expunge.unlearners import Outcome

WIDE = np.finfo(np.longdouble).nmant >= 63
"""Whether ``np.longdouble`` has a mantissa of 64 bits, as on x86: 2,048 times as exact as float64."""

TOO_SMALL = ("std", "residual", "residual_held")
"""What may be below what float64 can hold: then a problem is refused by that name."""

Wide = NDArray[np.longdouble]


@dataclass
class Found:
    """What one problem came to.

    Attributes:
        outcomes: Requests by how they ended; ``bad`` were refused with an error, ``untrained`` is a problem
            whose model could not be certified in the first place.
        looked: Models that were compared with the truth.
        ratios: True residual over a bound that adds up, of every removal.
        shares: How far a measured residual is off, over what its bound has for that.
        wrong: What does not hold, in words.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    looked: int = 0
    ratios: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def check(problem: Problem) -> Found:
    """Train, serve all requests, and compare every release with the truth."""
    found = Found()
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            model = CertifiedLogisticRegression(**problem.settings).fit(problem.x, problem.y)
        except UserError as error:
            found.outcomes["untrained"] += 1
            if getattr(error, "name", None) not in TOO_SMALL:
                found.wrong.append(f"fit: {error}")
            return found
        follower = Follower(problem, model, found)
        follower.look("fit")
        if problem.threads > 1:
            follower.at_once()
        else:
            for number, rows in enumerate(problem.requests):
                follower.ask(rows)
                if number in problem.loads:
                    follower.reload(Path(folder) / "model.safetensors")
    return found


class Follower:
    """Keeps its own account of a model: rows as they were given, in long doubles, and which have left."""

    def __init__(self, problem: Problem, model: CertifiedLogisticRegression, found: Found) -> None:
        self.problem, self.model, self.found = problem, model, found
        self.rows, self.signs = rows_of(problem.x, problem.settings["normalize"]), signs_of(problem.y)
        columns = model._engine_.columns
        self.used = np.stack([column.problem.rows.scale != 0 for column in columns], axis=1)
        self.kept = np.ones(len(problem.y), dtype=bool)
        self.releases = Releases(model) if problem.settings["perturbation"] == "release" else None

    def ask(self, rows: list[int]) -> None:
        """Make one request, and look at what came of it."""
        before = self.model.coef_.copy(), self.model.certificate_
        if self._is_bad(rows):
            try:
                self.model.remove(rows)
                self._wrong(f"remove({rows}) was served")
            except InvalidValue:
                self.found.outcomes["bad"] += 1
            self._unchanged(before, "a request that was no request")
            return
        stay = self.kept.copy()
        stay[rows] = False
        alone = len(np.unique(self.problem.y[stay])) < 2
        outcome = self.model.remove(rows)
        self._take(rows, outcome)
        if alone != ("one class alone" in (outcome.reason or "")):
            self._wrong(f"remove({rows}), which {'leaves' * alone or 'does not leave'} one class: {outcome}")
        if outcome.outcome == "refused":
            self._unchanged(before, f"a refused request ({outcome.reason})")
        certificate = self.model.certificate_
        if self.releases is None:
            known = certificate.beta, certificate.guarantee.budget
        else:
            known = certificate.budget, certificate.budget  # nothing that is measured
        said = (outcome.residual_bound, outcome.budget, outcome.epsilon_spent)
        if said != (*known, certificate.epsilon_spent):
            self._wrong(f"the outcome says {said}, the certificate {certificate}")
        self.look(outcome.outcome, outcome.residual_measured, int(outcome.outcome == "removed"))

    def at_once(self) -> None:
        """Make the requests that can be served from several threads, and look at what all came to."""
        order = np.random.default_rng(0).permutation(len(self.kept)).tolist()
        requests = [order[k : k + 1] for k in range(min(12, len(order) // 2))]
        with ThreadPoolExecutor(self.problem.threads) as pool:
            outcomes = list(pool.map(self.model.remove, requests))
        for rows, outcome in zip(requests, outcomes, strict=True):
            self._take(rows, outcome)
        self.look("threads", drawn=sum(outcome.outcome == "removed" for outcome in outcomes))

    def reload(self, path: Path) -> None:
        """Save the model and go on with what is loaded."""
        self.model.save(path)
        loaded = CertifiedLogisticRegression.load(path, self.problem.x, self.problem.y)
        before = self.model.coef_, self.model.certificate_
        self.model = loaded
        self._unchanged(before, "loading")
        self.look("load")

    def look(self, what: str, measured: float | None = None, drawn: int = 0) -> None:
        """Compare the model that is out with the truth; ``drawn`` releases have been made since the last."""
        certificate, settings = self.model.certificate_, self.problem.settings
        beta = certificate.beta
        if self.releases is None:
            arrays, budget = self.model._engine_.predictor.model(), certificate.guarantee.budget
            w, b = arrays["weight"], arrays["perturbation"]
        else:
            w, budget = inside(self.model), certificate.budget
            b = np.zeros_like(w)
            self.found.wrong += (f"{what}: {line}" for line in self.releases.look(self.model, drawn))
        there = np.unique(self.problem.y[self.kept])
        if self.model.classes_.tolist() != there.tolist():
            self._wrong(f"{what}: classes_ {self.model.classes_}, rows are left of {there}")
        columns = columns_of(self.problem.y, self.kept)
        used, signs = (self.used & self.kept[:, None])[:, columns], self.signs[:, columns]
        if self.model.coef_.shape != (len(columns), self.rows.shape[1]):
            self._wrong(f"{what}: coef_ of shape {self.model.coef_.shape} for {len(columns)} columns")
            return
        true = residual(self.rows, signs, used, settings["lam"], w, b)
        self.found.looked += 1
        if settings["certificate"] == "measured" and measured is not None:
            self.found.shares.append(abs(true - measured) / (beta - measured))
        elif settings["certificate"] != "measured" and what == "removed" and not settings["anchor"]:
            self.found.ratios.append(true / beta)
        if not true <= beta:
            self._wrong(f"{what}: residual {true!r} above its bound {beta!r}")
        if measured is not None and not measured <= beta:
            self._wrong(f"{what}: measured {measured!r}, above its bound {beta!r}")
        spent = certificate.epsilon_spent
        if not (beta <= budget and spent <= settings["epsilon"] * (1 + 1e-12)):
            self._wrong(f"{what}: bound {beta!r} of budget {budget!r}, epsilon {spent!r} spent")
        if not np.array_equal(self.model.retained_, self.kept):
            self._wrong(f"{what}: retained_ differs in {np.flatnonzero(self.model.retained_ != self.kept)}")

    def _is_bad(self, rows: list[int]) -> bool:
        known = all(0 <= row < len(self.kept) for row in rows) and len(set(rows)) == len(rows)
        return not rows or not known or not self.kept[rows].all() or len(rows) >= self.kept.sum()

    def _take(self, rows: list[int], outcome: Outcome) -> None:
        self.found.outcomes[outcome.outcome] += 1
        if outcome.outcome not in ("removed", "retrained", "refused") or sorted(outcome.rows) != sorted(rows):
            self._wrong(f"remove({rows}) came to {outcome}")
        if outcome.outcome != "refused":
            self.kept[rows] = False

    def _unchanged(self, before: tuple[Any, Any], what: str) -> None:
        if not (np.array_equal(self.model.coef_, before[0]) and self.model.certificate_ == before[1]):
            self._wrong(f"{what} changed the model")

    def _wrong(self, line: str) -> None:
        self.found.wrong.append(line)


def rows_of(x: NDArray[Any], normalise: bool) -> Wide:
    """Rows in long doubles, divided by their norms where the estimator does so too."""
    wide = x.astype(np.longdouble)  # whose exponents reach far beyond those that squares of float64 have
    norms = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    if not normalise:
        return np.asarray(wide / np.maximum(norms, 1))
    return np.asarray(wide / np.where(norms > 0, norms, 1))


def signs_of(y: NDArray[Any]) -> NDArray[np.float64]:
    """Labels of the binary problems, (n, K), (n, 1) for two classes."""
    labels = np.unique(y)
    return np.where(y[:, None] == (labels[1:] if len(labels) == 2 else labels), 1.0, -1.0)


def columns_of(y: NDArray[Any], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which of the columns of ``signs_of(y)`` are those of a model of the rows ``kept``."""
    labels = np.unique(y)
    if len(labels) == 2:
        return np.zeros(1, dtype=np.int64)
    there = np.flatnonzero(np.isin(labels, y[kept]))
    return there[1:] if len(there) == 2 else there


def residual(
    rows: Wide, signs: NDArray[np.float64], used: NDArray[np.bool_], lam: float, w: Any, b: Any
) -> float:
    """Norm of the gradient of all columns, each over its rows ``used`` (n, K or 1), in long doubles."""
    w, b = (np.asarray(one, dtype=np.longdouble).reshape(len(one), -1) for one in (w, b))
    used = np.broadcast_to(used, signs.shape)
    total = np.longdouble(0)
    with np.errstate(over="ignore"):  # of exp, far from the boundary
        for k in range(w.shape[1]):
            x, y = rows[used[:, k]], signs[used[:, k], k]
            data = -(y / (1 + np.exp(y * (x @ w[:, k])))) @ x
            gradient = data + np.longdouble(lam) * len(x) * w[:, k] + b[:, k]
            total += gradient @ gradient
    return float(np.sqrt(total))
