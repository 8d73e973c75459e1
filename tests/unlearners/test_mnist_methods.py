"""Methods for networks on real digits: what they reach beside doing nothing and training again (ToW)."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.datasets import mnist
from expunge.datasets.images import Images
from expunge.metrics import View
from expunge.metrics.tow import Tow
from expunge.models import Mlp
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training
from tests.unlearners.test_method_page import settings

REACHED = {  # of three seeds the least, less what another order of sums may cost
    **{"finetune": 0.95, "gradient_ascent": 0.7, "neggrad": 0.96, "scrub_kd": 0.9, "salun": 0.96},
    **{"random_labels": 0.96, "bad_teacher": 0.9, "delete": 0.93, "ssd": 0.95, "l1_sparse": 0.95},
    **{"cfk": 0.95, "euk": 0.97, "unsir": 0.95},
}
CLASS = 3


@pytest.fixture(scope="module")
def digits(shared_data):
    found = mnist.load(data_dir=shared_data, train_rows=10_000)
    return [Images.of(x, found.unit, found.offset) for x in (found.x_train, found.x_test[:2000])], found


@pytest.fixture(scope="module")
def trained(digits):
    """A network that knows its rows by heart, and the one without the class."""
    (x, _), found = digits
    learner = Learner(
        Mlp(), Training(epochs=20, lr=0.1, weight_decay=5e-4), "cpu", None, progress=False, threads=1
    )
    model = NetworkModel(learner)
    model.fit(x, found.y_train, 0)
    return model, model.retrained(x, found.y_train, np.flatnonzero(found.y_train != CLASS))


@pytest.mark.parametrize("name", ["none", *REACHED])
def test_a_class_leaves(name, digits, trained):
    (x, x_test), found = digits
    original, reference = trained
    model = NetworkModel(original.learner)
    model.load_state(original.state(), x, found.y_train)
    forget = found.y_train == CLASS
    if name != "none":
        values, kind = settings(name)
        method = kind(model, **values)
        method.validate_on(x_test, found.y_test[:2000])
        assert method.remove(np.flatnonzero(forget).tolist()).outcome == "removed"
    view = View(model, x, found.y_train, x_test, found.y_test[:2000], forget)
    view.__dict__["reference"] = reference  # trained once for all
    reached = Tow()(view)["tow"]
    assert reached < 0.1 if name == "none" else reached > REACHED[name]
