"""``CertifiedLogisticRegression``: certified removal as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from expunge.certificate import Account
from expunge.core.errors import DataError, UserError
from expunge.core.files import load_state, save_state
from expunge.core.hashing import sha256_of
from expunge.linear.rows import Array, Rows
from expunge.predictors.linear import SETTINGS, LinearModel
from expunge.unlearners.base import Outcome
from expunge.unlearners.newton import Newton


@dataclass(eq=False, repr=False)  # an __init__ that keeps its arguments as they are, as scikit-learn asks
class CertifiedLogisticRegression(ClassifierMixin, BaseEstimator):
    """Logistic regression whose training rows can be removed with an (epsilon, delta) certificate.

    Minimises ``sum_i log(1 + exp(-y_i x_i.w)) + (lam n / 2) ||w||^2 + b.w`` (a sum over rows) with a random
    perturbation b, and no intercept. ``remove`` then changes w so that the gradient over the rows that stay
    has a norm of at most ``beta``; as long as ``beta <= std epsilon / c`` the released model cannot be told
    from one retrained without those rows, beyond (epsilon, delta), by someone who sees that model alone.
    Requests must not be chosen by looking at released models, and b stays secret. Guo et al., ICML 2020.
    Of more than two classes each has a weight vector of its own (one-vs-rest); one budget bounds the
    residual of all of them together.

    Args:
        lam: See ``expunge.predictors.linear.LinearModel``, like ``tol``, ``max_iter``, ``subsample_ratio``
            and ``joint_training``.
        std: Standard deviation of b. With corrected updates the residual stays far below the budget, so
            this can be small; then b costs no accuracy.
        epsilon: See ``expunge.unlearners.newton.Newton``, like ``delta``, ``certificate``, ``update``,
            ``at_limit``, ``perturbation`` and ``anchor``.
        normalize: Divide each row by its L2 norm, here and in prediction. Without it every norm must be at
            most 1. It depends on no other row, so it is safe for the certificate.
        random_state: Seed of b, to be kept as secret as b; None (right for a service) draws b, and any
            later one, from the operating system.

    Attributes:
        classes_: (K,) labels; of two, the second is the positive class.
        coef_: (1, d) weights w for two classes, (K, d) for more.
        certificate_: The running ``Account``: ``beta``, ``epsilon_spent``, ``guarantee.budget``, ``epoch``.
        n_iter_: Newton steps of the last training, the most of any class.
        retained_: (n,) bool, rows that have not been removed.
    """

    lam: float = 1e-4
    std: float = 1.0
    epsilon: float = 1.0
    delta: float = 1e-4
    _: KW_ONLY
    certificate: str = "measured"
    update: str = "corrected"
    at_limit: str = "retrain"
    perturbation: str = "gaussian"
    anchor: int = 0
    normalize: bool = True
    tol: float = 1e-8
    max_iter: int = 200
    subsample_ratio: float = 1.0
    joint_training: bool = True
    random_state: int | None = None

    def fit(self, X: Any, y: Any) -> CertifiedLogisticRegression:
        """Train on rows X (n, d) with labels y (n,) of two classes or more.

        X is kept (uncopied where it is a C-ordered float32 or float64 array): removal needs the rows that
        stay. Do not change it afterwards.
        """
        rows, labels = self._training_data(X, y)
        engine = self._engine()
        seed = self.random_state
        if isinstance(seed, np.random.RandomState):
            seed = int(seed.randint(2**31))
        engine.fit(rows, labels, seed)
        self._keep(engine, rows, labels)
        self.n_iter_ = max(1, *(report.iterations for report in engine.predictor.fit_reports))
        unfinished = [report for report in engine.predictor.fit_reports if not report.converged]
        if unfinished:
            import warnings

            warnings.warn(
                f"training stopped by {unfinished[0].stopped_by} at ||grad|| = "
                f"{unfinished[0].gradient_norm:.3g}; the leftover is charged to the certificate",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Remove training rows (indices into the X of ``fit``), as one release.

        Returns:
            What became of the request: ``removed``, ``retrained`` or ``refused`` with its reason, and the
            certificate after it.

        Raises:
            InvalidValue: A row is out of range, named twice or removed already, or none would stay.
        """
        check_is_fitted(self)
        return self._engine_.remove(rows)

    def decision_function(self, X: Any) -> Array:
        """``x.w`` for each row: (n,) for two classes, positive meaning ``classes_[1]``; (n, K) for more."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], order="C")
        rows = Rows.normalised(X, keep_zero=True) if self.normalize else Rows(X, np.ones(len(X)))
        scores = rows.times(self.coef_.T)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels, (n,): the class with the largest score."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)]

    def predict_proba(self, X: Any) -> Array:
        """``sigmoid(x.w)`` in the second of two columns, (n, 2); of K classes the K sigmoids over their sum.

        b shifts w, so these are not calibrated.
        """
        from scipy.special import expit

        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        shares = expit(scores)
        return shares / shares.sum(axis=1, keepdims=True)

    @property
    def coef_(self) -> Array:
        """(1, d) weights for two classes, (K, d) for more."""
        return self._engine_.predictor.weights.T

    @property
    def certificate_(self) -> Account:
        """The certificate as it stands."""
        return self._engine_.account

    @property
    def retained_(self) -> NDArray[np.bool_]:
        """(n,) bool."""
        return self._engine_.predictor.kept.copy()

    def residual(self) -> float:
        """Measure ||grad L_b(w; D)||_2 over the rows that remain (one float64 pass)."""
        check_is_fitted(self)
        return self._engine_.predictor.residual()

    def save(self, path: str | Path) -> None:
        """Write model, certificate and settings to one safetensors file (JSON in its header, no pickle).

        The training data are not in it, only their fingerprint. It does hold b: keep it secret.
        """
        check_is_fitted(self)
        state = self._engine_.state()
        state.values |= {
            "settings": self.get_params(),
            "classes": self.classes_.tolist(),
            "n_iter": self.n_iter_,
            "n_features": self.n_features_in_,
            "fingerprint": self._fingerprint,
        }
        if not isinstance(state.values["settings"]["random_state"], (int, type(None))):
            state.values["settings"]["random_state"] = None
        save_state(Path(path), state)

    @classmethod
    def load(cls, path: str | Path, X: Any, y: Any) -> CertifiedLogisticRegression:
        """Read a saved model; with the X and y of ``fit`` it goes on removing exactly where it stopped.

        Raises:
            DataError: The file is not one of ours, or X and y are not the data the model was trained on.
        """
        state = load_state(Path(path))
        try:
            model = cls(**state.values["settings"])
            rows, labels = model._training_data(X, y)
            if _fingerprint(rows, labels) != state.values["fingerprint"]:
                raise DataError(f"{path}: X and y are not the training data of this model")
            engine = model._engine()
            engine.load_state(state, rows, labels)
            model._keep(engine, rows, labels)
            model.n_iter_ = state.values["n_iter"]
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: not a model written by save ({error})") from None
        return model

    def _engine(self) -> Newton:
        own = {key: getattr(self, key) for key in self.get_params()}
        model = LinearModel(**{key: own.pop(key) for key in SETTINGS if key in own})
        return Newton(model, **{key: own[key] for key in own if key not in ("normalize", "random_state")})

    def _training_data(self, X: Any, y: Any) -> tuple[Rows, NDArray[np.int64]]:
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], order="C")
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise UserError(f"y holds one class ({self.classes_[0]}); two are needed")
        return (Rows.normalised(X, keep_zero=True) if self.normalize else Rows.as_given(X)), labels.astype(
            np.int64
        )

    def _keep(self, engine: Newton, rows: Rows, labels: NDArray[np.int64]) -> None:
        self._engine_ = engine
        self._fingerprint = _fingerprint(rows, labels)


def _fingerprint(rows: Rows, labels: NDArray[np.int64]) -> str:
    kind = f"{rows.raw.dtype}{rows.raw.shape}".encode()
    return sha256_of([kind, np.ascontiguousarray(rows.raw), labels.tobytes()])
