"""The command from end to end: what a run leaves, that it repeats, sweeps, and every YAML."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.numpy import load_file

from expunge.app import config_dir
from expunge.core.errors import InvalidValue
from expunge.core.files import load_header, load_state
from expunge.datasets import digits_3v8, mnist_3v8
from expunge.help import choices
from expunge.run.targets import build
from tests import cli
from tests.cli import SMALL

LINE = [
    *("request", "rows", "outcome", "reason", "removed_total", "retained"),
    *("residual_bound", "residual_measured", "budget", "epsilon_spent"),
    *("test_accuracy", "forget_accuracy", "retain_accuracy", "seconds", "memory_mb"),
]
SUMMARY = {
    *("columns", "inputs", "role"),
    *("dataset", "extractor", "model", "unlearner", "seed", "n_train", "n_test"),
    *("requests", "removed", "retrained", "refused", "removals_supported", "budget_exhausted"),
    *("test_accuracy_before", "test_accuracy_after", "residual_bound", "residual_measured"),
    *("budget", "epsilon", "delta", "seconds_fit", "seconds_removal_median", "seconds_removal_p95"),
    *(
        "epsilon_total",
        "delta_total",
        "not_covered",
        "peak_memory_mb",
        "memory_mb",
        "stored_bytes_row",
        "versions",
    ),
}
SAID = {  # beyond that, by the unlearner
    "newton": {"guarantee"},
    "published": {"guarantee"},
    "newton_corrected": {
        *("guarantee", "releases", "released", "epsilon_spent"),
        *("noise", "std", "sensitivity", "grid", "ratio"),
    },
    "retrain": set(),
    "none": set(),
}
SETTINGS = {  # newton removes some rows, and retrains for others
    "newton": ("unlearner=newton", "unlearner.std=100"),
    "published": ("unlearner=newton_corrected", "unlearner.perturbation=gaussian", "unlearner.std=100"),
    "newton_corrected": (),
    "retrain": ("unlearner=retrain", "unlearner.std=100"),
    "none": ("unlearner=none", "unlearner.std=100"),
}
TWELVE = (*SMALL, "unlearner.lam=1e-2", "removal.count=12", "removal.batch_size=2")
CERTIFIED = ("newton", "published", "newton_corrected")
IN_THE_OBJECTIVE = ("newton", "published", "retrain", "none")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Twelve requests of two rows each, by each unlearner."""
    folder = tmp_path_factory.mktemp("runs")
    return {u: cli.completed(*TWELVE, *values, folder=folder / u) for u, values in SETTINGS.items()}


# What a run leaves


@pytest.mark.parametrize("unlearner", SETTINGS)
def test_run_folder_holds_what_the_contract_lists(runs, unlearner):
    folder = runs[unlearner]
    assert set(cli.contents(folder)) == {
        *("removals.jsonl", "removals.sha256", "summary.json", "summary.sha256"),
        *("model.safetensors", "inputs.json"),
        *(
            f".hydra/{name}.{kind}"
            for name in ("config", "overrides", "hydra")
            for kind in ("yaml", "sha256")
        ),
        *({"state.safetensors"} if unlearner == "newton_corrected" else ()),
    }
    assert [list(record) for record in cli.records(folder)] == [LINE] * 12
    assert set(cli.summary(folder)) == SUMMARY | SAID[unlearner]
    model = load_file(folder / "model.safetensors")
    assert set(model) == {"weight"} | ({"perturbation"} if unlearner in IN_THE_OBJECTIVE else set())
    assert all(array.dtype == np.float64 and array.shape == (64,) for array in model.values())


def test_hydra_folder_says_what_was_run(runs):
    folder = runs["newton"] / ".hydra"
    config = OmegaConf.load(folder / "config.yaml")
    assert (config.unlearner.lam, config.removal.batch_size, config.seed) == (1e-2, 2, 0)
    assert "hydra" not in config
    assert "removal.count=12" in OmegaConf.load(folder / "overrides.yaml")
    assert OmegaConf.load(folder / "hydra.yaml").hydra.runtime.choices.unlearner == "newton"


@pytest.mark.parametrize("unlearner", SETTINGS)
def test_every_request_is_accounted_for(runs, unlearner):
    records, summary = cli.records(runs[unlearner]), cli.summary(runs[unlearner])
    outcomes = [record["outcome"] for record in records]
    counts = {outcome: outcomes.count(outcome) for outcome in ("removed", "retrained", "refused")}
    assert {outcome: summary[outcome] for outcome in counts} == counts
    assert sum(counts.values()) == summary["requests"] == 12
    assert [record["request"] for record in records] == list(range(1, 13))
    rows = [row for record in records for row in record["rows"]]
    assert len(set(rows)) == 24
    gone = np.cumsum([0 if outcome == "refused" else 2 for outcome in outcomes]).tolist()
    assert [record["removed_total"] for record in records] == gone
    assert [record["retained"] for record in records] == [summary["n_train"] - total for total in gone]
    assert all((record["reason"] is None) == (record["outcome"] == "removed") for record in records)
    first = next((k for k, outcome in enumerate(outcomes) if outcome != "removed"), 12)
    assert summary["removals_supported"] == first
    assert summary["budget_exhausted"] == (first < 12)
    assert all(record["seconds"] > 0 for record in records)
    assert all(0 <= record[f"{part}_accuracy"] <= 1 for record in records for part in ("test", "retain"))
    for key in ("residual_bound", "residual_measured", "budget"):
        assert summary[key] == records[-1][key]


def test_outcomes_are_those_of_the_method(runs):
    found = {u: {record["outcome"] for record in cli.records(folder)} for u, folder in runs.items()}
    assert found == {
        "newton": {"removed", "retrained"},
        "published": {"removed"},
        "newton_corrected": {"removed"},
        "retrain": {"retrained"},
        "none": {"refused"},
    }


@pytest.mark.parametrize("unlearner", CERTIFIED)
def test_certificate_is_kept_at_every_request(runs, unlearner):
    spent = [record["epsilon_spent"] for record in cli.records(runs[unlearner])]
    for record in cli.records(runs[unlearner]):
        assert 0 <= record["residual_measured"] <= record["residual_bound"] <= record["budget"]
        assert 0 < record["epsilon_spent"] <= 1
        if unlearner in IN_THE_OBJECTIVE:
            budget = 100 * 1.0 / np.sqrt(2 * np.log(1.5 / 1e-4))
            assert np.isclose(record["budget"], budget, rtol=1e-12)
            assert np.isclose(record["epsilon_spent"], record["residual_bound"] / budget, rtol=1e-12)
        else:  # what the noise covers, known beforehand; and the count of releases
            assert record["residual_bound"] == record["budget"]
    assert unlearner in IN_THE_OBJECTIVE or sorted(set(spent)) == spent


@pytest.mark.parametrize("unlearner", ["retrain", "none"])
def test_methods_without_a_certificate_claim_none(runs, unlearner):
    for record in cli.records(runs[unlearner]):
        assert record["residual_bound"] is record["budget"] is record["epsilon_spent"] is None
    summary = cli.summary(runs[unlearner])
    assert summary["epsilon"] is summary["delta"] is summary["residual_bound"] is None


# Anyone can recompute the residual


def recomputed(folder: Path, raw, y, unit: float, lam: float, file: str = "model.safetensors") -> float:
    """||grad L_b|| over the retained rows, from a stored model and the raw pixels alone."""
    x = raw.reshape(len(raw), -1).astype(np.float64) / unit - 0.5
    x /= np.sqrt((x**2).sum(axis=1, keepdims=True))
    kept = np.ones(len(x), dtype=bool)
    kept[[row for r in cli.records(folder) if r["outcome"] != "refused" for row in r["rows"]]] = False
    x, y = x[kept], y[kept].astype(np.float64)
    model = load_file(folder / file)
    w, b = model["weight"], model.get("perturbation", 0.0)
    slopes = -y / (1 + np.exp(y * (x @ w)))
    return float(np.linalg.norm(x.T @ slopes + lam * len(x) * w + b))


@pytest.mark.parametrize("unlearner", IN_THE_OBJECTIVE)
def test_residual_recomputed_from_the_stored_model(runs, unlearner):
    data, summary = digits_3v8.load(), cli.summary(runs[unlearner])
    residual = recomputed(runs[unlearner], data.x_train, data.y_train, 16, 1e-2)
    # A residual at the optimiser's tolerance (1e-8) is itself known to rounding only.
    assert np.isclose(residual, summary["residual_measured"], rtol=1e-6, atol=1e-11)
    if summary["residual_bound"] is not None:
        assert residual <= summary["residual_bound"]


def test_only_the_secret_state_holds_the_model_that_releases_are_drawn_around(runs):
    folder, data = runs["newton_corrected"], digits_3v8.load()
    bound = cli.summary(folder)["residual_bound"]
    within, out = (
        recomputed(folder, data.x_train, data.y_train, 16, 1e-2, file)
        for file in ("state.safetensors", "model.safetensors")
    )
    assert within <= bound < 100 * bound < out
    inside, released = (load_file(folder / f"{file}.safetensors")["weight"] for file in ("state", "model"))
    std = load_state(folder / "state.safetensors").values["release"]["std"]
    assert std / 2 < np.std(released - inside) < 2 * std


def test_residual_recomputed_on_the_embedded_images(tmp_path):
    values = ("unlearner.perturbation=gaussian", "unlearner.lam=1e-3", "removal.count=2")
    values = (*values, "unlearner.std=10", "removal.batch_size=50")
    folder = cli.completed(*SMALL, "dataset=mnist_3v8", *values, folder=tmp_path / "run")
    summary = cli.summary(folder)
    assert (summary["dataset"], summary["n_train"], summary["n_test"]) == ("mnist_3v8", 11982, 1984)
    with np.load(Path(mnist_3v8.__file__).parent / "data" / "mnist_3v8.npz", allow_pickle=False) as data:
        residual = recomputed(folder, data["x_train"], data["y_train"], 255, 1e-3)
    assert np.isclose(residual, summary["residual_measured"], rtol=1e-6)
    assert residual <= summary["residual_bound"] <= summary["budget"]


def test_what_a_method_keeps_besides_the_model_is_counted_by_the_row(runs):
    kept = {name: cli.summary(runs[name]) for name in ("newton", "none", "retrain")}
    bytes_of = {name: said["stored_bytes_row"] * said["n_train"] for name, said in kept.items()}
    dim = len(load_file(runs["newton"] / "model.safetensors")["weight"])
    assert bytes_of["newton"] - bytes_of["retrain"] >= 8 * dim**2  # an inverse Hessian
    assert bytes_of["none"] <= bytes_of["retrain"] < 8 * dim**2


# It repeats


@pytest.mark.parametrize("unlearner", CERTIFIED)
def test_same_configuration_leaves_the_same_bytes(runs, tmp_path, unlearner):
    shared = (*TWELVE, *SETTINGS[unlearner])
    again = cli.completed(*shared, folder=tmp_path / "again")
    other = cli.completed(*shared, "seed=1", folder=tmp_path / "other")
    assert cli.ledger(again) == cli.ledger(runs[unlearner])
    assert cli.ledger(other) != cli.ledger(runs[unlearner])
    model = (runs[unlearner] / "model.safetensors").read_bytes()
    assert (again / "model.safetensors").read_bytes() == model


def test_only_times_are_left_out_of_comparisons():
    line = b'{"request": 1, "budget": 2.5, "seconds": 1.5e-05}\n{"request": 2, "seconds": 3, "toy": 0.1}\n'
    left = b'{"request": 1, "budget": 2.5, "seconds": *}\n{"request": 2, "seconds": *, "toy": 0.1}\n'
    assert cli.without_seconds(line) == left
    line = b'{"seconds": 3, "memory_mb": null, "gpu_memory_mb": 0.1}\n{"memory_mb": 1.5, "toy_mb": 7}\n'
    left = b'{"seconds": *, "memory_mb": *, "gpu_memory_mb": *}\n{"memory_mb": *, "toy_mb": 7}\n'
    assert cli.without_seconds(line) == left


SCRIPT = Path(sys.executable).with_name("expunge")


@pytest.mark.parametrize(
    "program", [(str(SCRIPT),), (sys.executable, "-m", "expunge")], ids=["script", "module"]
)
def test_as_a_process_from_another_folder(tmp_path, runs, program):
    if not Path(program[0]).exists():
        pytest.skip(
            f"no script {SCRIPT.name} beside {Path(sys.executable).name}: the package is not installed"
        )
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    ended = cli.wait(cli.start(*TWELVE, "hydra.run.dir=run", cwd=elsewhere, program=program))
    assert (ended.code, ended.err) == (0, "")
    assert cli.ledger(elsewhere / "run") == cli.ledger(runs["newton_corrected"])


def test_figures_and_table_come_with_a_run(tmp_path):
    ended = cli.expunge(
        "dataset=digits_3v8", "threads=1", "removal.count=3", "hydra.run.dir=run", cwd=tmp_path
    )
    assert (ended.code, ended.err) == (0, "")
    assert "newton" in ended.out
    where = (f"Run folder: {tmp_path / 'run'}", "Run folder: run")  # the shorter where the path is long
    assert ended.out.splitlines().count(where[0]) + ended.out.splitlines().count(where[1]) == 2
    assert any((tmp_path / "run" / "figures").iterdir())


# Noise at release, which ``expunge`` alone has


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def test_what_a_release_says_and_leaves(runs):
    folder = runs["newton_corrected"]
    summary, records = cli.summary(folder), cli.records(folder)
    assert summary["unlearner"] == "newton_corrected"
    assert summary["releases"] == 1000
    assert summary["epsilon_spent"] == records[-1]["epsilon_spent"] < summary["epsilon"] == 1
    assert summary["guarantee"] == summary["not_covered"]  # its noise is drawn from the seed
    assert summary["guarantee"].startswith("figures only")
    assert (summary["epsilon_total"], summary["delta_total"]) == (1.0, 1e-4)
    assert {mode(folder / name) for name in ("state.safetensors", "summary.json")} == {0o600}
    assert mode(folder / "model.safetensors") == mode(folder / "removals.jsonl"), "it is public"
    assert load_header(folder / "state.safetensors")["release"]["notice"].startswith("secret")


def test_the_published_certificate_is_called_so(runs):
    for unlearner in ("newton", "published"):
        summary = cli.summary(runs[unlearner])
        assert summary["guarantee"].startswith("as published")
        assert summary["epsilon_total"] is None
        assert summary["not_covered"]


def test_a_protected_run(tmp_path):
    """Its noise is the system's and on a lattice; nothing that is measured inside is written."""
    values = (*TWELVE, "unlearner.noise=lattice", "unlearner.epsilon=0.5")
    one, two = (cli.completed(*values, folder=tmp_path / name) for name in ("one", "two"))
    summary = cli.summary(one)
    assert summary["guarantee"].startswith("release: whoever sees all of up to 1000 releases")
    assert summary["not_covered"] is None
    assert (summary["epsilon"], summary["epsilon_total"], summary["delta_total"]) == (0.5, 0.5, 1e-4)
    assert {record["residual_measured"] for record in cli.records(one)} == {None}
    assert summary["residual_measured"] is None
    says = [
        {k: v for k, v in r.items() if "accuracy" not in k and k not in ("seconds", "memory_mb")}
        for r in cli.records(one)
    ]
    assert says == [{k: r[k] for k in says[0]} for r in cli.records(two)]  # known beforehand, all of it
    grid = load_state(one / "state.safetensors").values["release"]["grid"]
    released = [load_file(folder / "model.safetensors")["weight"] for folder in (one, two)]
    for w in released:
        np.testing.assert_array_equal(np.rint(w / grid) * grid, w)
    assert not np.array_equal(*released)


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        (("unlearner.releases=12",), "unlearner.releases: got 12, allowed: at least 13"),
        (("unlearner.releases=0",), "unlearner.releases: got 0, allowed: "),
        (("unlearner.std=1", "unlearner.residual=1"), "unlearner.residual: got 1.0, allowed: null where std"),
        (("unlearner.std=1e-12",), "unlearner.std: got 1e-12, allowed: at least "),
        (("unlearner.residual=1e-14",), "unlearner.residual: got 1e-14, allowed: at least "),
        (("unlearner.noise=exact",), "unlearner.noise: got 'exact', allowed: "),
        (
            ("unlearner.update=fresh",),
            "unlearner.update: got 'fresh', allowed: corrected or rowless with perturb",
        ),
        (("unlearner.perturbation=noise",), "unlearner.perturbation: got 'noise', allowed: one of release, "),
        (("model.std=2", "unlearner.std=1"), "unlearner.std: got 1, allowed: the value of model.std, 2"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_no_release_can_be_is_refused_at_once(tmp_path, values, wrong):
    ended = cli.expunge(*TWELVE, *values, "hydra.run.dir=run", cwd=tmp_path)
    assert ended.code == 2
    assert "fitted" not in ended.out
    assert ended.err.count("\n") == 1
    assert wrong in ended.err
    assert not any(tmp_path.iterdir())


def test_std_goes_by_its_two_names(tmp_path):
    """``model.std`` is the noise of releases where it is typed, and that of the objective as published."""
    few = (*SMALL, "removal.count=1")
    release = cli.completed(*few, "model.std=0.25", folder=tmp_path / "release")
    for number, own in enumerate(
        ((), ("unlearner.std=0.5",))
    ):  # 0: no perturbation of the loss, as at release
        said = cli.summary(cli.completed(*few, *own, "model.std=0", folder=tmp_path / f"zero{number}"))
        assert (said["std"] == 0.5) == bool(own)
    assert load_state(release / "state.safetensors").values["release"]["std"] == 0.25
    published = (*few, "unlearner.perturbation=gaussian", "model.std=25")
    one = cli.completed(*published, folder=tmp_path / "one")
    two = cli.completed(*few, "unlearner=newton_corrected", *published[-2:], folder=tmp_path / "two")
    three = cli.completed(*published[:-1], "unlearner.std=25", folder=tmp_path / "three")
    assert cli.ledger(one) == cli.ledger(two) == cli.ledger(three)
    assert np.isclose(cli.summary(one)["budget"], 25 / np.sqrt(2 * np.log(1.5 / 1e-4)), rtol=1e-12)


# Every YAML

CHOICES = [(group, name) for group, names in choices([config_dir()]).items() for name in names]
GROUPS = [(group, name) for group, name in CHOICES if group.split("/")[0] not in ("experiment", "hydra")]
EXPERIMENTS = [
    f"{group}/{name}".partition("/")[2] for group, name in CHOICES if group.startswith("experiment")
]


def composed(*overrides: str) -> dict:
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        return OmegaConf.to_container(compose("config", overrides=list(overrides)), resolve=True)


@pytest.mark.parametrize(("group", "name"), GROUPS, ids=str)
def test_every_choice_composes(group, name):
    values = [name] if group == "metrics" else name
    needed = {"torchvision": "model.name=resnet18", "timm": "model.architecture=test_vit"}
    named = [needed[name]] if group == "model" and name in needed else []
    part = composed(f"{group}={values}".replace("'", ""), *named)[group]
    for settings in part.values() if group == "metrics" else [part]:
        if "_target_" in settings:  # it exists and takes every key of its YAML
            with pytest.raises(InvalidValue, match="no_such_key") as refused:
                build(group, {"_target_": settings["_target_"], "no_such_key": 1})
            listed, keys, taken = refused.value.allowed.partition("the keys ")
            assert not keys or set(settings) - {"_target_"} <= set(taken.split(", ")), listed


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes(name):
    config = composed(f"+experiment={name}")
    json.dumps(config)
    runs = {"dataset", "extractor", "model", "training", "unlearner", "removal"}
    assert {"tracker"} | (set() if "study" in config else runs) <= set(config)
