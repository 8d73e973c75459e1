"""``CertifiedLogisticRegression``: certified removal as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from expunge.certificate import ReleaseGuarantee
from expunge.core.checks import require_switch
from expunge.core.read_back import of_file, read_as
from expunge.core.seeds import seed_from
from expunge.core.threads import Shared, deep_copy
from expunge.linear.given import Array
from expunge.linear.memory import SOLVER_MEMORY
from expunge.linear.placed import placed
from expunge.linear.solver import FitReport
from expunge.predictors.linear_outputs import probabilities
from expunge.record.fitted import Fitted, engine_of, load_engine, own_names, understood
from expunge.record.known_data import both_or_none, data_away, known_data, training_data
from expunge.record.model_file import MODEL, Version, read_model
from expunge.record.run_model import data_of_run, run_model
from expunge.record.training_data import Known
from expunge.record.weighed import from_pairs, require_as_in_fit, weigh
from expunge.trained import Trained
from expunge.unlearners.base import Outcome
from expunge.unlearners.newton import Newton


@dataclass(eq=False, repr=False)  # an __init__ that keeps its arguments as they are, as scikit-learn asks
class CertifiedLogisticRegression(ClassifierMixin, Shared, BaseEstimator, Trained):
    """Logistic regression whose training rows can be removed with an (epsilon, delta) certificate.

    Minimises ``sum_i c_i log(1 + exp(-y_i x_i.w)) + (lam n / 2) ||w||^2`` (a sum over rows), c_i what a row
    counts by ``class_weight`` and ``sample_weight`` (1 without): scikit-learn's with ``C = 1 / (lam n)``.
    The minimiser stays inside; what leaves, and predicts, is drawn around it anew at ``fit`` and at every
    ``remove``. Whoever sees all of up to ``releases`` of them, and chose requests after seeing them, cannot
    tell them from exact retraining with the same noise, beyond (epsilon, delta): docs/certificate.md. Of
    more than two classes each has a weight vector of its own (one-vs-rest). ``perturbation="gaussian"`` is
    the published method (Guo et al., ICML 2020), whose certificate does not hold as stated.

    Args:
        lam: See ``expunge.predictors.linear.LinearModel``, like ``tol``, ``max_iter``,
            ``subsample_ratio``, ``joint_training``, ``solver`` and ``solver_memory``.
        std: Of the noise in each weight; None: the smallest whose residual is held with ease. As published:
            of the perturbation of the loss.
        epsilon: See ``expunge.unlearners.newton.Newton``, like ``delta``, ``certificate``, ``update``,
            ``at_limit``, ``perturbation``, ``anchor``, ``releases`` and ``noise``.
        residual_held: In place of ``std`` the norm of the summed gradient that the noise is to cover.
        normalize: Divide each row by its L2 norm, here and in prediction. Without it every norm must be at
            most 1. It depends on no other row, so it is safe for the certificate.
        fit_intercept: Put a constant c beside the features: x becomes ``[x, c] / sqrt(||x||^2 + c^2)``, or
            ``[x, c] / sqrt(1 + c^2)`` without ``normalize``: the norm is at most 1 as well. The intercept is
            regularised like every weight.
        intercept_scaling: c.
        class_weight: What the rows of each class count, ``{class: number}``: constants that depend on no row
            (``balanced`` would). All, and ``lam``, are divided by the largest where that is above 1.
        device: Where the rows are that it is trained on, ``cpu``, ``cuda`` or ``auto``; see
            ``expunge.linear.placed``. No file depends on it, but for last digits.
        random_state: Seed of the noise: a whole number, or a RandomState or Generator that it is drawn from.
            Its figures are right, and protect nobody (``claim_`` says so). None, right for a service: exact
            noise from the operating system.

    Attributes:
        classes_: (K,) labels of the rows that are left; of two, the second is the positive class.
        coef_: (1, d) weights that are out, for two classes, (K, d) for more.
        intercept_: (1,) or (K,): scores are ``x.coef_ + intercept_``, with ``normalize`` over
            ``sqrt(||x||^2 + c^2)``; 0 without ``fit_intercept``.
        certificate_: ``beta``, ``budget``, ``epsilon_spent``, ``guarantee`` (secret but for the last two).
        n_iter_: Newton steps of the last training, the most of any class (a secret too).
        retained_: (n,) bool, rows that have not been removed.
    """

    lam: float = 1e-4
    std: float | None = None
    epsilon: float = 1.0
    delta: float = 1e-4
    _: KW_ONLY
    certificate: str = "measured"
    update: str = "corrected"
    at_limit: str = "retrain"
    perturbation: str = "release"
    anchor: int = 0
    releases: int = 1000
    residual_held: float | None = None
    noise: str | None = None
    normalize: bool = True
    fit_intercept: bool = False
    intercept_scaling: float = 1.0
    tol: float = 1e-8
    max_iter: int = 200
    subsample_ratio: float = 1.0
    joint_training: bool = True
    solver: str = "auto"
    solver_memory: float = SOLVER_MEMORY
    class_weight: dict[Any, float] | None = None
    device: str = "cpu"
    random_state: int | None = None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> CertifiedLogisticRegression:
        """Train on rows X (n, d) with labels y (n,) of two classes or more, and weights (n,) in (0, 1].

        A row's weight belongs to it as its label does, leaves with it, and must depend on no other row.

        X may be sparse (scipy.sparse), and is never made dense. It is kept (without an intercept uncopied
        where it is a C-ordered float16, float32 or float64 array, or a canonical CSR matrix of the last two):
        removal needs the rows that stay. Do not change it afterwards. Releases are counted anew: those of
        another training of this object are forgotten, and who sees both has the sum of their epsilons.

        Raises:
            InvalidValue: A setting is not allowed, or labels are nothing that can be saved.
        """
        with self.lock:
            fresh = type(self)(**self.get_params(deep=False))  # what fails leaves the last model whole
            reports = fresh._train(X, y, sample_weight)
            kept = {key: value for key, value in vars(self).items() if not key.endswith("_")}
            self.__dict__ = vars(fresh) | kept  # in one: other threads see one model or the other
        unfinished = [report for report in reports if not report.converged]
        if unfinished:
            warnings.warn(
                f"training stopped by {unfinished[0].stopped_by}; the leftover is charged to the certificate",
                ConvergenceWarning,
                stacklevel=2,
            )
        if not self._constant and (hint := self._fitted_.hint()):
            warnings.warn(hint, stacklevel=2)
        guarantee, lam = self.certificate_.guarantee, self._engine_.predictor.lam
        if isinstance(guarantee, ReleaseGuarantee) and (drowns := guarantee.drowns(lam)):
            warnings.warn(f"noise of std {guarantee.std:.3g} in each weight {drowns}", stacklevel=2)
        return self

    def _train(self, X: Any, y: Any, sample_weight: Any) -> list[FitReport]:
        engine, seed = engine_of(self._given()), seed_from(self.random_state)
        data = training_data(self, X, y, sample_weight)
        weigh(engine.predictor, data, np.arange(len(data.classes)))
        with own_names():
            engine.fit(placed(data.rows, self.device), data.labels, seed)
        reports = engine.predictor.fit_reports
        self._keep(engine, data, Version(), max(1, *(report.iterations for report in reports)))
        return reports

    def remove(self, rows: Sequence[int], X: Any = None, y: Any = None, sample_weight: Any = None) -> Outcome:
        """Remove training rows (indices into the X of ``fit``), as one release.

        A class goes with its last row: the model is one of fewer classes then. Threads may share a model:
        their requests are served one after the other; what it predicts meanwhile is the last release's.

        Args:
            rows: (m,) indices.
            X: (m, d) these rows as they were in ``fit``, in this order. A model that was loaded without rows
                needs them, with ``update="rowless"``; they are compared with what it knows them by.
            y: (m,) their labels.
            sample_weight: (m,) their weights, where ``fit`` was given some.

        Returns:
            What became of it (``removed``, ``retrained``, or ``refused`` with its reason: always where a
            single class would be left), and the certificate after it.

        Raises:
            InvalidValue: A row is out of range, named twice or removed already, or none would stay.
            DataError: A row in X, or its label, is another than in ``fit``; nothing changes.
            RowsOutOfReach: Rows that stay are needed, and the model was loaded without them; nothing changes.
        """
        check_is_fitted(self)
        with self.lock:
            return self._fitted_.remove(self, rows, X, y, sample_weight)

    def decision_function(self, X: Any) -> Array:
        """``x.w`` for each row: (n,) for two classes, positive meaning ``classes_[1]``; (n, K) for more."""
        check_is_fitted(self)
        return self._fitted_.scored(self, X)[0]

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels, (n,): the class with the largest score."""
        check_is_fitted(self)
        scores, classes = self._fitted_.scored(self, X)
        return classes[(scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)]

    def predict_proba(self, X: Any) -> Array:
        """``sigmoid(x.w)`` in the second of two columns, (n, 2); of K classes the K sigmoids over their sum.

        Noise (as published, b) shifts w, so these are not calibrated.
        """
        scores = self.decision_function(X)
        return probabilities(scores.reshape(len(scores), -1))

    def residual(self) -> float:
        """Measure ||grad L_b(w; D)||_2 of the model inside over the rows that remain: a secret, as it is."""
        check_is_fitted(self)
        return self._engine_.predictor.kept_residual()

    def save(self, path: str | Path, live: bool = False) -> None:
        """Write model, certificate and settings to one safetensors file (JSON in its header, no pickle).

        The training data are not in it, only a digest of each row that stays, and the settings are those of
        ``fit``. Where rows have left since the last time the model is trained anew without them first, from
        zero (as published, with the same b): nothing that is written, or that this model goes on with, is
        made from what they were. It holds the model without noise (or b), a secret. A file that was written
        since this model was loaded from it (or saved to it) stays as it is, so that processes which share a
        file lose no removal; so does one that has removed rows of the data which this model still has.

        A model that was loaded without rows cannot be trained anew. Once rows have left it is refused, unless
        ``live`` says to write it as it stands: from such a file, whose header counts these rows (``live``),
        they can be made out. Loaded with X and y, and saved, it holds nothing of them any more.

        Raises:
            MovedOn: The file is such a one: load it again, or save elsewhere.
            RowsOutOfReach: The model would have to be trained anew without its rows.
        """
        check_is_fitted(self)
        with self.lock:
            self._settle(require_switch("live", live))
            found = {"n_iter": self.n_iter_, "n_features": self.n_features_in_}
            self._fitted_ = self._fitted_.saved(Path(path), found)

    @classmethod
    def load(
        cls,
        path: str | Path,
        X: Any = None,
        y: Any = None,
        sample_weight: Any = None,
        device: str = "cpu",
    ) -> CertifiedLogisticRegression:
        """Read a saved model; with X, y and weights of ``fit`` it goes on removing exactly where it stopped.

        Another container with the same numbers and labels will do, such as a list or a DataFrame. Rows that
        were removed may be gone from both, or hold anything. A model whose gradient, measured once over the
        others, is above its recorded bound is not loaded. Without X and y nothing is measured: the model
        predicts, and with ``update="rowless"`` removes rows that are brought along (see ``remove``); of each
        row that stays it keeps 16 bytes in memory, to know it again by. With ``device`` the rows go there.

        Raises:
            DataError: The file is none of ours, damaged, or above its bound; or X and y are other data.
            RowsOutOfReach: It is of an earlier version, which is not to be had without X and y.
        """
        path, given = Path(path), both_or_none(X, y, sample_weight)
        state = run_model(path) if (of_run := path.is_dir()) else read_model(path)
        model = cls()  # a class made of this one may take other settings
        with of_file(path), read_as(MODEL):
            settings = from_pairs(state.values["settings"])
            model.__dict__ |= vars(CertifiedLogisticRegression(**settings, device=device))
            engine = engine_of(model._given())
        if of_run:
            require_as_in_fit(path, False, sample_weight)
            data: Known = data_of_run(model, path, X, y)
        else:
            known = model, path, state, X, y, sample_weight
            data = known_data(*known) if given else data_away(model, state)
        model._keep(*load_engine(engine, path, state, data, model))
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __copy__(self) -> Any:
        """Go on apart from this model: a release as it stands."""
        with self.lock:
            made = super().__copy__()
            if hasattr(self, "_fitted_"):
                made._fitted_ = self._fitted_.apart()
            return made

    __deepcopy__ = deep_copy

    def __getstate__(self) -> dict[str, Any]:
        """For pickles, which may be written: X and y go with them, but no row that left (see ``save``)."""
        with self.lock:
            if not hasattr(self, "_fitted_"):
                return super().__getstate__()
            self._settle()
            return super().__getstate__() | {"_fitted_": self._fitted_.erased()}

    def _settle(self, live: bool = False) -> None:
        self._fitted_.settle(live)
        if reports := self._engine_.predictor.fit_reports:
            self.n_iter_ = max(1, *(report.iterations for report in reports))

    def _given(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in _NAMES}

    def _keep(self, engine: Newton, data: Known, version: Version, n_iter: int) -> None:
        self._fitted_ = Fitted(engine, understood(engine, self._given()), data, version)
        self.n_iter_ = n_iter
        if data.names is None:
            self.__dict__.pop("feature_names_in_", None)
        else:
            self.feature_names_in_ = np.array(data.names, dtype=object)


# Settings of the class itself: one that is made of it may have others, or fix some.
_NAMES = [field.name for field in fields(CertifiedLogisticRegression)]
