"""A person asks to go from a certified classifier of faces: all ten rows, in one request or one by one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit

from expunge import CertifiedLogisticRegression
from tests.oracles import logistic as oracle

SIDE, LAM = 12, 1e-4
BOTH = pytest.mark.parametrize("perturbation", ["release", "gaussian"])


@pytest.fixture(scope="module")
def faces(shared_data):
    """The 400 ORL faces as rows of norm one, and whose they are: public features, pixels as they are."""
    folder = shared_data / "att_faces"
    if not (folder / "s1" / "1.pgm").is_file():
        pytest.skip(f"needs the ORL faces, found no att_faces in {shared_data}")
    pictures = [Image.open(folder / f"s{k}" / f"{i}.pgm") for k in range(1, 41) for i in range(1, 11)]
    small = [np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for picture in pictures]
    x = np.stack(small).reshape(400, -1) / 255 - 0.5
    return x / np.linalg.norm(x, axis=1, keepdims=True), np.repeat(np.arange(1, 41), 10)


def fitted(x, y, perturbation) -> CertifiedLogisticRegression:
    how = {"perturbation": perturbation, "random_state": 0}
    return CertifiedLogisticRegression(LAM, 0.1, epsilon=1, delta=1e-4, **how).fit(x, y)


def inside(model):
    """The weights that the certificate is about, and the perturbation, which a release has none of."""
    columns = model._engine_.columns
    return (
        np.stack([of(column) for column in columns], axis=1) for of in (lambda c: c.w, lambda c: c.problem.b)
    )


def recomputed(model, x, y, stay) -> float:
    """Norm of all classes' gradients over the rows that stay, from weights and perturbation alone."""
    weight, b = inside(model)
    signs = np.where(y[stay, None] == model.classes_, 1.0, -1.0)
    slopes = -signs * expit(-signs * (x[stay] @ weight))
    gradient = x[stay].T @ slopes + LAM * len(stay) * weight + b
    return float(np.linalg.norm(gradient))


def served(model, x, y, rows) -> None:
    """One request, and everything that must hold after it."""
    outcome = model.remove(rows)
    assert (outcome.outcome, outcome.reason) == ("removed", None)
    assert outcome.rows == tuple(rows)
    assert outcome.residual_measured <= outcome.residual_bound <= outcome.budget
    assert outcome.epsilon_spent <= 1
    stay = np.flatnonzero(model.retained_)
    assert not np.isin(rows, stay).any()
    assert outcome.residual_measured == pytest.approx(recomputed(model, x, y, stay), rel=1e-6)


@BOTH
def test_persons_are_removed_with_a_certificate(faces, perturbation):
    """One in a single request, another picture by picture; nobody is taken for either afterwards."""
    x, y = faces
    model = fitted(x, y, perturbation)
    whole, one_by_one = 5, 17
    theirs = np.isin(y, [whole, one_by_one])
    before = np.mean(model.predict(x[~theirs]) == y[~theirs])
    assert set(model.predict(x[theirs])) == {whole, one_by_one}
    served(model, x, y, np.flatnonzero(y == whole).tolist())
    for row in np.flatnonzero(y == one_by_one).tolist():
        served(model, x, y, [row])
    assert not np.isin(model.predict(x), [whole, one_by_one]).any()
    assert np.mean(model.predict(x[~theirs]) == y[~theirs]) >= 0.99 * before > 0.95
    assert model.retained_.sum() == 380
    assert getattr(model.certificate_, "epoch", 0) == 0, "never trained again"


@BOTH
def test_the_model_is_that_of_somebody_who_never_saw_the_person(faces, perturbation):
    """The same perturbation, and Newton's minimum over the rows of the others; no column for the person."""
    x, y = faces
    model = fitted(x, y, perturbation)
    _, before = inside(model)
    model.remove(np.flatnonzero(y == 5).tolist())
    assert model.classes_.tolist() == [k for k in range(1, 41) if k != 5]
    assert model.coef_.shape == (39, SIDE * SIDE)
    assert model.predict_proba(x[:2]).shape == (2, 39)
    (weight, b), stay, other = inside(model), y != 5, 7
    assert b.any() == (perturbation == "gaussian")
    np.testing.assert_array_equal(b, np.delete(before, 4, axis=1))
    k = model.classes_.tolist().index(other)
    signs = np.where(y[stay] == other, 1.0, -1.0)
    aim = oracle.minimise(x[stay], signs, LAM, b[:, k], steps=15)
    # a gradient of r leaves w within r / (lam n) of the minimum
    assert np.linalg.norm(weight[:, k] - aim) <= model.residual() / (LAM * 390) + 1e-6
