"""What training leaves in the estimator, for everybody to read."""

from __future__ import annotations

from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.certificate import Account, ReleaseAccount
from expunge.certificate.composition import Claim
from expunge.linear.given import Array
from expunge.record.fitted import Fitted
from expunge.record.known_data import constant_of
from expunge.unlearners.newton import Newton


class Trained:
    """What ``fit`` leaves, and is no setting."""

    _fitted_: Fitted
    n_iter_: int

    @property
    def classes_(self) -> NDArray[Any]:
        """(K,) labels, in rising order."""
        return self._fitted_.data.names_of(self._engine_.predictor.classes_)

    @property
    def coef_(self) -> Array:
        """(1, d) weights for two classes, (K, d) for more."""
        weights = self._engine_.predictor.weights.T
        return weights[:, :-1] / self._length if self._constant else weights

    @property
    def intercept_(self) -> Array:
        """(1,) for two classes, (K,) for more; 0 without ``fit_intercept``."""
        weights = self._engine_.predictor.weights.T
        return weights[:, -1] * self._constant / self._length if self._constant else np.zeros(len(weights))

    @property
    def _constant(self) -> float:
        return constant_of(self._fitted_.settings)

    @property
    def _length(self) -> float:
        """What all features, the constant among them, are divided by, whatever the row."""
        return 1.0 if self._fitted_.settings["normalize"] else hypot(1.0, self._constant)

    @property
    def certificate_(self) -> Account | ReleaseAccount:
        """The certificate as it stands."""
        return self._engine_.account

    @property
    def claim_(self) -> Claim:
        """What is promised to whom, in words (``guarantee``), and what is not (``not_covered``)."""
        return self._engine_.claim()

    @property
    def retained_(self) -> NDArray[np.bool_]:
        """(n,) bool."""
        return self._engine_.predictor.kept.copy()

    @property
    def _engine_(self) -> Newton:
        return self._fitted_.engine
