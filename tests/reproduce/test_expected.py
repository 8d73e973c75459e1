"""What was published: every row names experiments that exist, cells they sweep, figures a run leaves."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import OmegaConf

from expunge.app import config_dir
from expunge.core.errors import DataError
from expunge.extractors.dp_trained import DpTrained
from expunge.record.ledger import KEYS
from expunge.record.summary import summarise
from expunge.reproduce.expected import Comparison, Value, expected_files, read_expected
from expunge.reproduce.sweep_cells import lookup
from expunge.studies.bullseye import Bullseye
from expunge.studies.codec_speed import CodecSpeed
from expunge.studies.leak import Leak
from expunge.studies.outliers import Outliers
from expunge.studies.residual_bounds import ResidualBounds
from expunge.studies.spurious import Spurious
from tests.studies.drawn_faces import SETTINGS, written

PAPERS = {
    "icml2020": [
        *("mnist_grid", "mnist_tradeoff", "mnist_releases", "mnist_bounds", "mnist_outliers", "timing"),
        *("svhn_dp", "cifar_dp", "public_features", "public_features_retrained"),
        *("public_features_std", "public_text", "public_dp"),
        "leak",
        *("mnist_corrected", "mnist_release", "mnist_release_retrained"),
    ],
    "cvpr2022": [
        *("codec_speed", "codec_speed_celeba", "bullseye", "spurious"),
        *("mnist_selection", "cifar_models", "retrain", "retrain_cifar", "retrain_vgg11", "kfac"),
        *("vggface", "people", "reid", "ledgar_certified", "ledgar"),
    ],
}
ROWS = [(paper, name) for paper, names in PAPERS.items() for name in names]
EXPECTED = {paper: read_expected(path) for paper, path in expected_files().items()}
NOT_YET: list[str] = []


def spurious() -> Spurious:
    """The study over drawn faces, which it has read by the end of this."""
    with TemporaryDirectory() as folder:
        written(Path(folder), np.random.default_rng(0))
        return Spurious(**SETTINGS, data_dir=folder)


# Smallest settings whose summaries have every key of the full study's.
STUDIES = {
    "codec_speed": lambda: CodecSpeed(n=60, p=4, attributes=1),
    "codec_speed_celeba": lambda: CodecSpeed(n=60, p=4, attributes=1),
    "bullseye": lambda: Bullseye(
        n=40, dim=1, replicates=2, methods=["codec", "lcodec"], readings=["grow_shrink"]
    ),
    "mnist_bounds": lambda: ResidualBounds("digits_3v8", removals=20, points=2),
    "mnist_outliers": lambda: Outliers("digits_3v8", show=3),
    "leak": lambda: Leak(draws=4),
    "spurious": spurious,
}


def test_the_rows_are_those_of_the_papers_in_their_order():
    assert {paper: list(rows) for paper, rows in EXPECTED.items()} == PAPERS
    assert [name for rows in EXPECTED.values() for name, row in rows.items() if row.not_yet] == NOT_YET


@cache
def composed(experiment: str, *overrides: str) -> dict:
    values = [f"+experiment={experiment}", *overrides]
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        config = compose("config", overrides=values, return_hydra_config=True)
        return OmegaConf.to_container(config, resolve=False)


def swept(experiment: str) -> dict[str, list[str]]:
    """Key -> values of the experiment's own sweep."""
    params = composed(experiment)["hydra"]["sweeper"]["params"] or {}
    return {key: [value.strip() for value in str(values).split(",")] for key, values in params.items()}


@cache
def study_summary(name: str) -> dict:
    study = STUDIES[name]()
    summary = study.summary([{**cell, **study.run_cell(cell, 0)} for cell in study.cells()])
    if name == "bullseye":  # the method of the optional package
        summary["rows"].append({**summary["rows"][-1], "method": "cmiknn"})
    return summary


@cache
def run_keys(experiment: str) -> tuple[set[str], set[str]]:
    """Keys of the summary and of the records that a run of this experiment has."""
    models = [f"model={name}" for name in swept(experiment).get("model", [])]
    config = composed(experiment, *models[:1])
    columns = [c for settings in config["metrics"].values() for c in get_class(settings["_target_"]).COLUMNS]
    place = ("dataset", "extractor", "model", "unlearner", "seed", "n_train", "n_test", "releases")
    facts = dict.fromkeys(place)
    record = {**dict.fromkeys([*KEYS, *columns]), "outcome": "removed", "seconds": 1.0}
    released = "releases" in config["unlearner"]
    noise = dict.fromkeys(("releases", "std", "sensitivity", "released", "epsilon_spent") if released else ())
    summary = summarise([record], {**facts, "noise": noise, "seconds_fit": 1.0})
    private = config["hydra"]["runtime"]["choices"]["extractor"].startswith("dp")
    own = inspect.getsource(DpTrained) if private else ""
    extracted = {word for word in own.split('"') if word.startswith("extractor_")}
    return {*summary, *extracted}, set(record)


@pytest.mark.parametrize(("paper", "name"), ROWS)
def test_row_is_whole(paper, name):
    row = EXPECTED[paper][name]
    assert row.experiment == f"{paper}/{name}"
    assert row.what
    assert not row.what.endswith(".")
    assert (config_dir() / "experiment" / f"{row.experiment}.yaml").is_file()
    for check in row.checks:
        compared = check.comparison is not None
        assert compared or check.not_run or row.not_yet, check.quantity


COMPARED = [(p, n) for p, n in ROWS if any(check.comparison for check in EXPECTED[p][n].checks)]


def comparisons(paper: str, name: str) -> list[Comparison]:
    """Those that the experiment's own sweep is there for."""
    return [c.comparison for c in EXPECTED[paper][name].checks if c.comparison and not c.not_run]


def values_in(it: Comparison) -> list[Value]:
    own = [it.ours, *(limit for limit in it.expect.limits if isinstance(limit, Value))]
    return [*own, *(value.over for value in own if value.over)]


@pytest.mark.parametrize(("paper", "name"), COMPARED)
def test_its_figures_are_there(paper, name):
    for value in (value for it in comparisons(paper, name) for value in values_in(it)):
        if name in STUDIES:
            assert isinstance(lookup(study_summary(name), value.key), (bool, int, float)), value.key
        else:
            summary, records = run_keys(f"{paper}/{name}")
            assert value.key in (summary if value.at is None else records)


@pytest.mark.parametrize(("paper", "name"), COMPARED)
def test_its_cells_are_swept(paper, name):
    grid = swept(f"{paper}/{name}")
    for check in EXPECTED[paper][name].checks:
        if check.comparison and check.not_run:  # left out, as it says
            assert any(str(v) not in grid[key] for key, v in check.comparison.where.items()), check.quantity
    for it in comparisons(paper, name):
        wheres = [it.where, *(value.where for value in values_in(it))]
        for key, value in (item for where in wheres for item in where.items()):
            assert str(value) in grid[key] or float(value) in map(float, grid[key])
        for value in values_in(it):  # settings of the check that its partner leaves open are no longer fixed
            assert not value.where or it.where.keys() <= value.where.keys(), value.where
        if along := it.expect.options.get("along"):
            places = [float(place) for place in grid[along]]
            assert places == sorted(set(places))
            assert len(places) > 1


ROW = "a:\n  {experiment: e, what: w, source: recalled, checks: [%s]%s}\n"
WHOLE = "{quantity: q, published: p, ours: k, expect: {at_most: 1}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\n", "a: got 1, allowed: a mapping"),
        ("a: {experiment: e}\n", "a: checks, source, what missing"),
        (ROW % (WHOLE, ", colour: red"), "a: got colour, allowed: checks, "),
        (ROW % ("", ""), "a: checks: got [], allowed: a list of one or more"),
        (ROW % ("{quantity: q, published: p}", ""), "a: check 1: expect, ours missing"),
        (ROW % (f"{WHOLE}, {{quantity: q, published: p, ours: k}}", ""), "a: check 2: expect missing"),
        (ROW % (WHOLE.replace("at_most", "under"), ""), "check 1: expect: got {'under': 1}, allowed: one of"),
        (ROW % (WHOLE.replace("at_most: 1", "between: 1"), ""), "expect: between: got 1, allowed: a list of"),
        (ROW % (WHOLE.replace("at_most: 1", "near: {value: 1}"), ""), "allowed: one of by and factor"),
        (
            ROW % (WHOLE.replace("at_most: 1", "monotone: {along: x, direction: left}"), ""),
            "expect: monotone: direction: got 'left', allowed: up or down",
        ),
        (ROW % (WHOLE.replace("ours: k", "ours: {at: 3}"), ""), "check 1: ours: key missing"),
        (ROW % (WHOLE.replace("published: p", "published: p, source: hearsay"), ""), "source: got 'hearsay'"),
    ],
)
def test_a_broken_entry_is_named(tmp_path, text, said):
    path = tmp_path / "expected.yaml"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_expected(path)
    assert str(error.value).startswith(f"{path}: a: ")
    assert said in str(error.value)


def test_an_entry_as_documented_is_read(tmp_path):
    path = tmp_path / "expected.yaml"
    path.write_text(ROW % (WHOLE, ", needs: data, figures: [one, 'two*']"))
    row = read_expected(path)["a"]
    assert (row.needs, row.figures, row.not_yet) == ("data", ("one", "two*"), None)
    (check,) = row.checks
    assert (check.source, check.comparison.ours.key, check.comparison.expect.limits) == (
        "recalled",
        "k",
        (1,),
    )


def test_the_papers_are_those_of_the_checkout():
    root = Path(__file__).parents[2] / "experiments"
    assert expected_files() == {paper: root / paper / "expected.yaml" for paper in sorted(PAPERS)}
