"""SISA: exact to the bit, at the cost that its equation says; an ensemble is a network like any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from expunge.core.errors import DataError, InvalidValue
from expunge.curvature import cross_entropy
from expunge.datasets.images import Examples, Images
from expunge.models import Mlp
from expunge.models.ensemble import Ensemble
from expunge.predictors.network import NetworkModel
from expunge.predictors.sharded import epochs_of_a_slice, placed
from expunge.training import Learner, Training
from expunge.training.loop import train
from expunge.unlearners.sisa import Sisa
from tests import networks

N, D, K = 40, 4, 3
shapes = st.fixed_dictionaries(
    {"shards": st.integers(1, 4), "slices": st.integers(1, 3), "seed": st.integers(0, 99)}
)
few = settings(max_examples=8, deadline=None)


def learner(cache=None, epochs=3):
    how = Training(optimizer="sgd", epochs=epochs, lr=0.1, batch_size=8, weight_decay=0.01)
    return Learner(Mlp(hidden=(3,)), how, "cpu", cache, progress=False, threads=1)


def data(seed=0):
    x, y = networks.blobs(N, D, K, seed=seed)
    return np.asarray(x), y


def fitted(shards=3, slices=2, seed=0, x=None, vote="mean", cache=None):
    made = Sisa(NetworkModel(learner(cache)), shards, slices, vote)
    made.fit(data()[0] if x is None else x, data()[1], seed)
    return made


def arrays(made):
    """All that is saved of the ensemble: the model, and what it keeps of the slices."""
    return {name: value for name, value in made.state().arrays.items() if name != "removed_rows"}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def trained_by_hand(made, rows):
    """Shard by shard and slice by slice on these rows alone, with nothing but the training loop."""
    model, how = made.predictor, made.predictor.steps.training
    found = []
    for shard in range(model.shards):
        module = model._member(shard)
        for part in range(model.slices):
            own = [
                i
                for i in rows
                if model.place[i] in range(shard * model.slices, shard * model.slices + part + 1)
            ]
            examples = Examples(model.x, torch.from_numpy(model.codes), np.array(own, dtype=np.int64), 8)
            if own:
                train(module, examples, how, cross_entropy, model._seed(shard, part), record=False)
        found.append({name: value.numpy() for name, value in module.state_dict().items()})
    return found


@few
@given(shapes, st.lists(st.integers(0, N - 1), min_size=1, max_size=30, unique=True), st.integers(0, 30))
def test_what_is_left_is_what_training_without_the_rows_gives_bit_for_bit(shape, gone, cut):
    """The rows that leave are anything at all: not a bit of the model, or of what is kept, comes of them."""
    (x, y), rest = data(), np.setdiff1d(np.arange(N), gone)
    other = x.copy()
    other[gone] = np.random.default_rng(1).normal(scale=9, size=(len(gone), D))
    made, unlike = fitted(**shape), fitted(**shape, x=other)
    for method in (made, unlike):
        for request in filter(None, (gone[:cut], gone[cut:])):
            assert method.remove(request).outcome == "removed"
    again = made.predictor.retrained(x, y, rest)
    assert same(arrays(made), arrays(again))
    assert same(arrays(made), arrays(unlike))
    for shard, weights in enumerate(trained_by_hand(made, rest)):
        own = {name: made.predictor.model()[f"members.{shard}.{name}"] for name in weights}
        assert same(own, weights)


def test_it_was_not_so_before_the_request():
    made = fitted()
    again = made.predictor.retrained(*data(), np.arange(1, N))
    assert not same(arrays(made), arrays(again))


@few
@given(shapes, st.lists(st.integers(0, N - 1), min_size=1, max_size=6, unique=True))
def test_the_ledger_says_what_was_trained_again_and_nothing_else_was(shape, gone):
    made = fitted(**shape)
    model, slices = made.predictor, shape["slices"]
    before = arrays(made)
    outcome = made.remove(gone)
    again = {(p // slices, later) for p in model.place[gone] for later in range(p % slices, slices)}
    assert outcome.figures["slices_retrained"] == len(again)
    assert outcome.figures["shards_retrained"] == len({shard for shard, _ in again})
    assert outcome.figures["slices_in_all"] == shape["shards"] * slices
    weights = D * 3 + 3 + 3 * K + K
    stored = shape["shards"] * (slices - 1) * weights * 4 / (N - len(gone))
    assert outcome.figures["stored_bytes_row"] == pytest.approx(stored)
    after = arrays(made)
    for shard in range(shape["shards"]):
        for part in range(slices):
            last = part == slices - 1
            begins = f"module.members.{shard}." if last else f"slice.{shard}.{part}."
            own = [name for name in after if name.startswith(begins)]
            assert own
            assert all(np.array_equal(before[n], after[n]) for n in own) == ((shard, part) not in again)


@given(st.integers(1, 60), st.integers(1, 6), st.integers(1, 6), st.integers(0, 9))
def test_every_row_has_a_place_and_places_are_of_equal_size(rows, shards, slices, seed):
    place = placed(rows, shards, slices, seed)
    assert place.shape == (rows,)
    for sizes in (
        np.bincount(place // slices, minlength=shards),
        *(np.bincount(place[place // slices == s] % slices, minlength=slices) for s in range(shards)),
    ):
        assert sizes.max() - sizes.min() <= 1
    assert np.array_equal(place, placed(rows, shards, slices, seed))


def test_slices_cost_what_one_training_costs_and_a_request_its_share():
    for slices in (1, 2, 3, 5, 9):
        epochs = 10 * (slices + 1)
        each = epochs_of_a_slice(epochs, slices)
        cost = [each * part / slices for part in range(1, slices + 1)]  # passes over all rows of a shard
        assert sum(cost) == pytest.approx(epochs)
        again = np.mean([sum(cost[first:]) for first in range(slices)])
        assert again / sum(cost) == pytest.approx((2 * slices + 1) / (3 * slices))
    assert [epochs_of_a_slice(e, 5) for e in (0, 1, 20)] == [0, 1, 7]


def test_one_shard_of_one_slice_is_the_network_itself():
    made = fitted(shards=1, slices=1)
    made.remove([3, 8])
    model = made.predictor
    plain = NetworkModel(learner())
    plain.fit(*data(), model._seed(0))
    plain.module.load_state_dict(model._member(0).state_dict())
    seed, rows = model._seed(0, 0), model.there.here
    expected = learner().train(plain.x, plain.codes, rows, K, seed, begin=plain.module).module
    plain.module = expected
    x = data()[0]
    np.testing.assert_allclose(model.probabilities(x), plain.probabilities(x), rtol=1e-6)
    np.testing.assert_allclose(model.embeddings(x), plain.embeddings(x))


class Says(nn.Module):
    """A member of the ensemble that says the same of every row."""

    def __init__(self, p):
        super().__init__()
        self.z = nn.Parameter(torch.tensor(p).log())

    def forward(self, x):
        return self.z.expand(len(x), -1)


@pytest.mark.parametrize(
    ("vote", "expected"),
    [
        ("mean", [0.4, 0.35, 0.25]),  # of (.5, .3, .2), (.5, .3, .2), (.2, .45, .35)
        ("majority", [(2 + 0.4) / 4, (1 + 0.35) / 4, 0.25 / 4]),
    ],
)
def test_members_vote_by_their_equation(vote, expected):
    net = Ensemble([Says([0.5, 0.3, 0.2]), Says([0.5, 0.3, 0.2]), Says([0.2, 0.45, 0.35])], vote)
    out = net(torch.zeros(2, 1))
    np.testing.assert_allclose(out.softmax(1).detach(), [expected] * 2, rtol=1e-6)
    np.testing.assert_allclose(
        out.exp().detach(), [expected] * 2, rtol=1e-6
    )  # nothing is left to be normalised
    net.heard[:2] = False
    alone = [0.2, 0.45, 0.35] if vote == "mean" else [0.1, 0.725, 0.175]
    np.testing.assert_allclose(net(torch.zeros(1, 1)).exp().detach(), [alone], rtol=1e-6)


def test_a_majority_beats_a_larger_mean_and_a_tie_does_not():
    sure, torn = Says([0.02, 0.96, 0.02]), Says([0.51, 0.48, 0.01])
    label = lambda *members: int(Ensemble(members, "majority")(torch.zeros(1, 1)).argmax())  # noqa: E731
    assert label(torn, torn, sure) == 0
    assert label(torn, sure) == 1
    assert int(Ensemble([torn, torn, sure], "mean")(torch.zeros(1, 1)).argmax()) == 1


@pytest.mark.parametrize("vote", ["mean", "majority"])
def test_an_ensemble_answers_what_metrics_ask(vote):
    made, (x, y) = fitted(vote=vote), data()
    model, rows = made.predictor, np.arange(7)
    p = model.probabilities(x)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(model.losses(x, y, rows), -np.log(p[rows, y[rows]]), rtol=1e-5)
    np.testing.assert_allclose(model.log_odds(x, y, rows), np.log(1 / p[rows, y[rows]] - 1), rtol=1e-4)
    weights, loss = model.mean_loss(x, y, rows)
    value, gradient = loss(weights)
    assert value == pytest.approx(model.losses(x, y, rows).mean())
    assert float(gradient.norm()) == pytest.approx(model.gradient_norm(x, y, rows), rel=1e-5)
    assert loss(weights - 1e-2 * gradient)[0] < value
    assert model.embeddings(x).shape == (N, 9)
    assert model.activation_maps(x) is None
    assert model.is_finite()


def test_a_shard_that_is_empty_has_no_vote():
    made, (x, y) = fitted(), data()
    gone = np.flatnonzero(made.predictor.place // 2 == 1)
    made.remove(gone.tolist())
    assert made.predictor.module.heard.tolist() == [True, False, True]
    others = [made.predictor.module.members[s](torch.from_numpy(x).float()).softmax(1) for s in (0, 2)]
    np.testing.assert_allclose(
        made.predictor.probabilities(x), torch.stack(others).mean(0).detach(), rtol=1e-5
    )
    loaded = Sisa(NetworkModel(learner()), 3, 2)
    loaded.load_state(made.state(), x, y)
    assert loaded.predictor.module.heard.tolist() == [True, False, True]


def test_the_cache_gives_the_same_and_a_removal_does_not_ask_it(tmp_path):
    plain, cold, warm = fitted(), fitted(cache=tmp_path), fitted(cache=tmp_path)
    assert same(arrays(plain), arrays(cold))
    assert same(arrays(plain), arrays(warm))
    assert warm.predictor.seconds_fit == pytest.approx(cold.predictor.seconds_fit)
    assert len(list(tmp_path.glob("*.safetensors"))) == 6
    for made in (plain, warm):
        made.remove([5])
    assert len(list(tmp_path.glob("*.safetensors"))) == 6
    assert same(arrays(plain), arrays(warm))
    assert same(arrays(warm), arrays(warm.predictor.retrained(*data(), warm.predictor.there.here)))


def test_what_is_kept_of_another_form_is_refused():
    made = fitted()
    state = made.state()
    state.arrays["slice.1.0.1.weight"] = state.arrays["slice.1.0.1.weight"][:2]
    with pytest.raises(DataError, match=r"1\.weight"):
        Sisa(NetworkModel(learner()), 3, 2).load_state(state, *data())


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"shards": 0}, "shards"),
        ({"slices": 1.5}, "slices"),
        ({"vote": "loudest"}, "vote"),
        ({"shards": 21}, "shards"),
    ],
)
def test_settings_that_cannot_be_had_are_named(given, key):
    with pytest.raises(InvalidValue, match=rf"^{key}: got"):
        fitted(**{"slices": 2, **given})


def test_a_training_that_fails_changes_nothing(monkeypatch):
    made = fitted()
    before = arrays(made)
    calls = iter(range(9))
    whole = made.predictor.anew.train

    def fails(*args, **kwargs):
        if next(calls):
            raise KeyboardInterrupt
        return whole(*args, **kwargs)

    monkeypatch.setattr(made.predictor.anew, "train", fails)
    with pytest.raises(KeyboardInterrupt):
        made.remove(list(range(20)))
    assert same(before, arrays(made))
    assert made.predictor.kept.all()
    assert isinstance(made.predictor.x, Images)
