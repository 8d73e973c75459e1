"""Vectors that are carried along with training: against explicit Hessians, and training without the row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian

from expunge.core.errors import DataError, InvalidValue
from expunge.core.seeds import stream
from expunge.curvature import cross_entropy
from expunge.datasets.images import Images
from expunge.models import Mlp, Softmax
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training
from expunge.training.loop import train
from expunge.training.recollection import Recollection, require_followed
from expunge.unlearners.hessian_free import HessianFree
from tests import networks

N, D, K = 20, 3, 3
HOW = Training("sgd", 3, 0.3, 0.0, 0.02, 8, "cosine")


def data():
    return networks.blobs(N, D, K)


def tanh(seed=0):
    """A small network that is smooth, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(D, 4), nn.Tanh(), nn.Linear(4, K)).double()


def convolving(seed=0):
    """The same with a convolution, whose derivatives want a row at least."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = nn.Unflatten(1, (1, 1, D)), nn.Conv2d(1, 2, (1, 2)), nn.Tanh(), nn.Flatten(), nn.Linear(4, K)
        return nn.Sequential(nn.Flatten(), *layers).double()


def flat(module):
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


def loss_of(module, x, y, weights):
    """``sum_i weight_i loss_i / m`` as a function of all parameters."""
    named = dict(module.named_parameters())

    def loss(w):
        parts = w.split([p.numel() for p in named.values()])
        own = {name: part.view_as(named[name]) for name, part in zip(named, parts, strict=True)}
        return (weights * cross_entropy(functional_call(module, own, (x,)), y)).mean()

    return loss


def by_hand(module, how, row, weight):
    """Weights after training with ``weight`` for ``row``, and the derivative there, by explicit Hessians."""
    x, y = (torch.as_tensor(np.asarray(part)) for part in data())
    w, v = flat(module), torch.zeros(flat(module).numel(), dtype=torch.float64)
    a, b = torch.zeros_like(w), torch.zeros_like(w)
    cuts = how.batches(N)
    for epoch in range(how.epochs):
        order = stream(0, "training", 1, epoch).permutation(np.arange(N))
        for step, (start, stop) in enumerate(cuts):
            rows = order[start:stop]
            weights = torch.where(torch.from_numpy(rows == row), weight, 1.0).double()
            loss = loss_of(module, x[rows], y[rows], weights)
            rate = how.rate(epoch * len(cuts) + step, how.epochs * len(cuts))
            own = loss_of(module, x[rows], y[rows], torch.from_numpy(rows == row).double())
            curved = hessian(loss)(w) + how.weight_decay * torch.eye(len(w), dtype=torch.float64)
            b = how.momentum * b + curved @ a - torch.func.grad(own)(w)
            v = how.momentum * v + torch.func.grad(loss)(w) + how.weight_decay * w
            w, a = w - rate * v, a - rate * b
    return w, a


def followed(how, make=tanh):
    module, (x, y) = make(), data()
    kept = Recollection(np.arange(N), flat(module).numel(), how)
    train(
        module, networks.examples(np.asarray(x), y), how, cross_entropy, 0, record=False, follow=kept.follow
    )
    return module, kept


@pytest.mark.parametrize(("momentum", "make"), [(0.0, tanh), (0.8, tanh), (0.8, convolving)])
def test_the_vectors_are_those_of_explicit_hessians(momentum, make):
    how = Training("sgd", 3, 0.3, momentum, 0.02, 8, "cosine")
    module, kept = followed(how, make)
    for row in (0, 7, 19):
        w, a = by_hand(make(), how, row, 1.0)
        torch.testing.assert_close(flat(module), w, rtol=0, atol=1e-12)
        torch.testing.assert_close(kept.vectors[row], a, rtol=0, atol=1e-12)
    assert kept.vectors.abs().max() > 1e-3


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_the_error_falls_with_the_square_of_the_weight_that_leaves(momentum):
    how = Training("sgd", 3, 0.3, momentum, 0.02, 8, "cosine")
    module, kept = followed(how)
    errors, moves = [], []
    for share in (0.2, 0.1, 0.05):
        exact = by_hand(tanh(), how, 7, 1 - share)[0]
        errors.append(float(torch.linalg.vector_norm(flat(module) + share * kept.vectors[7] - exact)))
        moves.append(float(torch.linalg.vector_norm(flat(module) - exact)))
    assert 3.5 < errors[0] / errors[1] < 4.5
    assert 3.7 < errors[1] / errors[2] < 4.3
    whole = by_hand(tanh(), how, 7, 0.0)[0]
    left = torch.linalg.vector_norm(flat(module) + kept.vectors[7] - whole)
    assert left < 0.5 * torch.linalg.vector_norm(flat(module) - whole)


@pytest.mark.parametrize("layer", [nn.LayerNorm(3), nn.GroupNorm(1, 3), nn.BatchNorm1d(3), nn.Dropout()])
def test_networks_that_normalise_or_draw_are_refused(layer):
    with pytest.raises(InvalidValue, match=r"^model: .*allowed: layers without normalisation"):
        require_followed(nn.Sequential(nn.Linear(3, 3), layer))


def test_following_a_training_changes_nothing_of_it():
    module, (x, y) = tanh(), data()
    train(module, networks.examples(np.asarray(x), y), HOW, cross_entropy, 0, record=False)
    assert torch.equal(flat(module), flat(followed(HOW)[0]))


# -- the method -----------------------------------------------------------------------------------------


def made(architecture=None, training=HOW, cache=None, **settings):
    learner = Learner(architecture or Mlp(hidden=(4,)), training, "cpu", cache, progress=False, threads=1)
    return HessianFree(NetworkModel(learner), **{"val_gap": None, **settings})


def fitted(**settings):
    method = made(**settings)
    method.fit(*data(), 0)
    return method


def test_a_removal_is_the_sum_of_the_rows_vectors_and_they_go_with_them(tmp_path):
    method = fitted(scale=0.5, cache=tmp_path)
    assert not list(tmp_path.glob("*"))  # the cache has no vectors
    before, vectors = flat(method.predictor.module), method.predictor.recollection.vectors.clone()
    outcome = method.remove([3, 8])
    assert outcome.figures["stored_bytes_row"] == 4 * len(before)
    expected = before + 0.5 * (vectors[3] + vectors[8])
    torch.testing.assert_close(flat(method.predictor.module), expected)
    saved = method.state().arrays["recollections"]
    assert saved.shape == (N - 2, len(before))
    assert np.array_equal(saved, vectors.numpy()[np.setdiff1d(np.arange(N), [3, 8])])
    method.remove([4])
    torch.testing.assert_close(flat(method.predictor.module), expected + 0.5 * vectors[4])


def test_the_network_is_that_of_every_other_method():
    method = fitted()
    other = NetworkModel(method.predictor.learner)
    other.fit(*data(), 0)
    assert all(np.array_equal(value, other.model()[key]) for key, value in method.predictor.model().items())


def test_a_removal_comes_nearer_to_retraining_along_the_same_batches():
    """float32 and one row: the weights move towards those without it, by most of the way."""
    how = Training("sgd", 3, 0.3, 0.0, 0.02, N, "cosine")  # one batch: the same with a divisor of N - 1
    method = fitted(architecture=Softmax(), training=how)
    before = flat(method.predictor.module)
    exact = flat(method.predictor.retrained(*[Images.of(data()[0]), data()[1]], np.arange(1, N)).module)
    method.remove([0])
    after = flat(method.predictor.module)
    assert torch.linalg.vector_norm(after - exact) < 0.6 * torch.linalg.vector_norm(before - exact)


def test_a_state_with_the_vectors_of_other_rows_is_refused():
    method = fitted()
    state = method.state()
    state.arrays["recollections"] = state.arrays["recollections"][1:]
    with pytest.raises(DataError, match="recollections"):
        made().load_state(state, *data())


class Dropping:
    """An architecture with dropout."""

    weights = None
    name = "dropping"

    def build(self, shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(shape[0], classes))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"limit": 100.0}, "limit: got 100.0, allowed: at least 620, for 20 rows with 31 parameters"),
        ({"limit": 0.0}, "limit: got 0.0, allowed: "),
        ({"scale": -1.0}, "scale: got -1.0, allowed: "),
        ({"training": Training("adam", 1)}, "training.optimizer: got 'adam', allowed: sgd"),
        ({"architecture": Dropping()}, "model: got 'Dropout (1)', allowed: layers without"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(settings, line):
    with pytest.raises(InvalidValue) as error:
        fitted(**settings)
    assert str(error.value).startswith(line)
