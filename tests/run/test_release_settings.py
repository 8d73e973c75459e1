"""Settings of a release: refused by the name that was typed, and noise that is too much is said."""

import warnings

import pytest
from sklearn.datasets import load_digits

from expunge import CertifiedLogisticRegression
from expunge.core.errors import InvalidValue
from tests import cli
from tests.cli import SMALL
from tests.run.test_bad_input import refused

VALUES = {
    "model.std=text": ("model.std: got 'text'", "a finite number > 0"),
    "model.std=1e-320": ("model.std: got 1e-320", "at least"),
    "unlearner.std=1e-320": ("unlearner.std: got 1e-320", "at least"),
    "model.lam=1e-320": ("model.lam: got 1e-320", "from 1e-30"),
    "training.max_iter=1": ("training.max_iter: got 1", "enough steps"),
    "unlearner.max_iter=1": ("unlearner.max_iter: got 1", "enough steps"),
    "unlearner.epsilon=1e300": ("unlearner.epsilon: got 1e+300", "at most 1e+09"),
    "unlearner.epsilon=1e308": ("unlearner.epsilon: got 1e+308", "at most 1e+09"),
    "unlearner.releases=2": ("unlearner.releases: got 2", "at least 3"),
}


@pytest.mark.parametrize("argument", VALUES)
def test_a_value_is_refused_by_the_name_that_was_typed(tmp_path, argument):
    named, allowed = VALUES[argument]
    refused(argument, "removal.count=2", cwd=tmp_path, named=named, allowed=allowed)


def test_the_published_method_needs_a_std():
    x, y = load_digits(n_class=2, return_X_y=True)
    with pytest.raises(InvalidValue, match="std: got None, allowed: a finite number > 0; None but with"):
        CertifiedLogisticRegression(perturbation="gaussian").fit(x, y)


def test_a_key_of_another_choice_is_said_to_be_one(tmp_path):
    named = (
        "unlearner.releases: no such key of this unlearner (it is one of newton_corrected, noisy_finetune)"
    )
    refused("unlearner=newton", "unlearner.releases=5", cwd=tmp_path, named=named, allowed="epsilon")


def test_a_sweep_that_is_refused_leaves_no_folder(tmp_path):
    grid = ("unlearner=newton,newton_corrected", "unlearner.releases=5", "hydra.sweep.dir=sweep")
    ended = cli.expunge("-m", *SMALL, *grid, cwd=tmp_path)
    assert ended.code == 2
    assert "unlearner.releases" in ended.err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(("std", "much"), [(10.0, True), (1e-2, False), (None, False)])
def test_noise_that_drowns_the_model_is_said(tmp_path, std, much):
    """What was a good ``std`` in the loss, as published, is far too much in the weights."""
    value = "null" if std is None else std
    ended = cli.expunge(
        *SMALL, f"unlearner.std={value}", "removal.count=2", "hydra.run.dir=run", cwd=tmp_path
    )
    assert ended.code == 0, ended.err
    assert ("drowns a model that is no longer than 37.2" in ended.out) == much
    x, y = load_digits(n_class=2, return_X_y=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CertifiedLogisticRegression(lam=1e-3, std=std, random_state=0).fit(x, y)
    assert [str(one.message).startswith("noise of std 10 in each weight drowns") for one in caught] == [
        True
    ] * much
