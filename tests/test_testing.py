"""``check_unlearner``: ours hold what it asks for, and toys that break one promise each are found."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.core.errors import InvalidValue
from expunge.core.files import State
from expunge.linear.rows import Rows
from expunge.predictors.linear import LinearModel
from expunge.testing import CheckFailed, check_unlearner
from expunge.unlearners import Outcome
from expunge.unlearners.newton import Newton


class Mean:
    """Predicts the class whose mean is nearest; removal takes the rows out of the means."""

    name, role = "mean", "reference"

    def fit(self, x, y, seed):
        self.x, self.y, self.kept = np.array(x), np.array(y), np.ones(len(x), dtype=bool)
        self.means = self.of(self.kept)

    def of(self, kept):
        labels = np.unique(self.y)
        return np.stack([self.x[kept & (self.y == label)].mean(axis=0) for label in labels])

    def stay(self, rows):
        self.kept[rows] = False
        return self.kept

    def remove(self, rows):
        if not rows or len(set(rows)) < len(rows) or max(rows) >= len(self.x) or not self.kept[rows].all():
            raise InvalidValue("rows", rows, "rows that are there")
        self.means = self.of(self.stay(rows))
        return Outcome("removed", tuple(rows))

    def predict(self, x):
        distances = ((np.asarray(x)[:, None] - self.means) ** 2).sum(axis=2)
        return np.unique(self.y)[distances.argmin(axis=1)]

    def residual(self):
        return None

    def model(self):
        return {"means": self.means}

    def state(self):
        return State({"means": self.means, "kept": self.kept})

    def load_state(self, state, x, y):
        self.x, self.y = np.array(x), np.array(y)
        self.means, self.kept = state.arrays["means"], state.arrays["kept"].astype(bool)


class ForgetsEarlierRemovals(Mean):
    def stay(self, rows):
        self.kept[rows] = False
        alone = np.ones(len(self.x), dtype=bool)
        alone[rows] = False
        return alone


class HasNoResidual(Mean):
    residual = None


class HasNoRole(Mean):
    role = "good"


class ServesTwice(Mean):
    def remove(self, rows):
        if not rows or len(set(rows)) < len(rows) or max(rows) >= len(self.x):
            raise InvalidValue("rows", rows, "rows that are there")
        self.means = self.of(self.stay(rows))
        return Outcome("removed", tuple(rows))


class ChangesWhatItRefuses(Mean):
    def remove(self, rows):
        super().remove(rows)
        return Outcome("refused", tuple(rows), "not today")


class SavesHalf(Mean):
    def load_state(self, state, x, y):
        super().load_state(state, x, y)
        self.kept[:] = True


class DrawsAtRandom(Mean):
    def fit(self, x, y, seed):
        super().fit(x, y, seed)
        self.means = self.means + np.random.default_rng().normal(size=self.means.shape)


class AnswersWithWords(Mean):
    def remove(self, rows):
        super().remove(rows)
        return "removed"


@pytest.mark.parametrize("update", ["fresh", "frozen", "corrected"])
def test_the_certified_ones_hold(update):
    check_unlearner(lambda: Newton(LinearModel(std=100.0), update=update), inputs=Rows.normalised)


def test_a_sound_toy_holds():
    check_unlearner(Mean)


@pytest.mark.parametrize(
    ("toy", "said"),
    [
        (ForgetsEarlierRemovals, r"brought back rows \[3, 8, 11\]"),
        (HasNoResidual, "HasNoResidual has no method residual"),
        (HasNoRole, "role: got 'good', allowed: one of certified, heuristic, reference, baseline"),
        (ServesTwice, "removed already, and no ValueError"),
        (ChangesWhatItRefuses, "refused, and the model has changed"),
        (SavesHalf, "the state is not whole"),
        (DrawsAtRandom, "the same seed gave another model"),
        (AnswersWithWords, "returned str, allowed: an Outcome"),
    ],
)
def test_what_breaks_a_promise_is_found(toy, said):
    with pytest.raises(CheckFailed, match=said) as caught:
        check_unlearner(toy)
    assert "\n" not in str(caught.value)
