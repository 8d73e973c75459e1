"""Metrics of a linear model that a class has left, and of one whose class was to leave and has not."""

from __future__ import annotations

import json
from math import inf

import numpy as np
import pytest
from safetensors.numpy import load_file

from expunge.certificate.composition import Claim, Total, Upstream, total
from expunge.linear.rows import Rows
from expunge.metrics import View
from expunge.metrics.accuracy import Accuracy
from expunge.metrics.forgetting import Forgetting
from expunge.metrics.identity import Identity, IdentityReference
from expunge.metrics.retained import Retained
from expunge.metrics.retrained import Retrained
from expunge.metrics.sample import Sample
from expunge.unlearners.newton import Newton
from expunge.unlearners.none import NoOp
from expunge.unlearners.retrain import Retrain
from tests import cli
from tests.problems import method

METRICS = (Accuracy, Forgetting, Identity, IdentityReference, Retained, Retrained, Sample)
PUBLIC = "the list of classes is public"
ALL = "metrics=[accuracy,residual,sample,retained,retrained,forgetting,identity,linear_probe]"


def table(classes, n=120):
    """Training and test rows about a direction of their class; labels are 5, 7, 9, ..."""
    rng = np.random.default_rng(0)
    y = np.arange(2 * n) % classes
    x = rng.normal(size=(2 * n, 6)) + 3 * np.eye(6)[y]
    rows = Rows.normalised(x)
    labels = 2 * y + 5
    return Rows.normalised(x[:n]), labels[:n], Rows.normalised(x[n:]), labels[n:], rows


def served(kind, classes, gone, **how):
    """A model after a request for all rows of some labels, as metrics see it, and what they say of it."""
    x, y, x_test, y_test, _ = table(classes)
    model = method(kind, lam=1e-2, std=1e-3, **how)
    model.fit(x, y, 0)
    rows = np.flatnonzero(np.isin(y, gone))
    metrics = [metric() for metric in METRICS]
    asked = tuple(rows.tolist())
    before = View(model.predictor, x, y, x_test, y_test, np.zeros(len(y), dtype=bool), asked)
    metrics[-1].before(before)
    outcome = model.remove(rows)
    view = View(model.predictor, x, y, x_test, y_test, np.isin(np.arange(len(y)), rows), asked)
    return outcome, {name: value for metric in metrics for name, value in metric(view).items()}


@pytest.mark.parametrize(("classes", "gone"), [(3, [9]), (3, [5]), (4, [7, 11]), (5, [9])])
@pytest.mark.parametrize("kind", [Newton, Retrain])
def test_nothing_of_a_class_that_has_left_is_known(kind, classes, gone):
    """As the retrained model, which has not that class either."""
    how = {"update": "corrected", "certificate": "measured"} if kind is Newton else {}
    outcome, found = served(kind, classes, gone, **how)
    assert outcome.outcome != "refused"
    for prefix in ("", "retrain_"):
        assert found[f"{prefix}forget_accuracy"] == 0
        assert found[f"{prefix}identity_train_accuracy"] == found[f"{prefix}identity_test_accuracy"] == 0
        assert found[f"{prefix}retain_accuracy"] > 0.9
    assert found["test_accuracy"] == found["retrain_test_accuracy"] < 1 - len(gone) / (classes + 1)
    assert found["completeness"] == 1
    assert found["retrain_disagreement"] == 0
    assert found["retrain_weight_distance"] < 1e-3
    assert max(found[f"retrain_{how}_{on}"] for how in ("js", "kl") for on in ("test", "forget")) < 1e-6
    assert found["membership_auc"] == found["retrain_membership_auc"] == 0.5, "all are as wrong as can be"
    assert found["sample_loss_after"] > np.log(2)
    assert all(value is None or -inf < value < inf for value in found.values())


@pytest.mark.parametrize(("classes", "gone"), [(3, [9]), (3, [5]), (5, [9])])
def test_a_model_that_keeps_a_class_is_compared_with_one_that_has_not_that_class(classes, gone):
    _, found = served(NoOp, classes, gone)
    assert found["forget_accuracy"] > 0.9
    assert found["retrain_forget_accuracy"] == 0
    assert found["completeness"] < 0.1
    assert found["retrain_js_forget"] > 0.1
    assert found["retrain_weight_distance"] > 0.01
    assert all(value is None or -inf < value < inf for value in found.values())


@pytest.mark.parametrize("kind", [Newton, Retrain, NoOp])
def test_of_two_classes_one_has_no_retrained_model_to_be_compared_with(kind):
    outcome, found = served(kind, 2, [7])
    assert outcome.outcome == "refused"
    assert found["forget_accuracy"] > 0.9
    of_reference = {name for name in found if name.startswith("retrain_")} | {"completeness"}
    assert {found[name] for name in of_reference} == {None}
    assert found["rest_train_kept"] == 1


# -- runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unlearner", ["newton_corrected", "retrain"])
def test_a_run_that_removes_a_class_is_continued_and_measured(tmp_path, unlearner):
    """Some rows, then all of class 3: what is killed in between ends as what was not."""
    given = ["dataset=digits", f"unlearner={unlearner}", ALL, "figures=false", "threads=1"]
    rows = cli.expunge(*given, "removal=class", "removal.class=3", "removal.batch_size=200", cwd=tmp_path)
    assert rows.code == 0, rows.err
    (run,) = (path.parent for path in tmp_path.rglob("summary.json"))
    first, summary = cli.records(run)[-1], cli.summary(run)
    assert first["forget_accuracy"] == 0
    assert summary["retrain_forget_accuracy"] == 0
    arrays = load_file(run / "model.safetensors")
    assert {array.shape for array in arrays.values()} == {(64, 9)}
    no_certificate = "the unlearner gives no certificate"
    assert summary["not_covered"] == summary.get("guarantee", no_certificate)  # figures only: a seed is known
    assert ("guarantee" in summary) == (unlearner == "newton_corrected")
    asked = [first["rows"][:-1], first["rows"][-1:], [0 if 0 not in first["rows"] else 1]]
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    given += ["removal=rows", f"removal.rows={tmp_path / 'asked.json'}", "checkpoint_every=2"]
    whole = cli.completed(*given, folder=tmp_path / "whole")
    begun = tmp_path / "begun"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("expunge.run.session.Session.facts", _interrupted)
        assert cli.expunge(*given, f"hydra.run.dir={begun}", cwd=tmp_path).code != 0
    ledger = (begun / "removals.jsonl").read_bytes().splitlines(keepends=True)
    (begun / "removals.jsonl").write_bytes(b"".join(ledger[:2]))
    assert cli.served(begun) == 2
    ended = cli.expunge(*given, "resume=true", f"hydra.run.dir={begun}", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert cli.ledger(begun) == cli.ledger(whole)
    assert (begun / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def _interrupted(session):
    raise KeyboardInterrupt


def test_a_run_of_a_network_says_that_its_classes_are_public(tmp_path):
    small = ("model=mlp", "model.hidden=[4]", "training.epochs=1", "removal.count=1")
    for unlearner in ("none", "gradient_ascent"):
        run = cli.completed(*cli.SMALL, *small, f"unlearner={unlearner}", folder=tmp_path / unlearner)
        said = cli.summary(run)["not_covered"]
        assert said.startswith(f"the unlearner gives no certificate; {PUBLIC}")
        assert "guarantee" not in cli.summary(run)


def test_all_that_is_not_covered_is_said():
    both = Upstream(not_covered="the extractor has seen the rows")
    public = Claim(not_covered=PUBLIC)
    assert total(both, None, None, public) == Total(
        None, None, f"the extractor has seen the rows; the unlearner gives no certificate; {PUBLIC}"
    )
    assert total(both, 1.0, 1e-4, public).not_covered == f"the extractor has seen the rows; {PUBLIC}"
    assert total(Upstream(0.5, 0.0), 1.0, 1e-4, public) == Total(1.5, 1e-4, PUBLIC)
    no_more = Claim("as published", "as published", holds=False)
    assert total(Upstream(0.5, 0.0), 1.0, 1e-4, no_more) == Total(None, None, "as published")
    assert Claim() == Claim(None, None)
    assert not method(Newton).claim().holds
