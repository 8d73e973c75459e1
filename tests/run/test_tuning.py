"""Equal tuning, piece by piece: what is tried, what is held out, what is chosen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from expunge.core.errors import InvalidValue, UserError
from expunge.datasets import Dataset
from expunge.record.requests import Request
from expunge.run.tuning.choice import FAILED, Trial, chosen
from expunge.run.tuning.held_out import renumbered, validation_rows, without
from expunge.run.tuning.plan import Plan, drop_untuned, plan_of, space_of
from expunge.run.tuning.sample import sampled, value_at
from expunge.unlearners import Method
from expunge.unlearners.finetune import Finetune
from expunge.unlearners.neggrad import Neggrad
from expunge.unlearners.newton import Newton
from expunge.unlearners.noisy_finetune import NoisyFinetune
from expunge.unlearners.search import Range
from expunge.unlearners.sisa import Sisa

EQUAL = {"rule": "tow", "trials": 12, "originals": 1, "seed": 10000, "validation": 0.1}

positive = st.floats(1e-6, 1e6)
unit = st.floats(0, 1, exclude_max=True)


@st.composite
def ranges(draw):
    whole, log = draw(st.booleans()), draw(st.booleans())
    low = draw(st.integers(1, 1000)) if whole else draw(positive)
    high = low + draw(st.integers(1, 1000)) if whole else low * draw(st.floats(1.001, 1e6))
    return Range(low, high, log)


choices = st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)), min_size=1).map(
    tuple
)


# What is tried


@settings(deadline=None, max_examples=50)
@given(of=ranges(), u=unit)
def test_a_value_is_in_its_range_and_whole_where_both_ends_are(of, u):
    found = value_at(of, u)
    assert of.low <= found <= of.high
    assert isinstance(found, int) == (isinstance(of.low, int) and isinstance(of.high, int))


@pytest.mark.parametrize(
    ("of", "u", "value"),
    [
        (Range(0.0, 1.0), 0.25, 0.25),
        (Range(1e-4, 1.0, log=True), 0.5, 1e-2),
        (Range(1, 10), 0.0, 1),
        (Range(1, 10), 0.9999, 10),
        (Range(1, 100, log=True), 0.5, 10),  # floor of the root of 101
        (("a", "b", "c"), 0.34, "b"),
        ((None, 2.0), 0.49, None),
    ],
)
def test_values_worked_out_by_hand(of, u, value):
    found = value_at(of, u)
    assert found == value if not isinstance(value, float) else math.isclose(found, value)


def test_every_whole_number_has_the_same_share():
    grid = [value_at(Range(3, 6), (k + 0.5) / 400) for k in range(400)]
    assert np.unique(grid, return_counts=True)[1].tolist() == [100] * 4


@settings(deadline=None, max_examples=20)
@given(
    space=st.dictionaries(st.text(min_size=1, max_size=4), st.one_of(ranges(), choices), max_size=4),
    trials=st.integers(1, 20),
    seed=st.integers(0, 2**64),
)
def test_trials_are_a_pure_function_that_begins_with_the_default(space, trials, seed):
    found = sampled(space, trials, "toy", seed)
    assert found[0] == {}
    assert len(found) == (trials if space else 1)
    assert found == sampled(space, trials, "toy", seed)
    assert sampled(space, trials + 5, "toy", seed)[: len(found)] == found, "more trials begin with fewer"
    for trial in found[1:]:
        assert trial.keys() == space.keys()
        for key, value in trial.items():
            inside = space[key].low <= value <= space[key].high if isinstance(space[key], Range) else None
            assert value in space[key] if inside is None else inside


def test_names_and_seeds_are_tried_at_other_points():
    space = Finetune.search_space
    lists = [sampled(space, 3, name, seed)[1:] for name, seed in (("a", 1), ("b", 1), ("a", 2))]
    assert len({str(one) for one in lists}) == 3


def test_eleven_points_reach_all_parts_of_a_range():
    values = [trial["lr"] for trial in sampled({"lr": Range(1e-4, 1.0, log=True)}, 12, "toy", 0)[1:]]
    assert {math.floor(math.log10(value)) for value in values} == {-4, -3, -2, -1}


# What is held out

rows_of = st.integers(10, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
        st.lists(st.integers(0, n - 1), max_size=n // 2, unique=True),
    )
)


@settings(deadline=None, max_examples=50)
@given(case=rows_of, seed=st.integers(0, 100))
def test_held_out_rows_are_nobodys_but_those_of_a_class_that_goes_as_a_whole(case, seed):
    y, asked = np.array(case[0]), case[1]
    gone = {label for label in set(case[0]) if {*np.flatnonzero(y == label)} <= {*asked}}
    able = [row for row in range(len(y)) if row not in asked or y[row] in gone]
    held = validation_rows(y, [asked], 0.1, seed)
    assert len(held) == round(0.1 * len(y))
    assert {*held.tolist()} <= {*able}
    assert held.tolist() == sorted(set(held.tolist())) == validation_rows(y, [asked], 0.1, seed).tolist()


@pytest.mark.parametrize("share", [0.001, 0.95])
def test_there_must_be_rows_to_hold_out(share):
    with pytest.raises(InvalidValue, match=r"^tuning.validation: got .*fewer than 95 of the 100"):
        validation_rows(np.arange(100) % 10, [range(0, 50, 10)], share, 0)


def test_a_trial_trains_on_the_rest_and_is_asked_for_the_same_rows():
    x, y = np.arange(20.0)[:, None], np.arange(20) % 2
    whole = Dataset("toy", x, y, -x, y, {0: "a", 1: "b"}, ids=np.array([f"r{k}" for k in range(20)]))
    held = np.array([3, 11, 19])
    split = without(whole, held)
    assert split.x_test.ravel().tolist() == [3.0, 11.0, 19.0]
    assert not {*split.x_train.ravel()} & {3.0, 11.0, 19.0}
    assert split.y_test.tolist() == [1, 1, 1]
    asked = [Request(1, (4, 12)), Request(2, (3,)), Request(3, (11, 18))]
    again = renumbered(asked, held, 20)
    assert [one.number for one in again] == [1, 2]
    named = [[split.ids[row] for row in one.rows] for one in again]
    assert named == [["r4", "r12"], ["r18"]]


def test_what_a_trial_sees_does_not_depend_on_the_test_rows():
    x, y = np.arange(20.0)[:, None], np.arange(20) % 2
    one, other = (Dataset("toy", x, y, test, y[:5], {0: "a", 1: "b"}) for test in (x[:5], -9 * x[:5]))
    held = np.array([0, 7])
    assert without(one, held).digests() == without(other, held).digests()


# What is chosen

scores = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1)), min_size=1)


@settings(deadline=None, max_examples=50)
@given(found=scores)
def test_the_earliest_of_the_best_is_chosen(found):
    trials = [Trial(k, {}, "done", score, 0.0) for k, score in enumerate(found)]
    best = None
    for trial in trials:
        if trial.score is not None and (best is None or trial.score > best.score):
            best = trial
    if best is None:
        with pytest.raises(UserError, match=r"none of the .* trials has a score"):
            chosen(trials)
    else:
        assert chosen(trials) is best


def test_a_refused_trial_counts_with_its_score_and_a_failed_one_with_none():
    trials = [
        Trial(0, {}, "done", 0.3, 1.0),
        Trial(1, {}, FAILED, None, 1.0, "lr: no"),
        Trial(2, {}, "refused", 0.4, 1.0),
    ]
    assert chosen(trials).number == 2
    with pytest.raises(UserError, match=r"all trials of the search space failed \(lr: no\)"):
        chosen(trials[:2])


def test_several_networks_are_one_trial_with_the_mean_of_their_scores():
    settings = {"lr": 0.1}
    networks = [Trial(3, settings, "done", 0.5, 1.0), Trial(3, settings, "refused", 0.25, 2.0)]
    assert Trial.over(networks[:1]) is networks[0]
    assert Trial.over(networks) == Trial(3, settings, "refused", 0.375, 3.0, scores=(0.5, 0.25))
    networks += [Trial(3, settings, FAILED, None, 4.0, "lr: no")]
    assert Trial.over(networks) == Trial(3, settings, FAILED, None, 7.0, "lr: no", (0.5, 0.25, None))


# What is refused


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("trials", 0, "tuning.trials: got 0, allowed: a whole number from 1 to"),
        ("trials", 2.5, "tuning.trials: got 2.5, allowed: a whole number"),
        ("originals", 0, "tuning.originals: got 0, allowed: a whole number from 1 to"),
        ("rule", "accuracy", "tuning.rule: got 'accuracy', allowed: one of tow"),
        ("validation", 1.0, "tuning.validation: got 1.0, allowed: a number strictly between 0 and 1"),
        ("seed", -1, "tuning.seed: got -1, allowed: a whole number"),
        (
            "more",
            1,
            "tuning: got the keys rule, trials, originals, seed, validation, more, allowed: rule, trials",
        ),
    ],
)
def test_values_that_are_refused(key, value, said):
    with pytest.raises(UserError) as told:
        Plan.of({**EQUAL, key: value})
    assert str(told.value).startswith(said)


@pytest.mark.parametrize(("originals", "seeds"), [(1, (10000, 10001)), (2, range(10000, 10004))])
def test_a_run_has_no_seed_of_the_tuning(originals, seeds):
    group = EQUAL | {"originals": originals}
    for seed in seeds:
        with pytest.raises(
            InvalidValue, match=rf"^tuning.seed: .*{seeds[-1]}. beside seed={seed}', allowed: seeds that no"
        ):
            plan_of(OmegaConf.create({"tuning": group, "seed": seed}))
    for seed in (9999, seeds[-1] + 1):
        assert plan_of(OmegaConf.create({"tuning": group, "seed": seed})) == Plan.of(group)


def test_no_study_is_tuned():
    with pytest.raises(InvalidValue, match=r"^tuning: got 'equal', allowed: none for a study"):
        plan_of(OmegaConf.create({"tuning": EQUAL, "seed": 0, "study": {}}))
    assert plan_of(OmegaConf.create({"tuning": EQUAL, "seed": 0})) == Plan.of(EQUAL)


def test_without_tuning_a_configuration_is_as_it_was():
    config = OmegaConf.create({"tuning": {"rule": None}, "seed": 0})
    drop_untuned(config)
    assert config == {"seed": 0}
    assert plan_of(config) is None


class Silent(Method):
    def remove(self, rows):
        raise NotImplementedError


class OfTheModel(Silent):
    search_space = {"lam": Range(1e-4, 1.0, log=True)}


class Certified(Silent):
    role = "certified"
    search_space = {"std": Range(0.1, 1.0)}


@pytest.mark.parametrize(
    ("method", "typed", "said"),
    [
        (Silent, (), "got 'own with tuning=equal', allowed: a method that declares its search_space"),
        (OfTheModel, (), "got 'own, with lam to be tuned', allowed: settings of the removal"),
        (Certified, (), "got 'own, with std to be tuned', allowed: tuning=none: .*carry its guarantee"),
        (Neggrad, ("unlearner.lr",), "^unlearner.lr: got 'a value', allowed: nothing beside tuning=equal"),
    ],
)
def test_methods_that_are_refused(method, typed, said):
    with pytest.raises(InvalidValue, match=said):
        space_of(method, "own", ("lam", "std"), typed)


def test_methods_without_a_search_space_run_as_they_are():
    assert space_of(Newton, "newton", ("lam", "std"), ()) == {}
    assert NoisyFinetune.search_space
    assert space_of(NoisyFinetune, "noisy_finetune", ("lam", "std"), ()) == {}, "its guarantee is not chosen"
    assert space_of(Sisa, "sisa", ("lam", "std"), ()) == {}, "exact, whatever its settings"
    assert space_of(Neggrad, "neggrad", ("lam", "std"), ("unlearner.momentum",)) == Neggrad.search_space
