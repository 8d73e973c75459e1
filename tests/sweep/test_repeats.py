"""Originals, unlearnings of each, evaluations of each: what every number draws anew, and what it shares."""

import json
from pathlib import Path

import numpy as np
import pytest

from expunge.core.errors import InvalidValue
from expunge.core.files import load_state
from expunge.core.intervals import interval
from expunge.core.seeds import seed_again, stream
from expunge.record.inputs import Inputs
from expunge.record.settings import must_match
from expunge.run.build import _repeat
from expunge.run.job_cache import JobCache
from expunge.sweep.aggregate import over_seeds, variance
from expunge.sweep.command import prepared
from expunge.sweep.jobs import fingerprint
from expunge.verify.verdict import verify
from tests import cli
from tests.cli import SMALL
from tests.test_testing import Mean

NETWORK = (
    *("dataset=digits", "model=mlp", "model.hidden=[8]", "training.epochs=1", "removal=random", "threads=1"),
    *("removal.count=1", "removal.batch_size=40", "figures=false", "metrics=[accuracy,tow,mia_efficacy]"),
)


def expanded(*arguments: str) -> list[str]:
    return [text for text in prepared(arguments) if not text.startswith(("hydra.", "--"))]


# The command line


def test_counts_stand_for_sweeps():
    seeds, repeats, evaluations = "seed=0,1,2", "repeat=1,2", "evaluation=1,2"
    assert expanded("originals=3", "repeats=2", "evaluations=2") == [seeds, repeats, evaluations]
    assert expanded("repeats=2", "originals=3") == [repeats, seeds]
    assert expanded("originals=3", "repeats=1", "evaluations=1") == expanded("seeds=3") == [seeds]
    assert expanded("seeds=3", "repeats=2") == [seeds, repeats]
    assert expanded("repeats=2", "seed=7") == ["seed=7", repeats]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("originals=0", "originals: got '0', allowed: a whole number >= 1: how many seeds"),
        ("repeats=-1", "repeats: got '-1', allowed: a whole number >= 1: how many unlearnings"),
        ("evaluations=1.5", "evaluations: got '1.5', allowed: a whole number >= 1"),
        ("originals=2 seeds=2", "only without seeds=...: both say how many seeds there are"),
        ("originals=2 seed=0,1", "only without seed=...: it stands for seed=0,1,2,..."),
        ("originals=2 seed=null", "only without seed=..."),
        ("repeats=2 seed=null", "only with a seed"),
        ("repeats=2 repeat=3", "only without repeat=...: it stands for repeat=1,2,..."),
        ("evaluations=2 evaluation=1", "only without evaluation=..."),
    ],
)
def test_what_is_refused_on_the_command_line(given, said):
    with pytest.raises(InvalidValue) as error:
        prepared(given.split())
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("repeat=-1", "repeat: got -1, allowed: a whole number >= 0"),
        ("evaluation=x", "evaluation: got 'x', allowed: a whole number >= 0"),
        ("++repeat=null", "repeat: got None, allowed: a whole number >= 0"),
        ("+experiment=compare/evaluations reduced=true repeat=1", "repeat: got 1, allowed: 0 of a study"),
    ],
)
def test_what_a_run_refuses(given, said, tmp_path):
    values = () if "experiment" in given else SMALL
    ended = cli.expunge(*values, *given.split(), "hydra.run.dir=run", cwd=tmp_path)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert said in line


@pytest.mark.parametrize("key", ["repeat", "evaluation"])
def test_a_model_that_cannot_draw_again_is_not_asked_to(key):
    settings, choices = {"repeat": 0, "evaluation": 0}, {"unlearner": "mean"}
    _repeat(Mean(), settings, choices)
    with pytest.raises(InvalidValue, match=f"{key}: got 1, allowed: 0 with unlearner=mean, which has no"):
        _repeat(Mean(), settings | {key: 1}, choices)


# What identifies a run


def test_the_first_of_each_is_the_run_that_knew_nothing_of_them():
    before = {"seed": 3, "unlearner": {"name": "none"}, "tracker": {}}
    now = before | {"repeat": 0, "evaluation": 0, "repeats": None, "evaluations": None, "originals": None}
    assert fingerprint(now) == fingerprint(before)
    assert Inputs.of(now, Path()).digests == Inputs.of(before, Path()).digests
    must_match(before, now)
    must_match(now, before)
    other = {fingerprint(now | {key: n}) for key in ("repeat", "evaluation") for n in (1, 2)}
    assert len({*other, fingerprint(now)}) == 5


# Streams


def test_other_draws_are_other_streams_and_the_first_is_as_ever():
    def draws(*index: int, again: tuple[int, ...] = ()) -> bytes:
        return stream(5, "scrub", *index, again=again).random(4).tobytes()

    key = np.random.SeedSequence(5, spawn_key=(4, 2, 1))
    assert draws(2, 1) == np.random.default_rng(key).random(4).tobytes()
    found = [draws(2, 1), draws(2, 1, again=(1,)), draws(2, again=(1,)), draws(2, 1, again=(2,)), draws(2)]
    found += [draws(2, 1, 1), draws(2, 1, again=(1, 1)), draws(2, 1, again=(1, 2))]
    assert len(set(found)) == len(found)
    assert seed_again(2**200, "training", 6) == 2**200
    assert 0 <= seed_again(2**200, "training", 6, again=(1,)) < 2**32


# Networks: what is trained, unlearned and evaluated anew


@pytest.fixture(scope="module")
def nested(tmp_path_factory):
    """A sweep of 2 x 2 x 2, and the folder of its trained networks."""
    folder = tmp_path_factory.mktemp("nested")
    counts = ("originals=2", "repeats=2", "evaluations=2")
    values = (*NETWORK, *counts, "unlearner=finetune", "cache_dir=cache", "hydra.sweep.dir=sweep")
    ended = cli.expunge(*values, cwd=folder)
    assert (ended.code, ended.err) == (0, "")
    return folder


def cells(folder: Path) -> dict[tuple[int, ...], dict]:
    every = json.loads((folder / "sweep" / "sweep.json").read_text())["cells"]
    return {tuple(cell["summary"][key] for key in ("seed", "repeat", "evaluation")): cell for cell in every}


def test_originals_are_trained_once_and_references_for_each_evaluation(nested):
    """A file is written whenever a network is trained: eight runs have two originals between them."""
    assert len(list((nested / "cache").glob("*.safetensors"))) == 2 + 2 * 2 * 2


def test_what_a_repeat_draws_anew_and_what_an_evaluation_does(nested):
    found = cells(nested)
    assert len(found) == 8
    models = {at: (nested / "sweep" / c["run"] / "model.safetensors").read_bytes() for at, c in found.items()}
    for at, cell in found.items():
        for other, theirs in found.items():
            assert (at[:2] == other[:2]) == (models[at] == models[other]), "one model of each unlearning"
            same = cell["summary"]["test_accuracy_before"] == theirs["summary"]["test_accuracy_before"]
            assert same or at[0] != other[0], "one original of each seed"
    told = {(c["summary"]["tow"], c["summary"]["retrain_mia_efficacy"]) for c in found.values()}
    assert len(told) == 8, "each evaluation has a retrained network of its own"
    rows = {at: cli.records(nested / "sweep" / c["run"])[0]["rows"] for at, c in found.items()}
    assert all((rows[a] == rows[b]) == (a[0] == b[0]) for a in rows for b in rows), "requests follow the seed"


def test_the_first_is_the_run_of_the_seed_alone(tmp_path, nested):
    alone = (*NETWORK, "unlearner=finetune", f"cache_dir={nested / 'cache'}")
    first = cli.completed(*alone, folder=tmp_path / "first")
    said = cli.completed(*alone, "repeat=0", "evaluation=0", folder=tmp_path / "said")
    assert cli.ledger(first) == cli.ledger(said)
    assert (first / "model.safetensors").read_bytes() == (said / "model.safetensors").read_bytes()
    assert not {"repeat", "evaluation"} & set(cli.summary(first))
    retrained = cli.completed(*alone, "unlearner=retrain", "repeat=1", folder=tmp_path / "retrained")
    assert cli.summary(retrained)["tow"] < 1, "a retraining of another seed than the reference's"
    evaluated = cli.completed(*alone, "evaluation=1", folder=tmp_path / "evaluated")
    assert (first / "model.safetensors").read_bytes() == (evaluated / "model.safetensors").read_bytes()
    assert cli.summary(first)["tow"] != cli.summary(evaluated)["tow"]


def test_the_parts_of_the_variance_are_in_the_sweeps_file_and_in_the_table(nested):
    from expunge.report.write import write_report

    whole = json.loads((nested / "sweep" / "sweep.json").read_text())
    (group,) = whole["over_seeds"]
    found = cells(nested)
    means = [np.mean([c["summary"]["tow"] for at, c in found.items() if at[0] == seed]) for seed in (0, 1)]
    assert (group["seeds"], len(group["runs"])) == ([0, 1], 8)
    assert group["values"]["tow"]["mean"] == pytest.approx(np.mean(means))
    assert group["values"]["tow"]["low"] == pytest.approx(min(means)), "two seeds, not eight runs"
    (parts,) = whole["variance"]
    shares = [part["share"] for part in parts["values"]["tow"]["components"].values()]
    assert sum(shares) == pytest.approx(1.0)
    accuracy = parts["values"]["test_accuracy_after"]["components"]
    assert accuracy["evaluation"]["variance"] == 0.0, "it is that of one and the same model"
    page = write_report([nested / "sweep"]).read_text()
    assert "Where the variance comes from" in page
    assert "seed 1, repeat 2, evaluation 1" in page
    table = (nested / "sweep" / "report" / "table.md").read_text()
    assert "| finetune | ToW | 2 × 2 × 2 |" in table
    assert "finetune · 2 seeds, 8 runs" in table
    assert (nested / "sweep" / "report" / "variance.svg").is_file()


# Certified linear models: whose is the perturbation, and whose the noise


def model_of(run: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(run / "model.safetensors")


def test_noise_at_release_is_the_repeats_and_what_it_is_around_the_originals(tmp_path):
    runs = [cli.completed(*SMALL, "removal.count=2", f"repeat={n}", folder=tmp_path / f"{n}") for n in (0, 1)]
    models = [model_of(run)["weight"] for run in runs]
    inside = [load_state(run / "state.safetensors").arrays["weight"] for run in runs]
    assert len({w.tobytes() for w in models}) == 2
    assert len({w.tobytes() for w in inside}) == 1
    for run in runs:
        assert verify(run, JobCache()).accepted


@pytest.mark.parametrize("requests", [0, 12])
def test_the_first_perturbation_is_the_originals_and_a_redrawn_one_the_repeats(requests, tmp_path):
    how = (*SMALL, "unlearner=newton", "unlearner.std=1", f"removal.count={requests}", "seed=3")
    runs = [cli.completed(*how, f"repeat={n}", folder=tmp_path / f"{n}") for n in (0, 1)]
    assert all((cli.summary(run)["retrained"] > 0) is (requests > 0) for run in runs)
    first, second = (model_of(run)["perturbation"] for run in runs)
    assert np.array_equal(first, second) is (requests == 0)
    for run in runs:
        assert verify(run, JobCache()).accepted


# Means over seeds


def cell(seed: int, repeat: int, evaluation: int, value: float | None, **settings: object) -> dict:
    asked = {"seed": seed, "repeat": repeat, "evaluation": evaluation}
    done = value is not None
    return {
        "run": f"{seed}-{repeat}-{evaluation}",
        "status": "done" if done else "failed",
        "settings": {**settings, **asked},
        "summary": {**asked, "tow": value} if done else None,
    }


def test_repeats_of_one_seed_are_no_more_seeds():
    """Their mean counts once, whatever their number; the interval is that of the seeds."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 3, 2))
    every = [cell(*map(int, at), float(values[at]), unlearner="x") for at in np.ndindex(values.shape)]
    (group,) = over_seeds(every)
    expected = interval(list(values.mean(axis=(1, 2))))
    assert tuple(group["values"]["tow"].values()) == pytest.approx(tuple(expected))
    fewer = [one for one in every if one["run"] not in ("0-0-0", "0-0-1", "3-2-1")]
    (group,) = over_seeds(fewer)
    own = [np.mean(values[0, 1:]), *values[1:3].mean(axis=(1, 2))]
    own.append(np.mean([values[3, 0].mean(), values[3, 1].mean(), values[3, 2, 0]]))
    assert group["values"]["tow"]["mean"] == pytest.approx(np.mean(own))


def test_cells_that_failed_are_missing_from_the_parts():
    every = [
        cell(i, j, k, 1.0 * i + 0.1 * j * (-1) ** i) for i in range(3) for j in range(2) for k in range(2)
    ]
    every[3] = cell(0, 1, 1, None)
    (group,) = variance(every, ["tow", "missing"])
    assert list(group["values"]) == ["tow"]
    parts = group["values"]["tow"]["components"]
    assert parts["evaluation"]["variance"] == 0.0
    assert parts["original"]["share"] > 0.9
    assert variance([cell(i, 0, 0, float(i)) for i in range(3)], ["tow"]) == []
