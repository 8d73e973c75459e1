"""A request of many rows: copies shared out by class, and a selection in each, against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import InvalidValue
from expunge.curvature.gradients import cross_entropy
from expunge.scrub import Problem, Scrub, ScrubError
from expunge.scrub.noisy_copies import observe, perturbed
from expunge.scrub.selectors import select
from expunge.scrub.shared_out import LEAST, shares
from tests import networks
from tests.oracles import codec
from tests.oracles import scrub as oracle

CLASSES = 3


def rng(seed=0):
    return np.random.default_rng(seed)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def problem(rows, n=60, **more):
    """Pictures of three classes, the row's number modulo three, and a small network in float64."""
    x, y = networks.pictures(n)
    return Problem.removing(
        networks.small_cnn(), cross_entropy, networks.examples(x, y), rows, penalty=0.01, **more
    )


@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=40), copies=st.integers(3, 700))
def test_every_class_has_its_share_of_the_copies_and_every_row_its_share_of_them(labels, copies):
    y = np.array(labels)
    found = shares(torch.from_numpy(y), copies, "by_class")
    parts = [found.of[part].numpy() for part in found.parts]
    assert np.concatenate(parts).tolist() == found.of.tolist()
    classes = np.unique(y)
    for k, (label, own) in enumerate(zip(classes, parts, strict=True)):
        assert (y[own] == label).all()
        assert len(own) == max(copies // len(classes) + (k < copies % len(classes)), min(copies, LEAST))
        counts = np.bincount(own, minlength=len(y))[y == label]
        assert counts.max() - counts.min() <= 1


def test_where_there_are_more_rows_than_copies_there_are_no_more_copies():
    y = torch.zeros(6131, dtype=torch.int64)
    assert len(shares(y, 1000, "together").of) == 6131
    found = shares(y, 1000, "by_class").of
    assert len(found) == len(set(found.tolist())) == 1000
    steps = np.diff(found.numpy())
    assert found[0] == 0
    assert set(steps) == {6, 7}


@pytest.mark.parametrize(("rows", "copies"), [([4], 300), ([4], 3), ([1, 4, 7, 10], 90), ([0, 3], 100)])
def test_of_one_class_both_selections_are_the_same_bit_for_bit(rows, copies):
    one, other = (
        Scrub(n_perturbations=copies, selection=selection, threads=1)
        for selection in ("together", "by_class")
    )
    mine, theirs = (scrub.propose(problem(rows), rng(3), generator(3)) for scrub in (one, other))
    assert mine.units == theirs.units
    assert torch.equal(mine.step, theirs.step)


def test_each_class_has_the_selection_of_its_own_copies():
    """Copies one by one, FOCI in exact fractions by class; the first of each, then the second of each."""
    asked = problem([0, 3, 6, 1, 4, 2], n=12)
    module, (x, y) = asked.module, asked.sample
    shared = shares(y, 90, "by_class")
    copies = torch.cat([copy for copy, _ in perturbed(x, shared.of, 0.3, generator(1))])
    activations = oracle.activations_one_by_one(module, copies).numpy()
    own = y[shared.of]
    with torch.no_grad():
        losses = torch.stack(
            [cross_entropy(module(c[None]), t[None])[0] for c, t in zip(copies, own, strict=True)]
        )
    chosen = []
    for label in range(CLASSES):
        its = np.flatnonzero(own.numpy() == label)
        chosen.append(codec.select(activations[its], losses.numpy()[its], None)[0])
    expected = []
    for place in range(max(map(len, chosen))):
        for columns in chosen:
            if place < len(columns) and columns[place] not in expected:
                expected.append(columns[place])
    assert len(set(map(tuple, chosen))) == CLASSES
    seen = observe(module, cross_entropy, (x, y), shared, 0.3, generator(1))
    found = select("lfoci", module, lambda: seen, rng())
    assert found == [seen.units[column] for column in expected]
    assert select("cheap", module, lambda: seen, rng()) == list(
        dict.fromkeys(seen.units[columns[0]] for columns in chosen)
    )
    assert select("lfoci", module, lambda: seen, rng(), max_units=2) == found[:2]
    assert len(select("random", module, lambda: seen, rng())) == len(found)


def test_a_class_whose_copies_tell_nothing_takes_nothing():
    asked = problem([0, 1], n=12)
    shared = shares(asked.sample[1], 200, "by_class")
    seen = observe(asked.module, cross_entropy, asked.sample, shared, 0.3, generator(1))
    losses = seen.losses.copy()
    losses[shared.parts[0]] = 1.0
    silent = replace(seen, losses=losses)
    alone = replace(seen, losses=losses[shared.parts[1]], activations=seen.activations[shared.parts[1]])
    alone = replace(alone, parts=(slice(None),))
    assert select("lfoci", asked.module, lambda: silent, rng()) == select(
        "lfoci", asked.module, lambda: alone, rng()
    )
    losses[:] = np.repeat([1.0, 2.0], 100)  # alike within each class
    with pytest.raises(ScrubError, match="the same for every perturbed copy"):
        select("lfoci", asked.module, lambda: silent, rng())


def test_rows_that_stay_are_looked_at_for_each_class_up_to_a_limit():
    many = torch.arange(100)
    assert Scrub().rows_for(many[:1]) == 128
    assert Scrub().rows_for(many[:10]) == 1280
    assert Scrub().rows_for(many) == 2048
    assert Scrub(curvature_rows=5000).rows_for(many) == 5000
    assert Scrub(curvature_rows=None).rows_for(many) is None
    assert Scrub(selection="together").rows_for(many) == 128
    assert Scrub().rows_for(torch.zeros(5)) == 128  # of real numbers there are no classes


def test_published_is_one_selection_of_all_rows_and_others_are_refused():
    assert Scrub.published().selection == "together"
    assert Scrub().selection == "by_class"
    with pytest.raises(InvalidValue, match="selection"):
        Scrub(selection="each")
