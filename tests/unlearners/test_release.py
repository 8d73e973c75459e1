"""The release scheme: what leaves is drawn around the model, and says nothing else of it."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.certificate.release import epsilon_after, ratio
from expunge.core.errors import DataError, InvalidValue
from expunge.core.files import load_state, save_state
from expunge.linear.parallel import set_threads
from expunge.linear.rows import Rows
from expunge.linear.solver import train
from expunge.predictors.linear import LinearModel
from expunge.unlearners.newton import Newton
from tests.oracles import logistic as oracle
from tests.problems import labels, make, problems


@pytest.fixture(autouse=True)
def _one_thread():
    set_threads(1)
    yield
    set_threads(None)


def release(lam=1e-2, model_std=0.0, subsample_ratio=1.0, **own):
    usual = {"certificate": "measured", "update": "corrected", "perturbation": "release", "releases": 50}
    model = LinearModel(lam=lam, std=model_std, subsample_ratio=subsample_ratio)
    return Newton(model, **{**usual, **own})


def many(seed, classes, n=60, d=4):
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    y[: 3 * classes] = np.repeat(np.arange(classes), 3)
    return Rows.normalised(rng.normal(size=(n, d)) + y[:, None]), y


def kept_weights(newton):
    return np.stack([column.w for column in newton.columns], axis=1)


@given(problems, st.lists(st.integers(1, 4), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_the_model_inside_stays_within_what_was_planned(problem, sizes):
    """After every request: within Delta of the minimiser on the rows that stay, by another solver."""
    newton = release(problem.lam)
    newton.fit(problem.rows, labels(problem), 0)
    order = np.random.default_rng(1).permutation(problem.n).tolist()
    planned = newton.guarantee.sensitivity
    for size in sizes:
        gone = [order.pop() for _ in range(min(size, len(order) - 1))]
        if not gone:
            break
        outcome = newton.remove(gone)
        left = labels(problem)[newton.predictor.kept]
        if outcome.outcome == "refused":
            assert len(set(left[np.isin(np.flatnonzero(newton.predictor.kept), gone, invert=True)])) < 2
            break
        account = newton.account
        assert account.sensitivity <= planned == newton.guarantee.sensitivity
        assert account.beta <= account.budget == outcome.budget == outcome.residual_bound
        x, y = problem.rows.dense()[newton.predictor.kept], problem.y[newton.predictor.kept]
        exact = oracle.minimise(x, y, problem.lam, np.zeros(problem.rows.dim))
        distance = np.linalg.norm(kept_weights(newton)[:, 0] - exact)
        leftover = oracle.norm(oracle.wide_gradient(x, y, problem.lam, np.zeros_like(exact), exact))
        assert distance <= planned + leftover / (problem.lam * len(y))


def test_epsilon_is_that_of_the_count_of_releases_alone():
    problem = make(2, n=60)
    newton = release(epsilon=1.0, delta=1e-5, releases=6)
    newton.fit(problem.rows, labels(problem), 0)
    allowed = ratio(1.0, 1e-5, 6, "float")
    spent = [newton.account.epsilon_spent] + [newton.remove([k]).epsilon_spent for k in range(5)]
    assert spent == [epsilon_after(allowed, 1e-5, k, "float") for k in range(1, 7)]
    assert sorted(spent) == spent
    assert 0.99 < spent[-1] <= 1
    before = newton.predictor.weights.copy()
    refused = newton.remove([10])
    assert refused.outcome == "refused"
    assert "all 6 releases" in refused.reason
    assert refused.epsilon_spent == spent[-1]
    assert newton.predictor.kept[10]
    np.testing.assert_array_equal(newton.predictor.weights, before)


@pytest.mark.parametrize("noise", ["lattice", "float"])
def test_outcomes_are_the_same_for_any_rows(noise):
    """What is said of a release but W: settings, counts and classes decide it, not the rows."""
    said = []
    for seed in (1, 2):
        newton = release(noise=noise)
        rows, y = Rows.normalised(np.random.default_rng(seed).normal(size=(40, 3))), np.arange(40) % 2
        newton.fit(rows, y, None)
        found = [newton.remove(gone) for gone in ([0], [1, 2], [3], [*range(4, 30)])]
        said.append([vars(one) | {"residual_measured": None} for one in found])
        measured = {one.residual_measured for one in found}
        assert (measured == {None}) == (noise == "lattice")
    assert said[0] == said[1]


@pytest.mark.parametrize("classes", [2, 4])
def test_what_leaves_is_on_the_lattice_and_is_not_the_model(classes):
    rows, y = many(5, classes)
    newton = release(noise="lattice")
    newton.fit(rows, y, 3)
    for gone in ([], [1], [2, 3]):
        if gone:
            newton.remove(gone)
        w, grid = newton.predictor.weights, newton.guarantee.grid
        assert np.array_equal(np.rint(w / grid) * grid, w)
        away = (w - kept_weights(newton)) / newton.guarantee.std
        assert np.all(away != 0)
        assert np.abs(away).max() < 7
        written = newton.predictor.model()
        assert list(written) == ["weight"]
        assert np.array_equal(written["weight"].reshape(w.shape), w)
    assert newton.predictor.residual() is None


def test_noise_is_drawn_anew_at_every_release():
    problem = make(3)
    newton = release(noise="float")
    newton.fit(problem.rows, labels(problem), None)
    drawn = [newton.predictor.weights - kept_weights(newton)]
    for gone in range(3):
        newton.remove([gone])
        drawn.append(newton.predictor.weights - kept_weights(newton))
    assert len({one.tobytes() for one in drawn}) == 4


def test_everything_that_predicts_uses_what_is_out():
    rows, y = many(7, 3)
    newton = release(lam=0.1, std=5.0)  # much noise: another model altogether
    newton.fit(rows, y, 1)
    newton.remove([0])
    model, w = newton.predictor, newton.predictor.weights
    scores = rows.dense() @ w
    assert np.abs(w - kept_weights(newton)).max() > 1
    np.testing.assert_array_equal(model.predict(rows), model.classes_[scores.argmax(axis=1)])
    odds = 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(model.probabilities(rows), odds / odds.sum(axis=1, keepdims=True), rtol=1e-9)
    signs = np.where(y[:, None] == model.classes_, 1.0, -1.0)
    losses = np.logaddexp(0, -signs * scores).sum(axis=1)
    np.testing.assert_allclose(model.losses(rows, y, np.arange(len(y))), losses, rtol=1e-9)


@pytest.mark.parametrize(("noise", "classes"), [("float", 2), ("lattice", 2), ("float", 4)])
def test_a_loaded_model_goes_on_and_draws_nothing_again(tmp_path, noise, classes):
    rows, y = many(9, classes)
    newton = release(noise=noise)
    newton.fit(rows, y, 4)
    newton.remove([0, 1])
    save_state(tmp_path / "state", newton.state(), secret=True)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
    loaded = release(noise=noise)
    state = load_state(tmp_path / "state")
    assert state.values["release"]["notice"].startswith("secret")
    loaded.load_state(state, rows, y)
    assert loaded.account == newton.account
    np.testing.assert_array_equal(loaded.predictor.weights, newton.predictor.weights)
    one, other = newton.remove([5]), loaded.remove([5])
    assert one == other
    np.testing.assert_array_equal(kept_weights(loaded), kept_weights(newton))
    same = np.array_equal(loaded.predictor.weights, newton.predictor.weights)
    assert same == (noise == "float")  # the operating system's noise is never the same


def test_one_seed_draws_the_same_releases():
    problem = make(4)
    found = []
    for seed in (1, 1, 2):
        newton = release()
        newton.fit(problem.rows, labels(problem), seed)
        newton.remove([3])
        found.append(newton.predictor.weights)
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_subsamples_are_held_each_at_its_own_number_of_rows():
    rows, y = many(11, 4, n=200)
    newton = Newton(
        LinearModel(lam=1e-2, std=0.0, subsample_ratio=0.3),
        certificate="measured",
        update="corrected",
        perturbation="release",
    )
    newton.fit(rows, y, 0)
    for gone in np.random.default_rng(0).permutation(200)[:60].reshape(20, 3).tolist():
        newton.remove(gone)
        account = newton.account
        counts = [column.problem.n for column in newton.columns]
        assert len(set(counts)) > 1
        shares = newton.guarantee.shares(1e-2, counts)
        assert all(c.account.beta <= share for c, share in zip(newton.columns, shares, strict=True))
        assert account.beta <= account.budget
        assert account.budget == pytest.approx(np.linalg.norm(shares), rel=1e-15)
        assert account.sensitivity <= newton.guarantee.sensitivity
        for column in newton.columns:
            exact = train(column.problem, tol=1e-13, start=column.w).w
            assert np.linalg.norm(exact - column.w) <= newton.guarantee.sensitivity


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("certificate", {"certificate": "third_order"}),
        ("update", {"update": "fresh"}),
        ("anchor", {"anchor": 3}),
        ("residual", {"std": 1.0, "residual": 1e-5}),
        ("std", {"std": 0.0}),
        ("std", {"std": -1.0}),
        ("residual", {"residual": 0.0}),
        ("releases", {"releases": 0}),
        ("noise", {"noise": "white"}),
        ("delta", {"delta": 0.0}),
        ("std", {"model_std": 1.0}),
        ("std", {"perturbation": "gaussian", "model_std": 1.0, "std": 2.0}),
        ("residual", {"perturbation": "gaussian", "model_std": 1.0, "residual": 2.0}),
    ],
)
def test_settings_that_do_not_go_together_are_named(name, own):
    with pytest.raises(InvalidValue) as refused:
        release(**own)
    assert refused.value.name == name


@pytest.mark.parametrize(("name", "own"), [("std", {"std": 1e-13}), ("residual", {"residual": 1e-16})])
def test_noise_that_rounding_alone_would_pass_is_refused_before_training(name, own):
    problem = make(6)
    newton = release(**own)
    with pytest.raises(InvalidValue, match="at least") as refused:
        newton.fit(problem.rows, labels(problem), 0)
    assert refused.value.name == name


def test_training_that_stops_too_early_is_refused():
    problem = make(8, n=100, lam=1e-4)
    model = LinearModel(lam=1e-4, std=0.0, max_iter=1)
    newton = Newton(model, certificate="measured", update="corrected", perturbation="release")
    with pytest.raises(InvalidValue, match="max_iter"):
        newton.fit(problem.rows, labels(problem), 0)


def test_what_is_recorded_bounds_the_residual_of_columns_of_a_few_rows_and_of_many():
    """The rounding of 20,000 rows alone is more than what 11 rows could be held to."""
    rng = np.random.default_rng(0)
    y = np.zeros(20_000, dtype=np.int64)
    y[:5], y[5:10] = 1, 2
    newton = release(1e-4, subsample_ratio=3e-4)
    newton.fit(Rows.normalised(rng.normal(size=(20_000, 5))), y, 0)
    for row in (100, 7):
        assert newton.account.beta <= newton.account.budget
        assert newton.account.sensitivity <= newton.guarantee.sensitivity
        outcome = newton.remove([row])
        assert outcome.residual_bound == newton.account.budget


class Watched(LinearModel):
    """Keeps what is out when it is asked for its problems: other threads may look as well."""

    seen = None

    def problems(self, b=None):
        self.seen = self.weights.copy() if self.columns else None
        return super().problems(b)


def test_the_model_inside_is_not_out_while_another_is_trained():
    rows, y = many(12, 2)
    model = Watched(lam=1e-2, std=0.0)
    newton = Newton(
        model, certificate="measured", update="corrected", perturbation="release", noise="lattice"
    )
    newton.fit(rows, y)
    out = model.weights.copy()
    newton.fit(rows, y)
    np.testing.assert_array_equal(model.seen, out)


def test_a_state_without_its_release_is_refused_and_a_plain_model_of_it_has_what_is_out():
    rows, y = many(13, 3)
    newton = release(noise="lattice")
    newton.fit(rows, y)
    newton.remove([1])
    state = newton.state()
    plain = LinearModel(lam=1e-2, std=0.0)
    plain.load_state(state, rows, y)
    np.testing.assert_array_equal(plain.weights, newton.predictor.weights)
    del state.arrays["drawn"]
    with pytest.raises(DataError, match=r"^not the state of a certified linear model .*'drawn'"):
        newton.load_state(state, rows, y)
    np.testing.assert_array_equal(newton.predictor.weights, plain.weights)


def test_what_a_settled_model_is_charged_is_rounded_up():
    for seed in range(20):
        rows, y = many(seed, 2, n=30)
        newton = release()
        newton.fit(rows, y, 0)
        newton.remove([seed])
        newton.settle()
        for column in newton.columns:
            assert column.account.beta >= column.problem.certified(column.w, column.gradient)


def test_what_corrections_aim_at_leaves_room_for_rounding():
    """Else a request would end in an error where its last step happens to stop short of the aim."""
    rows, y = many(14, 3)
    with pytest.raises(InvalidValue) as refused:
        release(std=1e-300).fit(rows, y, 0)
    least = float(re.search(r"at least (\S+)", str(refused.value)).group(1))
    newton = release(std=least, correct_to=0.999)
    newton.fit(rows, y, 0)
    problems = [column.problem for column in newton.columns]
    targets = newton.scheme._targets(newton, problems)
    shares = newton.guarantee.shares(1e-2, [problem.n for problem in problems])
    for column, target, share in zip(newton.columns, targets, shares, strict=True):
        assert target + column.problem.rounding(column.w) < share


def test_how_far_training_came_is_said_to_nobody(caplog):
    rows, y = many(15, 2, n=100)
    model = LinearModel(lam=1e-2, std=0.0, tol=1e-30)
    newton = Newton(model, certificate="measured", update="corrected", perturbation="release")
    newton.fit(rows, y)
    newton.remove([3])
    newton.settle()
    assert "above its tolerance" in caplog.text
    assert not re.search(r"\d", "".join(record.getMessage() for record in caplog.records))
