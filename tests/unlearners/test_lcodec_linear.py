"""The scrub on the linear model of the certified path: where it equals Guo et al.'s step, and where not."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.core.errors import InvalidValue
from expunge.linear.rows import Rows
from expunge.scrub import Scrub
from expunge.unlearners.lcodec import Lcodec
from expunge.unlearners.newton import Newton
from tests.problems import method

EXACT = {"selector": "all", "curvature": "exact", "noise_epsilon": None, "curvature_rows": None}


def data(n=200, d=6, seed=0):
    rng = np.random.default_rng(seed)
    rows = Rows.normalised(rng.normal(size=(n, d)))
    scores = rows.dense() @ rng.normal(size=d)
    return rows, np.where(scores + 0.3 * rng.normal(size=n) > 0, 1, -1)


def fitted(lam=1e-2, std=1.0, val_gap=None, **settings):
    how = {"l2": lam, "curvature_tol": 1e-12, **EXACT, **settings}
    unlearner = method(Lcodec, lam=lam, std=std, val_gap=val_gap, **how)
    unlearner.fit(*data(), 0)
    return unlearner


@pytest.mark.parametrize("rows", [[3], [3, 17, 80]])
@pytest.mark.parametrize("curvature", ["exact", "ggn"])
def test_exact_curvature_is_the_newton_step(rows, curvature):
    newton = method(Newton, lam=1e-2, std=1.0, certificate="third_order", update="fresh")
    newton.fit(*data(), 0)
    scrub = fitted(curvature=curvature)
    np.testing.assert_allclose(
        scrub.predictor.w, newton.predictor.w, rtol=1e-9
    )  # the same b, the same optimum
    certified, outcome = newton.remove(rows), scrub.remove(rows)
    assert outcome.outcome == certified.outcome == "removed"
    np.testing.assert_allclose(scrub.predictor.w, newton.predictor.w, rtol=1e-8)
    assert scrub.predictor.residual() <= certified.residual_bound
    assert (outcome.budget, outcome.residual_bound) == (None, None)


def test_exact_leaves_a_smaller_residual_than_the_rank_one_curvatures():
    residuals = {}
    for curvature in ("exact", "fd", "fisher"):
        unlearner = fitted(curvature=curvature)
        assert unlearner.remove([3]).outcome == "removed"
        residuals[curvature] = unlearner.predictor.residual()
    idle = fitted()
    idle.predictor.columns = [idle.predictor.columns[0].without(idle.predictor.problem.without([3]))]
    residuals["none"] = idle.predictor.residual()
    print("||grad L_b|| after removing one row:", residuals)
    assert all(residuals["exact"] < 0.1 * residuals[other] for other in ("fd", "fisher", "none"))


def test_published_settings_run_on_one_unit():
    unlearner = fitted(selector="lfoci", curvature="fd", n_perturbations=100, noise_epsilon=1.0)
    outcome = unlearner.remove([3])
    assert outcome.outcome == "removed"
    assert outcome.figures["units"] == 1
    assert outcome.figures["weights"] == 6


def test_a_loaded_state_goes_on_where_it_stopped():
    unbroken = fitted(curvature="fd", noise_epsilon=100.0)
    unbroken.remove([3])
    kept = unbroken.state()
    fresh = method(Lcodec, lam=1e-2, std=1.0, val_gap=None, **vars(unbroken.scrub))
    fresh.load_state(kept, *data())
    assert unbroken.remove([7]) == fresh.remove([7])
    np.testing.assert_array_equal(unbroken.predictor.w, fresh.predictor.w)
    with pytest.raises(InvalidValue, match="rows: got 3"):
        fresh.remove([3])


def test_harm_is_taken_back():
    unlearner = fitted(mode="ascent", lr=1e4, max_rise=None, val_gap=0.05)
    unlearner.validate_on(*data(seed=1))
    before = unlearner.predictor.w.copy()
    outcome = unlearner.remove([3])
    assert outcome.outcome == "refused"
    assert "validation accuracy fell" in outcome.reason
    np.testing.assert_array_equal(unlearner.predictor.w, before)
    unlearner.val_gap = None
    assert unlearner.remove([3]).outcome == "removed"
    unlearner.scrub = Scrub(selector="all", mode="ascent", lr=1e308, max_rise=None)
    assert "not finite" in unlearner.remove([4]).reason


def test_bad_settings():
    with pytest.raises(InvalidValue, match=r"^std"):
        method(Lcodec, std=-1)
    with pytest.raises(InvalidValue, match=r"^val_gap"):
        method(Lcodec, val_gap=2)
