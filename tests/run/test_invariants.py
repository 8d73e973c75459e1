"""What must always hold is looked at before it is recorded, released or read back."""

from __future__ import annotations

import json
import re
import shutil
import sys
import types
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge import CertifiedLogisticRegression
from expunge.certificate import bounds
from expunge.certificate.composition import Upstream, total
from expunge.core.errors import BrokenInvariant, RunFolderError
from expunge.core.files import State
from expunge.extractors.accounting import Accounting
from expunge.predictors import Predictor
from expunge.record.account import RequestAccount
from expunge.report import read_run
from expunge.testing import CheckFailed, check_unlearner
from expunge.unlearners import Method, Outcome, updated
from expunge.unlearners.invariants import require_outcome
from expunge.unlearners.newton import Newton
from tests import cli
from tests.problems import labels, make, method

PLUGIN = "expunge_plugins.faulty"
SOUND = {"residual_bound": 0.2, "residual_measured": 0.1, "budget": 1.0, "epsilon_spent": 0.2}
FAULTS = {
    "measured": ({"residual_measured": 0.5}, "residual_measured is 0.5, .*residual_bound, which is 0.2"),
    "bound": ({"residual_bound": 1.5}, "residual_bound is 1.5, .*budget, which is 1.0"),
    "epsilon": ({"epsilon_spent": 2.0}, "epsilon_spent is 2.0, .*epsilon, which is 1.0"),
    "nan": ({"residual_bound": nan}, "residual_bound is nan, .*finite"),
    "infinite": ({"budget": inf}, "budget is inf, .*finite"),
    "negative": ({"residual_measured": -1e-9}, "residual_measured is -1e-09, .*finite number >= 0"),
    "bool": ({"residual_bound": True}, "residual_bound is True, .*finite number"),
    "text": ({"epsilon_spent": "0.1"}, "epsilon_spent is '0.1', .*finite number"),
    "word": ({"outcome": "deleted"}, "outcome is 'deleted', .*one of removed, retrained, refused"),
    "rows": ({"rows": (1, 2, 3)}, r"rows is \(1, 2, 3\), .*those requested"),
    "no rows": ({"rows": None}, "rows is None, .*those requested"),
    "figures": ({"figures": {"removed_total": 0.0}}, r"figures is \['removed_total'\]"),
    "no figures": ({"figures": None}, "figures is None, .*numbers by name"),
    "listed": ({"figures": [1.0]}, r"figures is \[1.0\], .*numbers by name"),
    "nothing": (None, r"what remove\(\) returns is 'NoneType', .*an Outcome"),
}


class Faulty:
    """A plug-in that is right twice and then wrong in what ``fault`` says."""

    guarantee = types.SimpleNamespace(epsilon=1.0, delta=1e-4)

    def __init__(self, fault: str, name: str, **others) -> None:
        self.fault, self.name = fault, name

    def fit(self, x, y, seed):
        self.y, self.served = y, 0

    def remove(self, rows):
        self.served += 1
        changed = FAULTS[self.fault][0] if self.served == 3 else {}
        return (
            None
            if changed is None
            else Outcome(**{"outcome": "removed", "rows": tuple(rows), **SOUND, **changed})
        )

    def predict(self, x):
        return np.full(len(x), self.y[0])

    def residual(self):
        return None

    def model(self):
        return {"w": np.zeros(1)}

    def state(self):
        return State(values={"served": self.served})

    def load_state(self, state, x, y):
        self.y, self.served = y, state.values["served"]


class Forgetful(Method):
    """Says that rows are removed, and leaves them where they are."""

    supports = ("logistic",)

    def __init__(self, model: Predictor, name: str = "forgetful") -> None:
        super().__init__(model, name)

    def remove(self, rows):
        return Outcome("removed", tuple(self.predictor.checked(rows).tolist()))


@pytest.fixture
def plugins(monkeypatch):
    module = types.ModuleType(PLUGIN)
    module.Faulty, module.Forgetful = Faulty, Forgetful
    for own in (Faulty, Forgetful):  # a part of a plug-in is what it defines itself
        monkeypatch.setattr(own, "__module__", PLUGIN)
    monkeypatch.setitem(sys.modules, "expunge_plugins", types.ModuleType("expunge_plugins"))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def run(folder: Path, *more: str) -> cli.Ended:
    how = ("removal.count=5", "metrics=[]", "checkpoint_every=1", f"hydra.run.dir={folder}")
    return cli.expunge(*cli.SMALL, *how, *more, cwd=folder.parent)


def recorded(folder: Path) -> int:
    return len((folder / "removals.jsonl").read_text().splitlines())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_stops_before_it_records_what_cannot_be(fault, tmp_path, plugins):
    folder = tmp_path / "run"
    how = (
        "unlearner=none",
        "unlearner._target_=expunge_plugins.faulty.Faulty",
        f"+unlearner.fault={fault!r}",
    )
    for more in ((), ("resume=true",)):
        ended = run(folder, *how, *more)
        assert ended.code == 1
        assert ended.err.count("\n") == 1
        assert re.search(f"request 3: {FAULTS[fault][1]}", ended.err), ended.err
        assert recorded(folder) == 2
        assert (folder / cli.CHECKPOINT).exists()
        assert not (folder / "summary.json").exists()


def test_rows_that_a_method_keeps_are_not_recorded_as_removed(tmp_path, plugins):
    ended = run(tmp_path / "run", "unlearner=none", f"unlearner._target_={PLUGIN}.Forgetful")
    assert ended.code == 1
    assert re.search(r"request 1: rows of the model is (\d+), and must be \d+, those of the req", ended.err)
    assert recorded(tmp_path / "run") == 0


def test_a_residual_that_a_metric_finds_above_the_bound_stops_the_run(tmp_path, monkeypatch):
    """The published update, its bound left out: what the metric measures tells."""
    monkeypatch.setitem(bounds.INCREMENTS, "data_dependent", lambda facts: 0.0)
    ended = run(tmp_path / "run", "unlearner=newton", "metrics=[residual]", "unlearner.std=1")
    assert ended.code == 1
    assert "request 1: residual_measured is " in ended.err
    assert ", and must be at most residual_bound, which is " in ended.err
    assert recorded(tmp_path / "run") == 0


@pytest.mark.parametrize("at_limit", ["retrain", "refuse"])
def test_a_model_above_its_bound_is_not_released(at_limit, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 4)), np.arange(100) % 3
    how = {"perturbation": "gaussian", "certificate": "third_order", "at_limit": at_limit}
    model = CertifiedLogisticRegression(lam=1e-2, std=0.1, **how, random_state=0).fit(x, y)
    assert model.remove([1]).outcome == "removed"
    before = model._engine_.state()
    monkeypatch.setitem(bounds.INCREMENTS, "third_order", lambda facts: 0.0)
    with pytest.raises(BrokenInvariant, match=r"residual_measured is .* at most residual_bound, which is"):
        model.remove([2, 3])
    after = model._engine_.state()
    assert after.values == before.values
    assert all(np.array_equal(after.arrays[name], array) for name, array in before.arrays.items())
    monkeypatch.undo()
    assert model.remove([2, 3]).outcome == "removed"


@pytest.mark.parametrize("beta", [1e-3, inf, nan])
def test_a_model_that_the_noise_does_not_cover_is_not_released(beta, monkeypatch):
    """Nothing of it is said, not even by how much."""
    rng = np.random.default_rng(0)
    model = CertifiedLogisticRegression(lam=1e-2).fit(rng.normal(size=(100, 4)), np.arange(100) % 3)
    assert model.remove([1]).outcome == "removed"
    out, before = model.coef_.tobytes(), model.certificate_
    assert before.budget < 1e-3

    def far_off(column, target):
        return replace(column, account=replace(column.account, beta=beta))

    with monkeypatch.context() as patch:
        patch.setattr(updated, "_held", far_off)
        with pytest.raises(
            BrokenInvariant, match=r"^the model is 'farther off', and must be within \S+ of the"
        ):
            model.remove([2, 3])
    assert (model.coef_.tobytes(), model.certificate_) == (out, before)
    assert model.retained_[[2, 3]].all()
    assert model.remove([2, 3]).outcome == "removed"


def of_a_release(rows, wrong):
    changed = [{"residual_bound": 1.1}, {"epsilon_spent": 1.1}, {"rows": rows[:1] * 2}]
    return [*changed, *({"rows": [*rows[1:], row]} for row in wrong)]


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_an_account_takes_what_agrees_and_nothing_else(data):
    """Any one number of a record changed is found, and a record that is not taken changes nothing."""
    n, account, gone = 40, RequestAccount(40, 1.0), 0
    order = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(n).tolist()
    for number in range(1, data.draw(st.integers(2, 6))):
        rows = [order.pop() for _ in range(data.draw(st.integers(1, 3)))]
        outcome = data.draw(st.sampled_from(["removed", "retrained", "refused"]))
        gone += 0 if outcome == "refused" else len(rows)
        record = {"request": number, "rows": rows, "outcome": outcome, **SOUND}
        record |= {"removed_total": gone, "retained": n - gone}
        left = sorted(account.gone)
        changed = data.draw(
            st.sampled_from(
                [
                    {"request": number + 1},
                    {"request": number - 1},
                    {"removed_total": gone + 1},
                    {"retained": n - gone - 1},
                    {"residual_measured": 0.3},
                    {"outcome": "gone"},
                    {"residual_bound": None, "budget": nan},
                    *([{"residual_bound": 1.1}, {"epsilon_spent": 1.1}] if outcome != "refused" else []),
                    *(
                        [{"rows": [*rows[1:], bad]} for bad in (n, -1, *left[:1])]
                        if outcome != "refused"
                        else []
                    ),
                    *([{"rows": rows[:1] * 2, "removed_total": gone}] if outcome != "refused" else []),
                ]
            )
        )
        with pytest.raises(BrokenInvariant):
            account.add(record | changed)
        account.add(record)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert run(folder, "unlearner=newton_corrected").code == 0
    return folder


@pytest.mark.parametrize(
    ("line", "changed", "message"),
    [
        (
            2,
            {"residual_bound": 0.0},
            r"removals\.jsonl:2: residual_measured is .*residual_bound, which is 0.0",
        ),
        (1, {"budget": 1e-12}, r"removals\.jsonl:1: residual_bound is .*budget, which is 1e-12"),
        (4, {"removed_total": 3}, r"removals\.jsonl:4: removed_total is 3, and must be 4"),
        (5, {"retained": 0}, r"removals\.jsonl:5: retained is 0"),
        (3, {"request": 4}, r"removals\.jsonl:3: request is 4"),
        (3, {"epsilon_spent": 1.5}, r"removals\.jsonl:3: epsilon_spent is 1.5, .*epsilon, which is 1"),
        (None, {"removed": 4}, r"summary\.json:1: removed is 4, and must be 5"),
        (None, {"refused": 1}, r"summary\.json:1: refused is 1, and must be 0"),
    ],
)
def test_a_run_that_cannot_have_been_is_not_read(finished, tmp_path, line, changed, message):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    path = folder / ("removals.jsonl" if line else "summary.json")
    lines = path.read_text().splitlines() if line else [path.read_text()]
    at = (line or 1) - 1
    lines[at] = json.dumps(json.loads(lines[at]) | changed)
    path.write_text("\n".join(lines) + "\n")
    cli.resum(folder / "removals.jsonl")
    cli.resum_summary(folder)
    with pytest.raises(RunFolderError, match=message):
        read_run(folder)


def test_rows_removed_twice_are_not_read(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    path = folder / "removals.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[3]["rows"] = lines[0]["rows"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    cli.resum(path)
    with pytest.raises(RunFolderError, match=r"removals\.jsonl:4: rows is \d+, .* not left before"):
        read_run(folder)


@pytest.mark.parametrize("cost", [(nan, 1e-5), (1.0, nan), (-1.0, 0.0), (inf, 0.0)])
def test_a_total_of_no_number_is_none(cost):
    with pytest.raises(BrokenInvariant, match="extractor_"):
        total(Upstream(*cost), 1.0, 1e-4)


def test_noise_is_not_chosen_by_an_epsilon_that_is_no_number(monkeypatch):
    monkeypatch.setattr(Accounting, "epsilon", lambda self, noise, steps: nan if noise < 2 else 0.5)
    found = Accounting(1000, 100, 1e-5).noise_multiplier(1.0, 10)
    assert found >= 2


class Boastful(Newton):
    """Says that its residual is smaller than it is."""

    def remove(self, rows):
        return replace(super().remove(rows), residual_bound=1e-30, residual_measured=None)


def test_check_unlearner_measures_what_a_bound_is_of():
    from expunge.linear.rows import Rows
    from expunge.predictors.linear import LinearModel

    with pytest.raises(CheckFailed, match=r"residual_measured is .* at most residual_bound, which is 1e-30"):
        check_unlearner(lambda: Boastful(LinearModel(std=1.0), update="corrected"), inputs=Rows.normalised)


def test_newton_says_what_it_refuses_to_release(monkeypatch):
    """Also one that has been retrained at the limit."""
    problem = make(3, n=60, d=4, lam=1e-2)
    model = method(Newton, lam=problem.lam, std=1.0)
    model.fit(problem.rows, labels(problem), 0)
    model.guarantee = type(model.guarantee)(1e-7, 1e-4, 1.0, 4)
    learned = model.scheme._learned

    def wrong(*given):
        columns, reports = learned(*given)
        (column,) = columns
        return [type(column)(**{**vars(column), "gradient": column.gradient + 1.0})], reports

    monkeypatch.setattr(model.scheme, "_learned", wrong)
    w = model.predictor.w
    with pytest.raises(BrokenInvariant, match="residual_measured"):
        model.remove([1])
    assert model.predictor.w is w
    assert model.predictor.kept.all()


@pytest.mark.parametrize(
    "rows", ["1", ("1",), (1.0,), (1.9,), (True,), np.array([True]), (inf,), (nan,), (-1,)]
)
def test_ids_that_are_no_whole_numbers_are_not_those_requested(rows):
    with pytest.raises(BrokenInvariant, match=r"^rows is .*, and must be those requested, \[1\]"):
        require_outcome(Outcome("removed", rows), [1])


@pytest.mark.parametrize("rows", [[1], np.array([1]), (np.uint8(1),), {1}, range(1, 2)])
def test_ids_may_be_held_by_anything(rows):
    assert require_outcome(Outcome("removed", rows), np.array([1])).rows is rows
