"""Where random numbers come from: a seed that was given, or the operating system."""

from unittest import mock

import numpy as np
import pytest
from scipy import stats

from expunge.certificate import Guarantee
from expunge.core.seeds import SystemNoise, fresh_secret, stream
from expunge.predictors.linear import LinearModel
from expunge.unlearners.newton import Newton
from tests.problems import labels, make, method


def test_noise_of_the_system_has_the_distributions_that_it_says():
    noise = SystemNoise()
    drawn = noise.normal(size=200_000)
    assert stats.kstest(drawn, "norm").pvalue > 1e-9
    assert abs(np.mean(drawn**4) - 3) < 0.2
    lengths = [noise.gamma(30, 0.5) for _ in range(5000)]
    assert stats.kstest(lengths, stats.gamma(30, scale=0.5).cdf).pvalue > 1e-9


@pytest.mark.parametrize("byte", [b"\x00", b"\xff", b"\x80"])
def test_noise_of_the_system_is_finite_whatever_the_bits(byte):
    with mock.patch("os.urandom", lambda size: byte * size):
        assert np.isfinite(SystemNoise().normal(size=3)).all()
        assert np.isfinite(SystemNoise().gamma(3, 1.0))


@pytest.mark.parametrize("perturbation", ["gaussian", "pure_eps"])
def test_without_a_seed_nothing_that_is_kept_gives_the_perturbation_back(perturbation):
    """Not the first one, nor that of a retrained model, nor what a loaded model draws."""
    problem = make(5, n=80, d=4)
    how = {"lam": problem.lam, "std": 1.0, "perturbation": perturbation}
    how["delta"] = 0.0 if perturbation == "pure_eps" else 1e-4
    with mock.patch("secrets.randbits", return_value=7):  # all that is kept is the same
        models = [method(Newton, **how) for _ in range(2)]
        for model in models:
            model.fit(problem.rows, labels(problem))
    loaded = method(Newton, **how)
    loaded.load_state(models[0].state(), problem.rows, labels(problem))
    seen = [model.predictor.problem.b for model in models]
    seen.append(models[0].guarantee.draw(stream(7, "perturbation", 0)))
    for model in (*models, loaded):
        model.guarantee = Guarantee(1e-6, how["delta"], 1.0, 4, perturbation)
        assert model.remove([3]).outcome == "retrained"
        seen.append(model.predictor.problem.b)
    assert len({b.tobytes() for b in seen}) == len(seen)


def test_a_seed_that_was_given_is_what_all_is_drawn_from():
    problem = make(6, n=80, d=4)
    models = [method(Newton, lam=problem.lam, std=1.0) for _ in range(2)]
    for model in models:
        model.fit(problem.rows, labels(problem), 7)
    loaded = method(Newton, lam=problem.lam, std=1.0)
    loaded.load_state(models[0].state(), problem.rows, labels(problem))
    drawn = set()
    for model in (*models, loaded):
        model.guarantee = Guarantee(1e-6, 1e-4, 1.0, 4)
        assert model.remove([3]).outcome == "retrained"
        drawn.add(model.predictor.problem.b.tobytes())
    assert drawn == {model.guarantee.draw(stream(7, "perturbation", 1)).tobytes()}


def test_an_unseeded_model_finds_its_subsamples_again():
    rows, y = make(7, n=90, d=4).rows, np.arange(90) % 3
    model, loaded = (LinearModel(lam=1e-2, subsample_ratio=0.5) for _ in range(2))
    model.fit(rows, y)
    loaded.load_state(model.state(), rows, y)
    assert model.seed >> 64, "256 bits"
    for one, other in zip(model.columns, loaded.columns, strict=True):
        np.testing.assert_array_equal(one.problem.rows.index, other.problem.rows.index)
    assert not loaded.seeded


def test_secrets_that_differ_in_their_last_bits_alone_are_other_seeds():
    secret = fresh_secret() | 1 << 255
    one, other = (stream(s, "subsample").random(4) for s in (secret, secret ^ 1 << 200))
    assert not (one == other).any()
