"""The audit itself: it finds what is wrong, stays below what is right, and says which is which."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from expunge.audit.auditing import audit
from expunge.audit.methods import entries
from expunge.audit.problems import heaviest, of_rows, two_classes
from expunge.audit.worlds import Effort
from expunge.certificate.composition import Claim
from expunge.certificate.guarantee import Guarantee
from expunge.certificate.lattice import on_lattice, with_float_noise
from expunge.core.errors import BrokenInvariant, InvalidValue
from expunge.core.seeds import SystemNoise, stream
from expunge.linear.certified_column import CertifiedColumn
from expunge.predictors.linear import LinearModel
from expunge.record.folders.findings import BELOW, KNOWN, NOTHING, REFUTED, UNTRIED
from expunge.run.config_files import config_dir
from expunge.unlearners import release
from expunge.unlearners.newton import Newton
from tests.oracles import logistic

CLAIM = {"epsilon": 1.0, "delta": 1e-4}
NOISES = ("float", "lattice")
TWO = two_classes()


def released(noise="float", lam=5e-3, update="corrected", **more):
    how = {"certificate": "measured", "update": update, "perturbation": "release", "releases": 4, **CLAIM}
    return Newton(LinearModel(lam, 0.0), **{**how, "noise": noise, **more})


def published(std, lam=5e-3, **more):
    return Newton(LinearModel(lam, std), **{**CLAIM, "certificate": "data_dependent", **more})


def audited(method, pairs=100, bulk=4000, data=TWO, seed=1):
    return audit(method, data, Effort(pairs, bulk), seed)


# -- what is right --------------------------------------------------------------------------------------


@pytest.mark.parametrize("update", ["corrected", "rowless"])
@pytest.mark.parametrize("noise", NOISES)
def test_noise_at_release_stays_below_its_claim(noise, update):
    made = audited(released(noise, update=update), 60, 20_000)
    assert made.verdict == BELOW
    assert 0.2 < float(made.best.epsilon.low) < 1.0
    assert made.best.attack == "at the edge"
    record = made.record("x", {})
    assert record["pairs"] == 60
    assert record["noise_pairs"] == 20_000
    assert record["holds"] == (noise == "lattice")
    assert record["outcomes"] == {"removed": 180}


def test_the_edge_is_as_far_as_the_claim_goes():
    """With many draws the bound comes near 1, which is what is claimed, and is no more."""
    made = audited(released(delta=0.05), 40, 400_000)
    assert 0.8 < float(made.best.epsilon.low) <= 1.0


def test_exact_retraining_is_what_a_naive_one_is():
    world = audited(released(), 40, 40).world
    x, y = TWO.x.dense(), TWO.y.astype(float)
    for k in range(4):
        w = logistic.minimise(x[k:], y[k:], 5e-3, np.zeros(2), steps=15)
        np.testing.assert_allclose(world.exact[k], w, rtol=1e-9)


# -- the published method -------------------------------------------------------------------------------


def test_the_published_decision_is_found_with_few_pairs():
    made = audited(published(10.0, at_limit="refuse"), 90)
    assert made.verdict == KNOWN
    assert made.best.attack == "would it have retrained?"
    assert float(made.best.epsilon.low) > 1.0
    assert not made.record("x", {})["holds"]
    again = audited(published(3.0, at_limit="retrain"), 120)  # thousands of pairs prove it
    assert again.best.attack == "would it have retrained?"
    assert float(again.best.delta.estimate) > 0.03  # of the 1e-4 that are promised


def test_a_published_method_that_always_or_never_retrains():
    assert audited(published(30.0, update="corrected", certificate="measured"), 40).verdict == NOTHING
    assert audited(published(0.01, at_limit="refuse"), 40).verdict == UNTRIED


_DRAW = Guarantee.draw


def _a_tenth(self, rng):
    return _DRAW(self, rng) / 10


def test_b_is_drawn_by_the_law_that_is_promised():
    """Both laws: what the program draws and what the audit draws are not told apart, and half of it is."""
    for how in ({}, {"perturbation": "pure_eps", "delta": 0.0}):
        method = published(30.0, update="corrected", certificate="measured", **how)
        if how:  # of the other the next test says so
            assert audited(method, 60).verdict == NOTHING
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Guarantee, "draw", _a_tenth)
            made = audited(method, 60)
        assert made.verdict == KNOWN
        assert made.best.attack in ("residual size", "learned test")


# -- planted faults -------------------------------------------------------------------------------------


def half_of_the_noise(patch):
    patch.setattr(release, "with_float_noise", lambda w, std, rng: with_float_noise(w, std / 2, rng))
    patch.setattr(release, "on_lattice", lambda w, std, grid: on_lattice(w, std / 2, grid))


def a_model_that_skips_its_correction(patch):
    def stale(self, after, index, factor, target):
        nothing = replace(self.account, beta=1e-300)
        return replace(self, problem=after, account=nothing, gradient=np.zeros_like(self.w))

    patch.setattr(CertifiedColumn, "_corrected", stale)


def a_model_that_is_corrected_too_little(patch):
    def covered(self, engine, columns):
        return True

    targets = release.Release._targets
    patch.setattr(release.Release, "_targets", lambda *args: [5e7 * one for one in targets(*args)])
    patch.setattr(release.Release, "_is_covered", covered)
    patch.setattr(release, "require_outcome", lambda found, *_: found)  # which would have seen it


def noise_that_is_used_again(patch):
    patch.setattr(release, "stream", lambda seed, purpose, number, **how: stream(seed, purpose, 0, **how))
    kept = {"calls": -1}

    def again(
        w, std, grid
    ):  # one draw for the four releases of a pair; a rehearsal's and the training's before
        if w.ndim > 2:
            return on_lattice(w, std, grid)
        kept["calls"] += 1
        if kept["calls"] % 4 == 0 or "noise" not in kept:
            kept["noise"] = on_lattice(0 * w, std, grid)
        return np.rint(w / grid) * grid + kept["noise"]

    patch.setattr(release, "on_lattice", again)


def noise_in_one_weight_alone(patch):
    def part(w, std, rng):
        noisy = with_float_noise(w, std, rng)
        noisy[..., -1, :] = w[..., -1, :] if w.ndim == 2 else noisy[..., -1, :]
        return noisy

    patch.setattr(release, "with_float_noise", part)
    patch.setattr(release, "on_lattice", lambda w, std, grid: _on(grid, part(w, std, SystemNoise())))


def _on(grid, w):
    return np.rint(w / grid) * grid


FAULTS = (
    half_of_the_noise,
    a_model_that_skips_its_correction,
    a_model_that_is_corrected_too_little,
    noise_that_is_used_again,
    noise_in_one_weight_alone,
)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault, noise, monkeypatch):
    fault(monkeypatch)
    made = audited(released(noise), 72)
    assert made.verdict == REFUTED, [(one.attack, float(one.epsilon.low)) for one in made.found]


def test_half_of_the_noise_is_found_without_rows_and_in_three_classes(monkeypatch):
    half_of_the_noise(monkeypatch)
    rng = np.random.default_rng(2)
    y = np.arange(30) % 3
    x = replace(TWO.x, raw=rng.normal(size=(30, 2)), scale=np.full(30, 0.2))
    assert audited(released(update="rowless"), 60).verdict == REFUTED
    assert audited(released("lattice"), 60, data=of_rows("three", x, y)).verdict == REFUTED


def test_float_noise_that_is_called_a_lattice_is_found_by_its_low_bits(monkeypatch):
    monkeypatch.setattr(release, "on_lattice", lambda w, std, grid: with_float_noise(w, std, SystemNoise()))
    made = audited(released("lattice"))
    assert made.verdict == REFUTED
    assert made.best.attack == "low bits"


def test_float_noise_says_itself_that_its_low_bits_tell():
    """Noise as large as the weights: what float noise cannot have made is often there."""
    rng = np.random.default_rng(4)
    x = replace(TWO.x, raw=rng.normal(size=(60, 16)), scale=np.full(60, 0.2))
    data = of_rows("wide", x, np.arange(60) % 2)
    float_, lattice = (audited(released(noise, std=0.5), 120, data=data) for noise in NOISES)
    assert float_.verdict == KNOWN
    assert float_.best.attack == "low bits"
    assert lattice.verdict == BELOW


# -- methods that nobody here knows ---------------------------------------------------------------------


class Foreign:
    """A certified method by the public interface alone: the mean of the rows, with noise."""

    role, name, epsilon, delta = "certified", "foreign", 0.5, 1e-3

    def __init__(self, forgets: bool) -> None:
        self.forgets = forgets

    def fit(self, x, y, seed):
        self.x, self.rng, self.left = x, np.random.default_rng(seed), np.ones(len(y), bool)
        self._release()

    def _release(self):
        self.out = self.x[self.left].mean(axis=0) + 0.05 * self.rng.normal(size=self.x.shape[1])

    def remove(self, rows):
        if self.forgets:
            self.left[rows] = False
        self._release()
        return SimpleNamespace(outcome="removed")

    def model(self):
        return {"mean": self.out}

    def claim(self):
        return Claim("mine: nobody can tell")


def test_a_method_of_another_kind_is_attacked_by_what_every_method_has():
    x = np.random.default_rng(0).normal(size=(20, 3))
    x[0] += 9
    data = of_rows("foreign", x, np.arange(20) % 2)
    good, bad = (audited(Foreign(forgets), 400, data=data) for forgets in (True, False))
    assert (good.verdict, bad.verdict) == (BELOW, REFUTED)
    assert good.world.not_tried
    silent = Foreign(True)
    silent.epsilon = None
    with pytest.raises(InvalidValue, match=r"^epsilon: got None, allowed: a number"):
        audited(silent, data=data)


def test_what_cannot_be_attacked_is_refused():
    three = of_rows("three", TWO.x, np.arange(40) % 3)
    with pytest.raises(InvalidValue, match=r"^subsample_ratio: got 0.5, allowed: 1 in an audit"):
        audited(Newton(LinearModel(5e-3, 3.0, subsample_ratio=0.5)), data=three)
    many = replace(TWO, gone=((0,), (1,), (2,), (3,), (4,)))
    with pytest.raises(BrokenInvariant, match="outcome is 'refused', and must be removed"):
        audited(released(), data=many)


# -- which methods --------------------------------------------------------------------------------------


def test_every_certified_choice_is_audited_with_every_certificate_and_policy():
    found = entries(config_dir())
    names = [entry.name for entry in found]
    assert len(set(names)) == len(names)
    assert {"newton", "newton_third_order"} < set(names)
    for update in ("fresh", "frozen", "corrected"):
        for certificate in ("worst_case", "data_dependent", "third_order", "measured"):
            for policy in ("retrain", "refuse"):
                assert f"newton: {update}, {certificate}, {policy}" in names
    for choice in ("newton_corrected", "newton_rowless"):
        assert {f"{choice}: {noise}" for noise in NOISES} < set(names)
    assert not [name for name in names if name.startswith(("retrain", "none", "lcodec", "kfac"))]


def test_a_new_certified_method_is_audited_by_itself(tmp_path):
    folder = tmp_path / "conf"
    shutil.copytree(config_dir(), folder)
    for other in (folder / "unlearner").glob("*.yaml"):
        if not other.stem.startswith("newton"):
            other.unlink()
    mine = folder / "unlearner" / "mine.yaml"
    mine.write_text("defaults:\n  - newton_corrected\n  - _self_\nname: mine\n")
    assert entries(folder, ["mine: lattice"])[0].name == "mine: lattice"
    assert {entry.choice for entry in entries(folder, ["newton_co"])} == {"newton_corrected"}
    with pytest.raises(
        InvalidValue, match=r"^--only: got 'nobody', allowed: what a name in the table begins with: "
    ):
        entries(folder, ["mine: lattice", "nobody"])


def test_the_auditor_takes_the_rows_that_weigh_most_and_leaves_every_class():
    x, y = TWO.x, TWO.y
    rows = heaviest(x, y, 40)
    assert len(rows) == 36
    w = logistic.minimise(x.dense(), y.astype(float), 1e-3, np.zeros(2), steps=20)
    margins = y * (x.dense() @ w)
    assert rows[0] == int(np.argmin(margins))
