"""Rows that count less than 1: what is charged is above the truth, and all-ones is what there was before."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from expunge.core.errors import InvalidValue
from expunge.linear.anchor import Anchor, Departing
from expunge.linear.column_passes import ColumnPasses
from expunge.linear.example_weights import by_label, checked_class_weight, checked_sample_weight, of_rows
from expunge.linear.logistic import LogisticProblem
from expunge.linear.one_vs_rest import one_vs_rest
from expunge.linear.rows import Rows
from expunge.linear.solver import train
from expunge.linear.sparse_rows import SparseRows
from expunge.predictors.linear import LinearModel
from expunge.unlearners.newton import Newton
from tests.oracles import logistic as oracle
from tests.problems import make, problems

WIDE = pytest.mark.skipif(not oracle.WIDE, reason="this machine's long double has no mantissa of 64 bits")
seeds = st.integers(0, 2**32 - 1)
least = st.sampled_from([1.0, 0.5, 1e-3, 1e-12])


def counting(problem, seed, smallest):
    """The same problem with rows that count from ``smallest`` to 1, evenly by their logarithms."""
    sizes = smallest ** np.random.default_rng(seed).random(len(problem.y))
    return replace(problem, y=problem.y * sizes)


def true_norm(problem, w):
    stay = np.flatnonzero(problem.rows.scale)
    x, y = problem.rows.dense(stay), problem.y[stay]
    return oracle.norm(oracle.wide_gradient(x, y, problem.lam, problem.b, w))


@WIDE
@settings(max_examples=60, deadline=None)
@given(problems, seeds, least, st.booleans())
def test_gradients_are_the_oracles_within_what_is_charged(problem, seed, smallest, sparse):
    problem = counting(problem, seed, smallest)
    if sparse:
        problem = replace(problem, rows=SparseRows.normalised(sp.csr_array(problem.rows.dense())))
    rng = np.random.default_rng(seed)
    w, step = 3 * rng.normal(size=(2, problem.rows.dim))
    left = problem.without(gone := [1, 3])
    for one in (problem, left):
        stay = np.flatnonzero(one.rows.scale)
        x, y = one.rows.dense(stay), one.y[stay]
        true = oracle.wide_gradient(x, y, one.lam, one.b, w)
        assert oracle.norm(one.gradient(w) - true) <= one.rounding(w)
        hessian = oracle.hessian(x, y, one.lam, w)
        np.testing.assert_allclose(one.hessian(w), hessian, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(one.curvature(w).times(step), hessian @ step, rtol=1e-9, atol=1e-11)
        assert one.loss(w) == pytest.approx(oracle.loss(x, y, one.lam, one.b, w))
    of_gone = oracle.wide_gradient(problem.rows.dense(gone), problem.y[gone], problem.lam, 0 * w, w)
    found = problem.removed_gradient(w, gone)
    assert oracle.norm(found - of_gone) <= problem.errors.of_removed(w, len(gone))
    u = problem.removed_factors(w, gone)
    there = oracle.hessian(problem.rows.dense(gone), problem.y[gone], 0.0, w)
    np.testing.assert_allclose(u.T @ u, there, rtol=1e-12, atol=1e-15)


@settings(max_examples=30, deadline=None)
@given(problems)
def test_all_ones_come_to_the_same_bits(problem):
    model, again = (LinearModel(problem.lam, std=1.0) for _ in range(2))
    labels = np.where(problem.y > 0, 7, 3)
    again.weigh({3: 1.0, 7: 1.0}, np.ones(len(labels)))
    for one in (model, again):
        one.fit(problem.rows, labels, seed=1)
    assert model.w.tobytes() == again.w.tobytes()
    for update, certificate in (("fresh", "third_order"), ("corrected", "measured")):
        methods = [Newton(LinearModel(problem.lam), update=update, certificate=certificate) for _ in range(2)]
        methods[1].predictor.weigh({3: 1.0, 7: 1.0}, np.ones(len(labels)))
        for one in methods:
            one.fit(problem.rows, labels, seed=1)
        rows = np.flatnonzero(labels == labels[2])[:1].tolist()
        first, second = (one.remove(rows) for one in methods)
        assert first == second


def test_columns_together_have_the_same_bits_whether_or_not_ones_are_multiplied():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 100)
    many = one_vs_rest(Rows.normalised(rng.normal(size=(100, 5))), y, np.arange(4), 1e-2, np.zeros((5, 4)))
    passes = ColumnPasses.of(many)
    assert passes.sizes is None
    ones = replace(passes, sizes=np.ones(100))
    w, at = rng.normal(size=(5, 4)), np.arange(4)
    for slopes, others in ((passes.slopes(), ones.slopes()),):
        for first, second in zip(passes.gradients(w, at, slopes), ones.gradients(w, at, others), strict=True):
            assert first.tobytes() == second.tobytes()
        assert slopes.tobytes() == others.tobytes()
        assert passes.look(w, slopes).tobytes() == ones.look(w, others).tobytes()
    assert passes.removed(w, at).tobytes() == ones.removed(w, at).tobytes()
    assert passes.total == ones.total == 100


@WIDE
@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([0.5, 1e-3, 1e-12]), st.sampled_from([3, 5]))
def test_a_pass_for_many_columns_is_that_of_the_oracle(seed, smallest, classes):
    rng = np.random.default_rng(seed)
    n, d = 120, 6
    y, sizes = np.arange(n) % classes, smallest ** rng.random(n)
    b, w = rng.normal(size=(d, classes)), 3 * rng.normal(size=(d, classes))
    rows = Rows.normalised(rng.normal(size=(n, d))).without([50, 51])
    many = one_vs_rest(rows, y, np.arange(classes), 1e-2, b, iterative=True, sizes=sizes)
    passes, at = ColumnPasses.of(many), np.arange(classes)
    found, sums = passes.gradients(w, at, slopes := passes.slopes())
    looked, gone, stay = passes.slopes(), np.array([3, 7]), np.delete(np.arange(n), [50, 51])
    np.testing.assert_allclose(passes.look(w, looked), sums, rtol=1e-4)
    np.testing.assert_allclose(passes.total, sizes[stay].sum())
    removed, diagonals = passes.removed(w, gone), passes.diagonals(slopes)
    for k, problem in enumerate(many):
        x, own = rows.dense(stay), problem.y[stay]
        true = oracle.wide_gradient(x, own, 1e-2, b[:, k], w[:, k])
        assert oracle.norm(found[:, k] - true) <= problem.rounding(w[:, k])
        hessian = oracle.hessian(x, own, 1e-2, w[:, k])
        step = rng.normal(size=d)
        near = passes.curved(slopes, step[:, None], at[k : k + 1])[:, 0]
        np.testing.assert_allclose(near, hessian @ step, atol=1e-4 * np.abs(hessian @ step).max())
        np.testing.assert_allclose(diagonals[:, k], np.diag(hessian), rtol=1e-4)
        np.testing.assert_allclose(
            removed[:, k], problem.removed_gradient(w[:, k], gone), rtol=1e-9, atol=1e-13
        )


@WIDE
@settings(max_examples=30, deadline=None)
@given(problems, seeds, least)
def test_what_an_anchor_knows_is_that_of_the_rows_that_stay(problem, seed, smallest):
    problem = replace(counting(problem, seed, smallest), b=np.zeros(problem.rows.dim))
    rng = np.random.default_rng(seed)
    w, step = rng.normal(size=(2, problem.rows.dim))
    gone = np.array([1, 3])
    anchor = Anchor.of(problem, w).without(Departing(problem.rows.dense(gone), problem.y[gone]))
    left = problem.without(gone)
    stay = np.flatnonzero(left.rows.scale)
    x, y = left.rows.dense(stay), left.y[stay]
    hessian = oracle.hessian(x, y, left.lam, w)
    np.testing.assert_allclose(anchor.hessian(), hessian, rtol=1e-9, atol=1e-12)
    true = oracle.wide_gradient(x, y, left.lam, left.b, w)
    assert oracle.norm(anchor.gradient - true) <= anchor.errors.gradient
    anchor.require_held(left)
    for size in (1e-6, 1e-2, 1.0):
        there = true_norm(left, w + size * step)
        assert there <= anchor.bound(size * step, anchor.misfit(size * step))


@WIDE
@settings(max_examples=40, deadline=None)
@given(
    problems,
    seeds,
    least,
    st.sampled_from(["worst_case", "data_dependent", "third_order", "measured"]),
    st.sampled_from(["fresh", "frozen", "corrected"]),
)
def test_every_certificate_is_above_the_true_residual(problem, seed, smallest, certificate, update):
    rng = np.random.default_rng(seed)
    model = LinearModel(problem.lam, std=1e6)  # so that no budget ends it
    model.weigh({-1: 1.0, 1: 0.3}, smallest ** rng.random(len(problem.y)))
    method = Newton(model, certificate=certificate, update=update)
    method.fit(problem.rows, problem.y.astype(np.int64), seed=seed)
    order = rng.permutation(np.arange(2, len(problem.y)))
    for rows in (order[:1], order[1:3]):
        outcome = method.remove(rows.tolist())
        (column,) = method.columns
        assert true_norm(column.problem, column.w) <= column.account.beta
        if outcome.outcome == "removed" and update == "fresh":
            assert outcome.residual_bound == column.account.beta


@WIDE
@settings(max_examples=30, deadline=None)
@given(seeds, least, st.sampled_from(["corrected", "rowless"]), st.sampled_from([2, 3]), st.booleans())
def test_a_release_is_within_what_its_noise_covers(seed, smallest, update, classes, iterative):
    if update == "rowless" and iterative:
        return
    rng = np.random.default_rng(seed)
    n, d, lam = 80, 6, 1e-2
    y = rng.integers(0, classes, n)
    y[:classes] = np.arange(classes)
    rows = Rows.normalised(rng.normal(size=(n, d)) + y[:, None])
    sizes = smallest ** rng.random(n)
    model = LinearModel(lam, std=0.0, solver="iterative" if iterative else "direct")
    model.weigh(None, sizes)
    method = Newton(model, perturbation="release", certificate="measured", update=update)
    method.fit(rows, y, seed=seed)
    order = rng.permutation(np.arange(classes, n))
    for gone in (order[:1], order[1:9], order[9:50]):
        method.remove(gone.tolist())
        for column, most in zip(
            method.columns, method.guarantee.shares(lam, [model.there.count] * model.width), strict=True
        ):
            there = true_norm(column.problem, column.w)
            assert there <= column.account.beta
            assert column.account.beta <= most * (1 + 1e-12) or update == "rowless"
            problem = column.problem
            stay = np.flatnonzero(problem.rows.scale)
            best = oracle.minimise(problem.rows.dense(stay), problem.y[stay], lam, problem.b)
            off = np.linalg.norm(column.w - best)
            assert off <= method.guarantee.sensitivity + 1e-7


@pytest.mark.parametrize("solver", ["direct", "iterative"])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_minimiser_is_scikit_learns(solver, classes):
    rng = np.random.default_rng(3)
    n, lam = 200, 1e-2
    y = np.arange(n) % classes
    rows = Rows.normalised(rng.normal(size=(n, 5)) + y[:, None])
    of_classes = {0: 1.0, 1: 30.0, 2: 4.0, 3: 0.5}
    of_classes = {label: of_classes[label] for label in range(classes)}
    own = rng.uniform(0.01, 1, n)
    model = LinearModel(lam, std=0.0, tol=1e-11, solver=solver, class_weight=of_classes)
    assert model.lam == lam / model.divided_by
    model.weigh(None, own)  # classes are called by their labels where nobody says what they are called
    model.fit(rows, y, 0)
    full = np.array([of_classes[label] for label in y.tolist()]) * own
    for stay in (np.arange(n), np.arange(40, n)):
        for column, label in zip(model.columns, range(classes)[-model.width :], strict=True):
            theirs = LogisticRegression(
                C=1 / (lam * len(stay)),
                fit_intercept=False,
                tol=1e-13,
                solver="newton-cholesky",
                max_iter=999,
            ).fit(rows.dense(stay), y[stay] == label, full[stay])
            np.testing.assert_allclose(column.w, theirs.coef_[0], rtol=0, atol=1e-8)
        if len(stay) == n:
            reference = model.retrained(rows, y, np.arange(40, n))
            model.refit(np.arange(40))
            np.testing.assert_array_equal(reference.weights, model.weights)


def test_weights_go_with_their_rows():
    problem = counting(make(5, n=60, std=0.0), 5, 1e-2)
    order = np.random.default_rng(0).permutation(60)
    moved = LogisticProblem(
        Rows.normalised(problem.rows.dense()[order]), problem.y[order], problem.lam, problem.b
    )
    np.testing.assert_allclose(train(moved, 1e-12).w, train(problem, 1e-12).w, atol=1e-10)
    other = replace(problem, y=np.sign(problem.y) * np.abs(problem.y)[order])
    assert np.abs(train(other, 1e-12).w - train(problem, 1e-12).w).max() > 1e-3


def test_weights_of_classes_are_divided_by_the_largest_above_1():
    assert checked_class_weight(None) == (None, 1.0)
    assert checked_class_weight({"a": 1, "b": 20}) == ({"a": 0.05, "b": 1.0}, 20.0)
    assert checked_class_weight({0: 0.5, 1: 0.25}) == ({0: 0.5, 1: 0.25}, 1.0)
    again, divisor = checked_class_weight(checked_class_weight({"a": 3, "b": 7})[0])
    assert (again, divisor) == ({"a": 3 / 7, "b": 1.0}, 1.0)


@pytest.mark.parametrize(
    "given", ["balanced", {}, {"a": 0}, {"a": -1}, {"a": np.nan}, {"a": "1"}, {"a": True}, 3]
)
def test_what_is_no_weight_of_a_class_is_refused_in_one_line(given):
    with pytest.raises(InvalidValue, match=r"class_weight: got .*, allowed: .*\{") as raised:
        checked_class_weight(given)
    assert "\n" not in str(raised.value)


def test_balanced_is_refused_with_the_reason():
    with pytest.raises(InvalidValue, match=r"constants, such as .* changes with every row that leaves"):
        LinearModel(class_weight="balanced")


def test_each_class_has_a_weight_and_no_other():
    names = {0: "no", 1: "yes"}
    assert by_label(None, names) is None
    assert by_label({"yes": 1.0, "no": 0.1}, names) == {1: 1.0, 0: 0.1}
    assert by_label({"0": 1.0, 1: 0.1}, {0: 0, 1: 1}) == {0: 1.0, 1: 0.1}
    for wrong in ({"yes": 1.0}, {"yes": 1.0, "no": 1.0, "maybe": 1.0}, {"yse": 1.0, "no": 0.1}):
        with pytest.raises(InvalidValue, match="a weight for each class and no other: no, yes"):
            by_label(wrong, names)
    assert by_label({"yes": 1.0, "no": 0.1, "gone": 0.2}, names, some_left=True) == {1: 1.0, 0: 0.1}
    with pytest.raises(InvalidValue):
        by_label({"yes": 1.0, "gone": 0.2}, names, some_left=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, 1], r"numbers of shape \(2,\)', allowed: 3 numbers"),
        (
            [1, 0, 1],
            r"0\.0, allowed: above 0 and at most 1; a row of weight zero is to be left out \(of row 1\)",
        ),
        ([1, -0.5, -1], r"-0\.5, .*of row 1, and 1 more"),
        ([1, 1, 2.5], r"2\.5, allowed: numbers above 0 and at most 1 \(divide all by .*of row 2"),
        ([1, np.nan, 1], "nan, allowed"),
        ([[1], [1], [1]], "shape"),
        (["a", "b", "c"], "sample_weight"),
    ],
)
def test_what_is_no_weight_of_a_row_is_refused_in_one_line(given, said):
    with pytest.raises(InvalidValue, match=said) as raised:
        checked_sample_weight(given, 3)
    assert "\n" not in str(raised.value)


def test_a_row_counts_its_class_times_its_own():
    labels = np.array([0, 1, 1, -1])
    assert of_rows(None, labels, None) is None
    np.testing.assert_array_equal(of_rows({0: 0.5, 1: 0.25}, labels, None), [0.5, 0.25, 0.25, 1.0])
    own = np.array([1.0, 0.5, 1.0, 0.3])
    np.testing.assert_array_equal(of_rows({0: 0.5, 1: 0.25}, labels, own), [0.5, 0.125, 0.25, 0.3])
    model = LinearModel()
    model.weigh(None, own)
    with pytest.raises(InvalidValue, match="sample_weight"):
        model.fit(Rows.normalised(np.eye(3)), np.array([0, 1, 1]), 0)


def test_a_class_without_a_weight_is_refused_where_others_have_some():
    with pytest.raises(InvalidValue, match="a weight for each class and no other: 0, 1"):
        LinearModel(class_weight={0: 1.0, 2: 1.0}).fit(Rows.normalised(np.eye(3)), np.array([0, 1, 1]), 0)
