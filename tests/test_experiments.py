"""Every experiment under conf/ in its reduced form, through the command line, offline; each is run once."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from expunge.app import config_dir
from expunge.sweep.reduced import with_reduced
from tests import cli

# How many runs each comes to. Those of ELSEWHERE have a module of their own, which looks closer.
CELLS = {
    "compare/certified": 12,
    "compare/forget_sets": 6,
    "compare/klom": 32,
    "compare/methods": 17,
    "compare/methods_rows": 5,
    "compare/networks": 20,
    "compare/networks_cifar10": 3,
    "compare/networks_features": 3,
    "compare/networks_rows": 4,
    "compare/tuned": 12,
    "compare/unlearners": 12,
    "cvpr2022/cifar_models": 2,
    "cvpr2022/embedding": 2,
    "cvpr2022/kfac": 2,
    "cvpr2022/ledgar": 4,
    "cvpr2022/ledgar_certified": 2,
    "cvpr2022/mnist_selection": 6,
    "cvpr2022/people": 2,
    "cvpr2022/people_scrubbed": 2,
    "cvpr2022/person_certified": 3,
    "cvpr2022/person_scrubbed": 3,
    "cvpr2022/reid": 2,
    "cvpr2022/retrain": 6,
    "cvpr2022/retrain_cifar": 3,
    "cvpr2022/retrain_vgg11": 3,
    "cvpr2022/vggface": 2,
    "cvpr2022/vggface_bounds": 4,
    "cvpr2022/vggface_selectors": 4,
    "icml2020/cifar_dp": 3,
    "icml2020/cifar_head": 1,
    "icml2020/mnist_corrected": 1,
    "icml2020/mnist_dp": 3,
    "icml2020/mnist_grid": 12,
    "icml2020/mnist_head": 1,
    "icml2020/mnist_releases": 6,
    "icml2020/mnist_release": 1,
    "icml2020/mnist_release_retrained": 3,
    "icml2020/mnist_tradeoff": 8,
    "icml2020/public_dp": 2,
    "icml2020/public_features": 2,
    "icml2020/public_features_retrained": 2,
    "icml2020/public_features_std": 2,
    "icml2020/public_text": 1,
    "icml2020/svhn_dp": 3,
    "icml2020/timing": 3,
}
ELSEWHERE = {
    "compare/evaluations": "studies/test_evaluations",
    "cvpr2022/bullseye": "studies/test_bullseye",
    "cvpr2022/codec_speed": "studies/test_codec_speed",
    "cvpr2022/codec_speed_celeba": "studies/test_codec_speed",
    "cvpr2022/spurious": "studies/test_spurious",
    "icml2020/leak": "studies/test_leak",
    "icml2020/mnist_bounds": "studies/test_icml_studies",
    "icml2020/mnist_outliers": "studies/test_icml_studies",
}
REAL = (  # need shared data
    *(
        "compare/networks_cifar10",
        "compare/networks_features",
        "cvpr2022/cifar_models",
        "cvpr2022/ledgar",
        "cvpr2022/ledgar_certified",
        "cvpr2022/retrain_cifar",
        "cvpr2022/retrain_vgg11",
    ),
    *("cvpr2022/people", "cvpr2022/person", "cvpr2022/embedding", "cvpr2022/reid", "cvpr2022/vggface"),
    "icml2020/public_text",
)
SHORTER = {  # one of the seeds does, and a part of a grid
    "compare/forget_sets": ["removal=neighbours,poisoned,mislabelled", "unlearner=none,retrain"],
    "compare/klom": ["unlearner=none,retrain"],
    "compare/networks": ["seed=0"],
    "compare/networks_rows": ["seed=0", "unlearner=none,retrain,sisa,neggrad"],
}
ROOT = config_dir() / "experiment"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """Trained networks and features are kept apart from the user's, and from those of other tests."""
    monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path / "cache"))


def test_every_experiment_is_known_and_has_a_reduced_form():
    names = {path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.rglob("*.yaml")}
    full = {*CELLS, *ELSEWHERE}
    assert names == full
    assert all(isinstance(OmegaConf.load(ROOT / f"{name}.yaml").reduced, DictConfig) for name in full)
    for module in ELSEWHERE.values():
        assert "_reduced" in (Path(__file__).parent / f"{module}.py").read_text()


def composed(*arguments: str) -> DictConfig:
    """What the command line comes to, Hydra's own settings included."""
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        overrides = with_reduced(arguments, config_dir())
        return compose("config", overrides=overrides, return_hydra_config=True)


def plain(config: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a run, and what is swept."""
    swept = OmegaConf.to_container(config.hydra.sweeper.params or OmegaConf.create({}))
    return {str(k): v for k, v in OmegaConf.to_container(config).items() if k != "hydra"}, swept


@pytest.mark.parametrize("name", [*CELLS, *ELSEWHERE])
def test_reduced_is_what_the_experiment_says_under_that_key(name):
    whole, reduced = composed(f"+experiment={name}"), composed(f"+experiment={name}", "reduced=true")
    assert plain(composed(f"+experiment={name}_reduced")) == plain(reduced)
    swept, choices = reduced.hydra.sweeper.params or {}, reduced.hydra.runtime.choices
    for key, value in OmegaConf.load(ROOT / f"{name}.yaml").reduced.items():
        if key in swept:
            assert key in whole.hydra.sweeper.params
            assert str(swept[key]).lower() == str(value).lower()
        elif key in choices:
            assert choices[key] == value
        else:
            assert OmegaConf.select(reduced, key, throw_on_missing=True) == value
    settings, _ = plain(reduced)
    assert flat(settings) <= flat(plain(whole)[0]) | flat(plain(composed(*choice(reduced)))[0])


def choice(config: DictConfig) -> list[str]:
    """The groups that a configuration has chosen, by themselves."""
    names = ("dataset", "model", "training", "unlearner", "removal", "extractor")
    chosen = config.hydra.runtime.choices
    return [f"{name}={chosen[name]}" for name in names if chosen[name]]


def flat(settings: dict[str, Any], above: str = "") -> set[str]:
    """The dotted keys of nested settings."""
    found = set()
    for key, value in settings.items():
        below = flat(value, f"{above}{key}.") if isinstance(value, dict) else set()
        found |= below or {f"{above}{key}"}
    return found


@pytest.mark.parametrize("name", CELLS)
def test_no_release_is_asked_for_that_the_noise_does_not_cover(name):
    config = composed(f"+experiment={name}")
    swept = config.hydra.sweeper.params or {}
    methods = str(swept.get("unlearner") or config.hydra.runtime.choices.unlearner).split(",")
    if "newton_corrected" not in methods:
        return
    ours = composed(f"+experiment={name}", "unlearner=newton_corrected")
    if ours.unlearner.perturbation == "release":
        requests = swept.get("removal.count") or OmegaConf.select(ours, "removal.count") or 0
        covered = str(swept.get("unlearner.releases") or ours.unlearner.releases).split(",")
        assert min(map(int, covered)) > int(requests)


def test_own_overrides_win_over_reduced():
    own = ["dataset=mnist", "removal.count=7", "unlearner.lam=1e-1"]
    config = composed("+experiment=icml2020/mnist_grid", "reduced=true", *own)
    assert (config.hydra.runtime.choices.dataset, config.removal.count, config.unlearner.lam) == (
        "mnist",
        7,
        1e-1,
    )


def test_an_experiment_of_ones_own_is_reduced_and_swept_anew(tmp_path):
    folder = tmp_path / "own" / "experiment"
    folder.mkdir(parents=True)
    text = """
        # @package _global_
        defaults: [/experiment/icml2020/timing, _self_]
        reduced: {dataset: digits_3v8, unlearner: "newton,none", removal.count: 2}
        """
    (folder / "mine.yaml").write_text(textwrap.dedent(text).lstrip())
    values = ["--config-dir", str(folder.parent), "+experiment=mine", "reduced=true", "hydra.sweep.dir=sweep"]
    ended = cli.expunge(*values, "removal.count=1", "figures=false", "threads=1", cwd=tmp_path)
    assert ended.code == 0, ended.err
    summaries = [json.loads(path.read_text()) for path in (tmp_path / "sweep").glob("*/summary.json")]
    assert sorted((s["unlearner"], s["requests"]) for s in summaries) == [("newton", 1), ("none", 1)]
    config = OmegaConf.load(next((tmp_path / "sweep").glob("*/.hydra/config.yaml")))
    assert "reduced" not in config


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reduced=true"], "reduced: got 'true', allowed: only beside an experiment"),
        (["reduced=some", "+experiment=icml2020/timing"], "reduced: got 'some', allowed: true or false"),
        (["reduced=false", "+experiment=icml2020/timing_reduced"], "reduced: got 'false', allowed: true, "),
        (
            ["reduced=true", "+experiment=bare", "-cd", "own"],
            "reduced: got 'true', allowed: false, since bare",
        ),
    ],
)
def test_what_cannot_be_reduced_is_one_line(arguments, said, tmp_path):
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "bare.yaml").write_text("# @package _global_\nseed: 1\n")
    ended = cli.expunge(*arguments, cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"expunge: {said}")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("flag", ["--help", "--cfg=job"])
def test_what_a_reduced_experiment_comes_to_is_shown(flag, tmp_path):
    ended = cli.expunge("+experiment=icml2020/mnist_grid", flag, "reduced=true", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert all(line in ended.out for line in ("count: 20\n", "digits_3v8", "reduced: true\n"))


@pytest.mark.parametrize("name", CELLS)
def test_reduced_experiment_runs(name, tmp_path, request):
    values = [f"+experiment={name}_reduced", "threads=1", "figures=false", *SHORTER.get(name, ())]
    if name.startswith(REAL):
        values.append(f"data_dir={request.getfixturevalue('shared_data')}")
    if CELLS[name] == 1:
        ended = cli.expunge(*values, "hydra.run.dir=sweep/run", cwd=tmp_path)
    else:
        ended = cli.expunge(*values, "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert ended.code == 0, ended.err
    summaries = [json.loads(path.read_text()) for path in (tmp_path / "sweep").glob("*/summary.json")]
    assert len(summaries) == CELLS[name]
    for summary in summaries:
        counts = [summary[outcome] for outcome in ("removed", "retrained", "refused")]
        assert summary["requests"] == sum(counts)
        assert sum(counts) > 0 or name == "icml2020/mnist_releases"
        assert 0 < summary["test_accuracy_after"] <= 1
    CHECKS[name](summaries)


# -- what must hold of the summaries ---------------------------------------------------------------------

Summaries = list[dict[str, Any]]


def chosen(summaries: Summaries, **values: Any) -> Summaries:
    return [s for s in summaries if all(s[key] == value for key, value in values.items())]


def supported(summaries: Summaries, method: str) -> int:
    """Removals that all runs of a method supported together."""
    return sum(s["removals_supported"] for s in chosen(summaries, unlearner=method))


def grid(summaries: Summaries) -> None:
    published, tighter, ours = (
        supported(summaries, method) for method in ("newton", "newton_third_order", "newton_corrected")
    )
    assert 0 < published < tighter < ours == 4 * 20
    for summary in summaries:
        assert summary["residual_measured"] <= summary["residual_bound"] <= summary["budget"]


def tradeoff(summaries: Summaries) -> None:
    assert supported(summaries, "newton_corrected") == 4 * 20
    for epsilon in (1, 8):
        weak, strong = sorted(
            chosen(summaries, unlearner="newton", epsilon=epsilon), key=lambda s: s["budget"]
        )
        assert strong["budget"] == pytest.approx(10 * weak["budget"])
        assert weak["removals_supported"] < strong["removals_supported"]
        assert weak["test_accuracy_before"] >= strong["test_accuracy_before"]


def released(summaries: Summaries) -> None:
    """The same residual takes a std that grows with the square root of the releases; it costs accuracy."""
    ones, many = (chosen(summaries, releases=k) for k in (1, 1000))
    for one, other in zip(*(sorted(some, key=lambda s: s["std"]) for some in (ones, many)), strict=True):
        assert one["sensitivity"] == other["sensitivity"]
        assert other["std"] == pytest.approx(one["std"] * 1000**0.5, rel=1e-6)
        assert other["test_accuracy_before"] <= one["test_accuracy_before"]
        assert (one["released"], other["released"]) == (1, 1)
        assert other["epsilon_spent"] < one["epsilon_spent"] <= 1


def corrected(summaries: Summaries) -> None:
    (summary,) = summaries
    assert summary["removed"] == summary["removals_supported"] == 20
    by_float_noise(summary)


def served(summaries: Summaries) -> None:
    """All requests, of one row and of ten, on features that have cost the training rows nothing."""
    assert [s["removed"] for s in summaries] == [3, 3]
    assert [s["removals_supported"] for s in summaries] == [3, 3]
    for summary in summaries:
        by_float_noise(summary)


def by_float_noise(summary: dict[str, Any]) -> None:
    """A release by float noise: what it is about, and what it has spent of what was fixed beforehand."""
    assert summary["guarantee"].startswith("figures only")
    assert 0 < summary["residual_measured"] <= summary["residual_bound"] == summary["budget"]
    assert 0 < summary["epsilon_spent"] < summary["epsilon"]
    assert summary["removed"] < summary["releases"]


def to_the_last_row(summaries: Summaries) -> None:
    """All are served, one by one, until retraining would end as well; the run ends there."""
    (summary,) = summaries
    assert (summary["retrained"], summary["refused"]) == (0, 1)
    assert summary["n_train"] - 50 < summary["removed"] < summary["requests"] <= summary["n_train"] - 1
    by_float_noise(summary)


def exact(summaries: Summaries) -> None:
    assert all(s["retrained"] == s["requests"] == 1 for s in summaries)
    assert all(s["residual_measured"] < 1e-6 for s in summaries), "that of the loss without b"


def timing(summaries: Summaries) -> None:
    assert {s["unlearner"] for s in summaries} == {"newton", "newton_corrected", "retrain"}
    assert all(s["seconds_fit"] > 0 and s["seconds_removal_median"] > 0 for s in summaries)


def probed(summaries: Summaries) -> None:
    assert all(0 < s["linear_probe_accuracy"] <= 1 for s in summaries)


def private(summaries: Summaries) -> None:
    probed(summaries)
    totals = {s["extractor_mode"]: s["epsilon_total"] for s in summaries}
    assert totals["full_private"] > 1
    assert totals["private"] is totals["none"] is None
    for summary in summaries:
        by_float_noise(summary)


def private_upon_public(summaries: Summaries) -> None:
    """One layer has a guarantee, the other has none, and their heads are served alike."""
    private, other = sorted(summaries, key=lambda s: str(s["extractor_mode"]))
    assert 1 < private["epsilon_total"] <= 2
    assert other["epsilon_total"] is None
    for summary in summaries:
        by_float_noise(summary)


def private_as_published(summaries: Summaries) -> None:
    """The extractor's part holds, that of the head does not: nothing is promised of both together."""
    probed(summaries)
    assert all(s["guarantee"].startswith("as published") for s in summaries)
    assert all(s["epsilon_total"] is None and s["not_covered"] for s in summaries)
    (full,) = chosen(summaries, extractor_mode="full_private")
    assert full["extractor_epsilon"] > 0


def scrubbed(summaries: Summaries) -> None:
    assert all(s["sample_gradient_before"] > 0 for s in summaries)


def to_the_first_refusal(summaries: Summaries) -> None:
    """A run ends with its first refusal."""
    for summary in summaries:
        assert summary["requests"] - summary["removals_supported"] in (0, 1)
        assert summary["refused"] == summary["requests"] - summary["removals_supported"]
    assert {s["removals_supported"] for s in summaries} <= {0, 1, 2}


def retrained(summaries: Summaries) -> None:
    scrubbed(summaries)
    assert all(s["retrain_weight_distance"] > 0 for s in summaries)


def forgotten(summaries: Summaries) -> None:
    """Nobody asks for more than one person's images; the rest's accuracy is told from that person's."""
    for summary in summaries:
        assert {"identity_train_accuracy", "rest_test_accuracy", "rest_test_kept"} <= summary.keys()
        assert 0 <= summary["identity_train_accuracy"] <= 1
        assert summary["retrain_identity_test_accuracy"] == 0, "it never saw this person"


def certified(summaries: Summaries) -> None:
    forgotten(summaries)
    (ours,) = chosen(summaries, unlearner="newton_corrected")
    assert ours["removed"] == ours["requests"] == ours["removals_supported"]
    by_float_noise(ours)


def found_again(summaries: Summaries) -> None:
    for summary in summaries:
        assert 0 < summary["reid_map"] <= 1
        assert summary["reid_rank1"] <= summary["reid_rank5"] <= summary["reid_rank10"]
        assert summary["reid_skipped"] == 0


def compared(summaries: Summaries) -> None:
    """One metric set for all; the exact ones are the retrained model, the idle one remembers."""
    assert len({(s["unlearner"], s["seed"]) for s in summaries}) == 12
    for seed in (0, 1):
        own = {s["unlearner"]: s for s in chosen(summaries, seed=seed)}
        by_float_noise(own["newton_corrected"])
        perturbed = [s for method, s in own.items() if method != "newton_corrected"]
        assert len({s["test_accuracy_before"] for s in perturbed}) == 1, "the same model for all"
        assert len({s["retrain_membership_auc"] for s in perturbed}) == 1, "the same reference for all"
        assert all(0 <= s["membership_auc"] <= 1 for s in own.values())
        distance = {method: s["retrain_js_forget"] for method, s in own.items()}
        assert distance["retrain"] < 1e-9
        assert distance["newton_corrected"] < 0.1 * distance["none"]


def side_by_side(summaries: Summaries) -> None:
    """Every method on the same network, between doing nothing and training again."""
    own = {s["unlearner"]: s for s in summaries}
    assert len(own) == len(summaries)
    assert len({s["test_accuracy_before"] for s in summaries}) == 1, "the same network for all"
    assert all(0 <= s["tow"] <= 1 for s in summaries)
    assert own["retrain"]["tow"] == 1
    assert own["none"]["tow"] < 1
    if "kfac" in own:  # a class has left
        assert all(own[name]["tow"] > own["none"]["tow"] for name in ("neggrad", "salun", "euk", "kfac"))


def tuned_alike(summaries: Summaries) -> None:
    """The same trials for all that is tuned, and what was chosen for both seeds."""
    for seed in (0, 1):
        own = {s["unlearner"]: s for s in summaries if s["seed"] == seed}
        trials = {name: s["tuning_trials"] for name, s in own.items()}
        assert trials == {"neggrad": 3, "delete": 3, "ssd": 3, "kfac": 3, "retrain": 0, "none": 0}
        assert all(own[name]["tow"] > own["none"]["tow"] for name in ("neggrad", "delete", "ssd", "kfac"))
    chosen = {(s["unlearner"], s["tuned"]) for s in summaries if s["tuning_trials"]}
    assert len(chosen) == 4, "one choice a method"


def by_tug_of_war_and_inference(summaries: Summaries) -> None:
    """Floor and ceiling, every method between them, what each has cost; the exact one is its own ceiling."""
    own = {s["unlearner"]: s for s in summaries}
    assert len(own) == len(summaries)
    ensemble = own.pop("sisa")
    assert len({s["test_accuracy_before"] for s in own.values()}) == 1, "the same network for all"
    assert len({s["retrain_mia_efficacy"] for s in own.values()}) == 1, "the same reference for all"
    for exact in (ensemble, own["retrain"]):
        assert exact["tow"] == 1
        assert exact["mia_efficacy"] == exact["retrain_mia_efficacy"]
        assert exact["tow_mia"] == 1
    assert ensemble["slices_retrained"] == ensemble["slices_in_all"] == 25
    for name in ("neggrad", "salun", "euk", "kfac"):
        assert own[name]["tow"] > own["none"]["tow"]
        assert own[name]["mia_efficacy"] > own["none"]["mia_efficacy"]
    assert all((s["seconds_removal_median"] is None) == bool(s["refused"]) for s in own.values())


def by_tug_of_war(summaries: Summaries) -> None:
    """One network for all, and retraining the ceiling."""
    own = {s["unlearner"]: s for s in summaries}
    assert len({s["test_accuracy_before"] for s in summaries}) == 1
    assert own["retrain"]["tow"] == own["retrain"]["tow_mia"] == 1
    assert own["neggrad"]["tuning_trials"] == 2
    assert all(s["n_test"] > 1000 for s in summaries)


def rows_out(summaries: Summaries) -> None:
    """Rows like any others leave: doing nothing is near the retrained model by accuracies."""
    own = {s["unlearner"]: s for s in summaries}
    for exact in (own["sisa"], own["retrain"]):
        assert exact["tow"] == 1
        assert exact["mia_efficacy"] == exact["retrain_mia_efficacy"]
    assert 0.5 < own["none"]["tow"] < 1
    assert all(0 <= s["mia_efficacy"] <= 1 for s in summaries)


def of_the_same_rows(summaries: Summaries) -> None:
    """Of the rows that leave retrained networks are less sure."""
    assert {s["seed"] for s in summaries} == {*range(16)}
    sure = {
        name: fmean(s["margin_forget"] for s in summaries if s["unlearner"] == name)
        for name in ("none", "retrain")
    }
    assert sure["none"] > sure["retrain"]


def by_forget_set(summaries: Summaries) -> None:
    """One network for all; what was learned of changed rows goes with them, and with no other set."""
    assert len({s["test_accuracy_before"] for s in summaries}) == 1
    again = {s["attack_success"]: s for s in summaries if s["unlearner"] == "retrain"}
    assert min(again) < 0.2 < 0.7 < max(again)
    assert all(s["attack_success_before"] > 0.7 for s in summaries)
    idle, best = ([s["true_accuracy"] for s in summaries if s["unlearner"] == m] for m in ("none", "retrain"))
    assert max(best) > max(idle)
    assert all(s["tow"] == 1 for s in summaries if s["unlearner"] == "retrain")


def one_by_one(summaries: Summaries) -> None:
    """Clauses leave, and what is out classifies as the retrained model does, but for its noise."""
    for summary in summaries:
        assert summary["removed"] == summary["requests"] == 3
        assert summary["tow"] > 0.9


def gone(summaries: Summaries) -> None:
    """The same people leave one after another and together: nothing of them is left in the head."""
    assert sorted(s["requests"] for s in summaries) == [1, 2]
    for summary in summaries:
        assert summary["removed"] == summary["requests"]
        for part in ("train", "test"):
            found = summary[f"identity_{part}_accuracy"]
            assert found == summary[f"retrain_identity_{part}_accuracy"] == 0
        assert summary["rest_test_kept"] >= 0.9
        assert summary["verification_auc"] == summary["retrain_verification_auc"]


def scrubbed_people(summaries: Summaries) -> None:
    """The same people leave a network on features one after another and together."""
    assert sorted(s["requests"] for s in summaries) == [1, 2]
    for summary in summaries:
        assert summary["removed"] == summary["requests"]
        assert summary["retrain_identity_train_accuracy"] == 0
        assert summary["identity_train_accuracy"] <= 0.5
        assert 0 <= summary["verification_auc_identity"] <= 1


def refitted(summaries: Summaries) -> None:
    """The same person leaves the same network by a scrub, with a refit of the embedding and without."""
    without, own = sorted(summaries, key=lambda s: "refitted_auc" in s)
    assert without["retrain_verification_auc_identity"] == own["retrain_verification_auc_identity"]
    assert without["removed"] == own["removed"] == 1
    assert 0 <= own["stranger_auc"] <= 1
    for summary in summaries:
        aim = summary["retrain_verification_auc_identity"]
        assert summary["verification_gap"] == pytest.approx(summary["verification_auc_identity"] - aim)


def promised(summaries: Summaries) -> None:
    """Each certified method serves what it promised to, and its residual stays within the bound."""
    own: dict[str, list[dict[str, Any]]] = {}
    for summary in summaries:
        own.setdefault(summary["unlearner"], []).append(summary)
        assert summary["requests"] == 3
        assert 0 <= summary["tow"] <= 1
    assert set(own) == {
        "none",
        "retrain",
        "newton",
        "newton_third_order",
        "newton_corrected",
        "newton_rowless",
    }
    assert all(s["tow"] == 1 for s in own["retrain"])
    for name in ("newton_corrected", "newton_rowless"):
        assert all(s["removed"] == 3 for s in own[name])
        assert all(s["residual_measured"] <= s["residual_bound"] for s in own[name])


CHECKS = {
    "compare/certified": promised,
    "compare/forget_sets": by_forget_set,
    "compare/klom": of_the_same_rows,
    "compare/methods": side_by_side,
    "compare/methods_rows": side_by_side,
    "compare/networks": by_tug_of_war_and_inference,
    "compare/networks_cifar10": by_tug_of_war,
    "compare/networks_features": by_tug_of_war,
    "compare/networks_rows": rows_out,
    "compare/tuned": tuned_alike,
    "compare/unlearners": compared,
    "cvpr2022/cifar_models": scrubbed,
    "cvpr2022/embedding": refitted,
    "cvpr2022/kfac": scrubbed,
    "cvpr2022/ledgar": to_the_first_refusal,
    "cvpr2022/ledgar_certified": one_by_one,
    "cvpr2022/mnist_selection": scrubbed,
    "cvpr2022/people": gone,
    "cvpr2022/people_scrubbed": scrubbed_people,
    "cvpr2022/person_certified": certified,
    "cvpr2022/person_scrubbed": forgotten,
    "cvpr2022/reid": found_again,
    "cvpr2022/retrain": retrained,
    "cvpr2022/retrain_cifar": retrained,
    "cvpr2022/retrain_vgg11": retrained,
    "cvpr2022/vggface": forgotten,
    "cvpr2022/vggface_bounds": forgotten,
    "cvpr2022/vggface_selectors": forgotten,
    "icml2020/cifar_dp": private,
    "icml2020/cifar_head": probed,
    "icml2020/mnist_corrected": corrected,
    "icml2020/mnist_dp": private,
    "icml2020/mnist_grid": grid,
    "icml2020/mnist_head": probed,
    "icml2020/mnist_releases": released,
    "icml2020/mnist_release": to_the_last_row,
    "icml2020/mnist_release_retrained": exact,
    "icml2020/mnist_tradeoff": tradeoff,
    "icml2020/public_dp": private_upon_public,
    "icml2020/public_features": served,
    "icml2020/public_features_retrained": exact,
    "icml2020/public_features_std": probed,
    "icml2020/public_text": one_by_one,
    "icml2020/svhn_dp": private_as_published,
    "icml2020/timing": timing,
}
