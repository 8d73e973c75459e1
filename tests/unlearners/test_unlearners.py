"""The unlearners of the linear model: outcomes, policies, and the published update against its oracle."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import InvalidValue, UserError
from expunge.linear.parallel import set_threads
from expunge.linear.rows import Rows
from expunge.linear.solver import train
from expunge.unlearners.newton import Newton
from expunge.unlearners.none import NoOp
from expunge.unlearners.retrain import Retrain
from tests.oracles import logistic as oracle
from tests.problems import labels, make, method, problems


def fitted(problem, seed=0, **settings_):
    model = method(Newton, **({"lam": problem.lam, "std": 1.0} | settings_))
    model.fit(problem.rows, labels(problem), seed)
    return model


@given(problems, st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_fresh_update_is_the_published_newton_step(problem, size):
    model = fitted(problem, update="fresh", certificate="measured", at_limit="refuse", epsilon=5.0)
    gone = np.random.default_rng(3).choice(problem.n, size, replace=False)
    x = problem.rows.dense()
    expected, stay = oracle.remove_fresh(
        x, problem.y, problem.lam, model.predictor.problem.b, model.predictor.w, gone
    )
    outcome = model.remove(gone)
    parts = (x[stay], problem.y[stay], problem.lam, model.predictor.problem.b)
    left = np.linalg.norm(oracle.gradient(*parts, expected))
    if len(np.unique(problem.y[stay])) < 2:
        assert "one class alone" in outcome.reason
    elif left > model.guarantee.budget * (1 + 1e-6) + 1e-7:
        assert outcome.outcome == "refused"
    elif left < model.guarantee.budget * (1 - 1e-6) - 1e-7:
        assert outcome.outcome == "removed"
        np.testing.assert_allclose(model.predictor.w, expected, rtol=1e-6, atol=1e-6)
        assert outcome.residual_measured == pytest.approx(left, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("size", [1, 3])
def test_fresh_updates_stay_at_explicit_solves(size):
    """Iterated solves with a kept inverse Hessian: what building it for every request would have released."""
    problem = make(31, n=400, d=20, lam=1e-3)
    model = fitted(problem, update="fresh", at_limit="refuse")
    model.guarantee = replace(model.guarantee, std=1e9)
    x, w, b = problem.rows.dense(), model.predictor.w, model.predictor.problem.b
    left, inverses = np.arange(400), set()
    for start in range(0, 50 * size, size):
        gone = np.arange(start, start + size)
        places = np.searchsorted(left, gone)
        w, stay = oracle.remove_fresh(x[left], problem.y[left], problem.lam, b, w, places)
        left = left[stay]
        assert model.remove(gone).outcome == "removed"
        assert np.linalg.norm(model.predictor.w - w) <= 1e-12 * np.linalg.norm(w)
        inverses.add(model.columns[0].factor.inverse.tobytes())
    assert model.account.solve_error <= 50 * 1e-11, "what solves leave is charged, and is hardly anything"
    assert 1 < len(inverses) < 20, "rebuilt now and then"


@given(problems, st.integers(1, 4), st.sampled_from(["fresh", "corrected"]))
@settings(max_examples=40, deadline=None)
def test_a_model_retrained_at_the_limit_is_the_minimiser_from_scratch(problem, size, update):
    model = fitted(problem, update=update, certificate="third_order")
    model.guarantee = replace(model.guarantee, epsilon=1e-6)
    for epoch in (1, 2):
        gone = np.flatnonzero(model.predictor.kept)[: min(size, 2)]
        outcome = model.remove(gone)
        if outcome.outcome == "refused" and "one class alone" in outcome.reason:
            return
        assert outcome.outcome != "refused", "wherever training starts it gets there"
        if outcome.outcome == "removed":
            return  # a problem on which a step is as good as exact
        assert model.account.epoch == epoch
        (column,), left = model.columns, model.predictor.problem
        stay = left.rows.scale != 0
        assert not stay[gone].any()
        scratch = train(left)
        strong = left.lam * left.n
        assert np.linalg.norm(model.predictor.w - scratch.w) <= 2.1e-8 / strong
        x, y = left.rows.dense()[stay], left.y[stay]
        residual = np.linalg.norm(oracle.gradient(x, y, left.lam, left.b, model.predictor.w))
        assert residual <= outcome.residual_bound + left.rounding(model.predictor.w), (
            "the leftover is charged"
        )
        assert outcome.residual_bound >= outcome.residual_measured
        assert column.spectral >= np.linalg.norm(x, 2)


def test_only_the_certified_method_starts_from_weights(monkeypatch):
    starts = []

    def spied(problem, tol, max_iter, start=None, factor=None):
        starts.append(start)
        return train(problem, tol, max_iter, start, factor)

    monkeypatch.setattr("expunge.predictors.linear.train", spied)
    problem = make(33, n=100, d=5)
    baseline = method(Retrain, lam=problem.lam, std=1.0)
    baseline.fit(problem.rows, labels(problem), seed=4)
    baseline.remove([1])
    assert starts == [None, None], "the gold standard is trained from scratch"
    model = fitted(problem)
    model.guarantee = replace(model.guarantee, epsilon=1e-6)
    out = model.predictor.w
    assert model.remove([1]).outcome == "retrained"
    assert starts[3] is out


def test_the_number_of_threads_changes_no_bit():
    problem = make(34, n=5000, d=60, lam=1e-4, std=0.1)
    seen = set()
    for count in (1, 2, 3):
        set_threads(count)
        model = fitted(replace(problem, rows=replace(problem.rows)), std=0.1)
        outcomes = [model.remove([row]) for row in range(12)]
        assert {o.outcome for o in outcomes} == {"removed", "retrained"}
        seen.add((model.predictor.w.tobytes(), tuple(o.residual_bound for o in outcomes)))
    set_threads(None)
    assert len(seen) == 1


@pytest.mark.parametrize("seed", range(5))
def test_corrected_stays_at_the_retrained_weights(seed):
    problem = make(seed, n=400, d=10, lam=1e-3)
    model = fitted(problem, update="corrected", certificate="measured")
    for row in range(200):
        outcome = model.remove([row])
        assert outcome.outcome == "removed"
        assert outcome.residual_measured <= 0.01 * outcome.budget
        assert outcome.residual_bound == pytest.approx(outcome.residual_measured, rel=1e-2, abs=1e-9)
    again = train(model.predictor.problem)
    assert np.linalg.norm(model.predictor.w - again.w) <= 0.01 * model.guarantee.budget / (problem.lam * 200)
    assert np.linalg.norm(model.predictor.w - again.w) <= 1e-2 * np.linalg.norm(again.w)


def test_corrected_removes_every_row_but_one_of_each_class():
    problem = make(20, n=150, d=6, lam=1e-2)
    model = fitted(problem, update="corrected", certificate="measured")
    order = np.random.default_rng(0).permutation(150)
    last = [int(order[problem.y[order] == label][-1]) for label in (-1, 1)]
    for row in order[~np.isin(order, last)]:
        assert model.remove([row]).outcome == "removed"
    for row in last:
        before = model.predictor.w
        outcome = model.remove([row])
        assert (outcome.outcome, model.predictor.w is before) == ("refused", True)
        assert "there is no model for one class" in outcome.reason
    with pytest.raises(InvalidValue, match="one row at least must stay"):
        model.remove(last)


def test_limit_retrains_with_a_fresh_perturbation_and_a_new_epoch():
    problem = make(21, n=200, d=5, lam=1e-3, std=0.1)
    model = fitted(problem, std=0.3, update="fresh", certificate="data_dependent")
    first_b, outcomes = model.predictor.problem.b, []
    for row in range(40):
        outcomes.append(model.remove([row]))
        assert outcomes[-1].residual_bound <= outcomes[-1].budget
    retrained = [o for o in outcomes if o.outcome == "retrained"]
    assert retrained
    assert "would pass the budget" in retrained[0].reason
    assert model.account.epoch == len(retrained)
    assert not np.allclose(model.predictor.problem.b, first_b)
    assert model.predictor.problem.n == 160, "a retrained request's rows are gone too"
    first = next(i for i, o in enumerate(outcomes) if o.outcome == "retrained")
    assert outcomes[first].residual_bound < outcomes[first - 1].residual_bound if first else True


@pytest.mark.parametrize("update", ["fresh", "frozen", "corrected"])
def test_limit_refuses_and_changes_nothing(update):
    problem = make(22, n=60, d=5, lam=1e-3, std=0.1)
    model = fitted(problem, update=update, certificate="data_dependent", at_limit="refuse")
    tighten(model)
    before, state = model.predictor.w.copy(), model.state()
    outcome = model.remove([3])
    assert outcome.outcome == "refused"
    assert outcome.residual_bound == model.account.beta
    np.testing.assert_array_equal(model.predictor.w, before)
    assert model.predictor.problem.n == 60
    after = model.state()
    assert all(np.array_equal(after.arrays[k], state.arrays[k]) for k in state.arrays)
    assert model.remove([3]).outcome == "refused", "the rows are still there to be asked for again"


def tighten(model):
    """From now on hardly any residual is within the budget."""
    model.guarantee = replace(model.guarantee, std=1e-13)


def test_a_budget_below_what_training_can_reach_is_refused():
    """No model goes out uncertified: not the first one, nor one retrained at the limit."""
    problem = make(30, n=60, d=5)
    with pytest.raises(InvalidValue, match=r"std: got 1e-13, .* training leaves a residual"):
        fitted(problem, std=1e-13)
    model = fitted(problem, at_limit="retrain")
    tighten(model)
    before = model.state()
    outcome = model.remove([1])
    assert outcome.outcome == "refused"
    assert "retrained model" in outcome.reason
    assert all(np.array_equal(v, before.arrays[k]) for k, v in model.state().arrays.items())


def test_anchoring_prolongs_the_published_bound():
    problem = make(23, n=300, d=6, lam=1e-3, std=0.1)

    def served(anchor):
        model = fitted(problem, std=0.3, anchor=anchor)
        outcomes = [model.remove([row]).outcome for row in range(60)]
        return outcomes.count("removed")

    assert served(anchor=1) > served(anchor=0)


def test_frozen_rebuilds_its_hessian_when_inexact_solves_have_cost_their_share():
    problem = make(24, n=400, d=8, lam=1e-4, std=0.1)
    model = fitted(problem, std=0.5, update="frozen", certificate="third_order", at_limit="retrain")
    inverses = set()
    for row in range(100):
        model.remove([row])
        inverses.add(model.columns[0].factor.inverse.tobytes())
    assert len(inverses) > 2


def test_retrain_is_exact_and_keeps_its_perturbation():
    problem = make(25, n=100, d=5)
    model = method(Retrain, lam=problem.lam, std=1.0)
    model.fit(problem.rows, labels(problem), seed=4)
    b = model.predictor.problem.b
    outcome = model.remove([1, 2])
    assert outcome.outcome == "retrained"
    assert (outcome.residual_bound, outcome.budget, outcome.epsilon_spent) == (None, None, None)
    stay = np.setdiff1d(np.arange(100), [1, 2])
    best = oracle.minimise(problem.rows.dense()[stay], problem.y[stay], problem.lam, b)
    np.testing.assert_allclose(model.predictor.w, best, atol=1e-7)
    certified = fitted(problem, seed=4)
    (
        np.testing.assert_array_equal(certified.predictor.problem.b, b),
        "paired with the certified run of the same seed",
    )


def test_none_refuses_everything():
    problem = make(26, n=50, d=4)
    model = method(NoOp, lam=1e-2, std=0.0)
    model.fit(problem.rows, labels(problem), seed=0)
    before = model.predictor.w.copy()
    outcome = model.remove([0])
    assert (outcome.outcome, outcome.rows) == ("refused", (0,))
    assert "no-op" in outcome.reason
    np.testing.assert_array_equal(model.predictor.w, before)


@pytest.mark.parametrize("rows", [[-1], [50], [3, 3], [], [1.5], "0", list(range(50))])
def test_bad_requests_name_the_row(rows):
    model = fitted(make(27, n=50, d=4))
    with pytest.raises(InvalidValue) as error:
        model.remove(rows)
    assert error.value.name == "rows"


def test_a_row_cannot_be_removed_twice():
    model = fitted(make(28, n=50, d=4))
    model.remove([7])
    with pytest.raises(InvalidValue, match="rows: got 7"):
        model.remove([8, 7])
    assert model.predictor.problem.n == 49, "nothing of the bad request was done"


def test_labels_of_one_class_are_refused():
    rows = Rows.normalised(np.random.default_rng(0).normal(size=(6, 3)))
    with pytest.raises(UserError, match=r"one class .* dataset\.classes"):
        method(Newton).fit(rows, np.ones(6, dtype=np.int64))


@pytest.mark.parametrize(
    ("settings_", "name"),
    [
        ({"lam": 0}, "lam"),
        ({"lam": "1"}, "lam"),
        ({"std": -1.0}, "std"),
        ({"delta": 1.0}, "delta"),
        ({"certificate": "none"}, "certificate"),
        ({"update": "stale"}, "update"),
        ({"at_limit": "ignore"}, "at_limit"),
        ({"anchor": -1}, "anchor"),
        ({"correct_to": 2.0}, "correct_to"),
        ({"perturbation": "pure_eps"}, "delta"),
    ],
)
def test_settings_are_checked_at_construction(settings_, name):
    with pytest.raises(InvalidValue) as error:
        method(Newton, **settings_)
    assert error.value.name == name


@pytest.mark.parametrize("update", ["fresh", "frozen", "corrected"])
@pytest.mark.parametrize("perturbation", ["gaussian", "pure_eps"])
def test_a_loaded_state_goes_on_bit_for_bit(update, perturbation):
    problem = make(29, n=200, d=6, lam=1e-3, std=0.1)
    how = {"update": update, "certificate": "third_order", "std": 0.05, "perturbation": perturbation}
    how["delta"] = 0.0 if perturbation == "pure_eps" else 1e-4
    one = fitted(problem, **how)
    for row in range(30):
        one.remove([row])
    two = method(Newton, lam=problem.lam, **how)
    two.load_state(one.state(), replace(problem.rows), labels(problem))
    for row in range(30, 80):
        assert one.remove([row]) == two.remove([row])
    np.testing.assert_array_equal(one.predictor.w, two.predictor.w)
    np.testing.assert_array_equal(one.predictor.problem.b, two.predictor.problem.b)
