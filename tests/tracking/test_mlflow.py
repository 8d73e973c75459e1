"""MLflow over its own database: what its client finds is what the run's files hold."""

from __future__ import annotations

from typing import Any

import pytest

from expunge.core.errors import InvalidValue, UserError
from expunge.tracking.mlflow import MlflowTracker
from expunge.tracking.needed import needed
from tests import cli
from tests.cli import SMALL

pytest.importorskip("mlflow")
pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")


def runs_of(uri: str) -> tuple[Any, list[Any]]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("expunge")
    return client, client.search_runs([experiment.experiment_id], order_by=["attribute.start_time"])


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'runs.db'}"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, database):
    folder = tmp_path_factory.mktemp("flowed") / "run"
    values = (*SMALL, "tracker=mlflow", f"tracker.tracking_uri={database}", "removal.count=3")
    ended = cli.expunge(*values, f"hydra.run.dir={folder}", cwd=folder.parent)
    assert ended.code == 0, ended.err
    assert not (folder.parent / "mlruns").exists()
    return folder


def test_the_run_is_the_ledger_field_by_field(run_folder, database):
    client, (run,) = runs_of(database)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    records = cli.records(run_folder)
    numbers = {key for r in records for key, value in r.items() if isinstance(value, (int, float))}
    assert {key for key in run.data.metrics if not key.startswith("summary.")} == numbers - {"request"}
    before = cli.before(run_folder)
    for key in numbers - {"request"}:
        sent = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, key)]
        assert sent == [(r["request"], r[key]) for r in (before, *records) if r.get(key) is not None]


def test_summary_and_settings_are_those_of_the_run_but_for_seeds(run_folder, database):
    _, (run,) = runs_of(database)
    for key, value in cli.summary(run_folder).items():
        if key in ("seed", "columns"):
            assert f"summary.{key}" not in {**run.data.metrics, **run.data.tags}
        elif isinstance(value, (int, float)):
            assert run.data.metrics[f"summary.{key}"] == value
        elif not isinstance(value, dict) or not value:
            assert run.data.tags[f"summary.{key}"] == str(value)
    assert run.data.params["unlearner.name"] == "newton_corrected"
    assert not [key for key in run.data.params if "seed" in key]


def test_a_run_that_fails_or_is_interrupted_is_ended_as_such(tmp_path):
    uri = f"sqlite:///{tmp_path / 'runs.db'}"
    for error in (ValueError, KeyboardInterrupt):
        tracker = MlflowTracker(uri)
        tracker.start({"a": {"b,c": 1}}, tmp_path / error.__name__, "sweep")
        with pytest.raises(error), tracker:
            raise error
    _, found = runs_of(uri)
    by_name = {run.info.run_name: run for run in found}
    assert by_name["ValueError"].info.status == "FAILED"
    assert by_name["KeyboardInterrupt"].info.status == "KILLED"
    assert by_name["ValueError"].data.tags["sweep"] == "sweep"
    assert by_name["ValueError"].data.params == {"a.b_c": "1"}


def test_what_is_no_text_is_refused():
    with pytest.raises(InvalidValue, match="tracking_uri: got 3, allowed: a text, or null"):
        MlflowTracker(3)  # type: ignore[arg-type]


def test_a_package_that_is_not_there_is_named_with_the_extra_that_brings_it():
    with pytest.raises(UserError, match=r"tracker: needs the package nowhere, .*'expunge\[extra\]'"):
        needed("nowhere.at.all", "nowhere", "extra")
