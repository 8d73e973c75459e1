"""Training: what it minimises, that it repeats, goes on after a break, and is not done twice."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from safetensors import safe_open
from torch import nn

from expunge.core.errors import DataError, InvalidValue
from expunge.core.files import load_tensors, save_tensors
from expunge.curvature.gradients import cross_entropy
from expunge.datasets import mnist
from expunge.datasets.images import Examples, Images
from expunge.models import Mlp, Softmax, Torchvision, initialised
from expunge.run.targets import build
from expunge.training import Learner, Training, train
from expunge.training.learner import device_named

CONF = Path(__file__).resolve().parents[2] / "conf" / "training"
OPTIMIZERS = [
    Training(epochs=4, lr=0.1, batch_size=8),
    Training(optimizer="adam", epochs=4, lr=0.01, batch_size=8),
    Training(momentum=0.0, epochs=4, lr=0.1, batch_size=8, schedule="constant"),
]


def data(n=41, shape=(6, 5, 1), classes=3, seed=0):
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, size=(n, *shape), dtype=np.uint8)
    return Images(raw, 255.0, 0.5), rng.integers(0, classes, size=n)


def examples(n=41, dtype=torch.float32, **options):
    x, y = data(n, **options)
    return Examples(x, torch.from_numpy(y), np.arange(n), dtype=dtype)


class Normed(nn.Module):
    """A convolution, BatchNorm and dropout: buffers and random numbers that training has to keep right."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(x).mean(dim=(2, 3)))


def fresh(make=Normed, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def equal(a, b):
    """Whether two trainings ended alike, to the bit."""
    return (
        same(a.module.state_dict(), b.module.state_dict())
        and a.losses == b.losses
        and all(same(getattr(a.history, part), vars(b.history)[part]) for part in vars(a.history))
    )


class Interrupted(Exception):
    pass


def break_after(calls):
    """Cross-entropy that raises after so many calls; ``.calls`` counts them."""

    def losses(outputs, targets):
        losses.calls += 1
        if losses.calls > calls:
            raise Interrupted
        return cross_entropy(outputs, targets)

    losses.calls = 0
    return losses


# ---- settings


@given(n=st.integers(1, 300), size=st.integers(1, 40), most=st.none() | st.integers(1, 10))
def test_batches_cover_every_row_once_and_none_is_left_alone(n, size, most):
    cuts = Training(batch_size=size, max_batches=most).batches(n)
    whole = Training(batch_size=size).batches(n)
    assert cuts == whole[:most]
    assert [i for start, stop in whole for i in range(start, stop)] == list(range(n))
    assert n == 1 or size == 1 or all(2 <= stop - start <= size + 1 for start, stop in whole)


def test_rates():
    cosine = Training(lr=0.2)
    np.testing.assert_allclose(
        [cosine.rate(t, 4) for t in range(4)], 0.1 * (1 + np.cos(np.pi * np.arange(4) / 4))
    )
    assert Training(lr=0.2, schedule="constant").rate(3, 4) == 0.2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer", "lbfgs"),
        ("epochs", -1),
        ("epochs", 1.5),
        ("lr", 0.0),
        ("lr", "fast"),
        ("lr", float("nan")),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("momentum", None),
        ("weight_decay", -1e-3),
        ("weight_decay", float("inf")),
        ("weight_decay", float("nan")),
        ("weight_decay", True),
        ("batch_size", 0),
        ("schedule", "step"),
        ("max_batches", 0),
    ],
)
def test_bad_settings_are_named(key, value):
    with pytest.raises(InvalidValue, match=f"^{key}: got "):
        Training(**{key: value})


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_configuration_gives_settings(name):
    settings = build("training", OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml")))
    assert (settings.optimizer, settings.weight_decay, settings.max_batches) == (name, 0.01, None)


# ---- the loop


def test_full_batch_steps_are_those_of_the_penalised_mean_loss():
    """Gradient descent on mean loss + (weight_decay / 2) ||w||^2, written out by hand in float64."""
    batch = examples(12, torch.float64)
    settings = Training(epochs=3, lr=0.3, momentum=0.5, weight_decay=0.2, batch_size=12)
    network = fresh(lambda: Softmax().build((1, 6, 5), 3)).double()
    weight, bias = (p.detach().clone() for p in network.parameters())
    trained = train(network, batch, settings, cross_entropy, seed=1)

    x, y = batch.take(np.arange(12))
    x = x.reshape(12, -1)
    targets = torch.nn.functional.one_hot(y, 3).double()
    moving_w, moving_b = torch.zeros_like(weight), torch.zeros_like(bias)
    for t in range(3):
        residual = torch.softmax(x @ weight.T + bias, dim=1) - targets
        moving_w = 0.5 * moving_w + residual.T @ x / 12 + 0.2 * weight
        moving_b = 0.5 * moving_b + residual.mean(dim=0) + 0.2 * bias
        rate = 0.15 * (1 + np.cos(np.pi * t / 3))
        weight, bias = weight - rate * moving_w, bias - rate * moving_b
    torch.testing.assert_close(trained.module[1].weight.detach(), weight)
    torch.testing.assert_close(trained.module[1].bias.detach(), bias)


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=["sgd", "adam", "plain"])
def test_training_repeats_to_the_bit_and_leaves_torchs_random_numbers_alone(settings):
    state = torch.get_rng_state()
    one = train(fresh(), examples(), settings, cross_entropy, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert equal(one, train(fresh(), examples(), settings, cross_entropy, seed=3))
    assert not equal(one, train(fresh(), examples(), settings, cross_entropy, seed=4))
    assert not one.module.training
    assert len(one.losses) == 4
    assert one.losses[-1] < one.losses[0]


def test_no_epoch_leaves_the_network_as_it_was():
    trained = train(fresh(), examples(), Training(epochs=0), cross_entropy, seed=0)
    assert same(trained.module.state_dict(), fresh().state_dict())
    assert (trained.history, trained.losses, trained.module.training) == (None, (), False)


def test_only_the_given_rows_count():
    x, y = data()
    other = Images(x.raw.copy(), x.unit, x.offset)
    other.raw[20:] = 0
    settings, rows = Training(epochs=2, batch_size=8), np.arange(20)
    one = train(fresh(), Examples(x, torch.from_numpy(y), rows), settings, cross_entropy, seed=0)
    two = train(fresh(), Examples(other, torch.from_numpy(y), rows), settings, cross_entropy, seed=0)
    assert equal(one, two)


def test_max_batches_ends_each_epoch_early():
    losses = break_after(10**9)
    settings = Training(epochs=3, batch_size=5, max_batches=2)
    train(fresh(), dataclasses.replace(examples(), size=100), settings, losses, seed=0)
    assert losses.calls == 3 * 2 + 2  # and two gradients for the history, one batch each


@pytest.mark.parametrize("n", [9, 17])
def test_a_row_left_over_joins_the_last_batch(n):
    """BatchNorm on 1 x 1 maps cannot be trained on one row: 9 = 8 + 1 rows are one batch."""

    def network():
        return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(30), nn.Linear(30, 3))

    settings = Training(epochs=1, batch_size=8)
    assert np.isfinite(train(fresh(network), examples(n), settings, cross_entropy, seed=0).losses).all()
    with pytest.raises(InvalidValue, match=r"^batch_size: got 1.*BatchNorm"):
        train(fresh(network), examples(n), Training(batch_size=1), cross_entropy, seed=0)


@pytest.mark.parametrize("lr", [1e8, 1e15])
def test_a_diverging_training_asks_for_a_smaller_rate(lr):
    settings = Training(epochs=6, lr=lr, batch_size=8)
    with pytest.raises(InvalidValue, match=r"^lr: got .*a smaller value.*not finite in epoch [1-6]$"):
        train(fresh(lambda: Mlp((8, 8, 8)).build((1, 6, 5), 3)), examples(), settings, cross_entropy, seed=0)


def test_no_rows_are_refused():
    with pytest.raises(InvalidValue, match=r"^rows"):
        train(fresh(), examples().only([]), Training(), cross_entropy, seed=0)


# ---- history


@pytest.mark.parametrize("architecture", [Mlp((7, 7, 7)), Torchvision("resnet18")], ids=lambda a: a.name)
def test_identical_layers_have_their_own_history(architecture):
    network = initialised(architecture, (1, 6, 5), 3, seed=0)
    start = {key: p.detach().clone() for key, p in network.named_parameters()}
    batch = examples(12)
    trained = train(network, batch, Training(epochs=1, batch_size=6), cross_entropy, seed=0)
    history, names = trained.history, [key for key, _ in network.named_parameters()]
    for part in (history.gradient, history.gradient_change, history.weight_change):
        assert list(part) == names
        for key, p in network.named_parameters():
            assert part[key].shape == p.shape
    for key, p in network.named_parameters():
        assert torch.equal(history.weight_change[key], p.detach() - start[key])
    x, y = batch.take(np.arange(12))
    nn.functional.cross_entropy(network(x), y).backward()
    for key, p in network.named_parameters():
        torch.testing.assert_close(history.gradient[key], p.grad, atol=1e-5, rtol=1e-3)


def test_history_is_the_change_over_the_last_epoch():
    """Against stopping one epoch earlier with a constant rate, and measuring both ends by hand."""

    def run(epochs):
        settings = Training(epochs=epochs, batch_size=8, schedule="constant", max_batches=3)
        return train(fresh().double(), examples(dtype=torch.float64), settings, cross_entropy, seed=5)

    def gradient(module):
        x, y = examples(dtype=torch.float64).take(np.arange(24))  # as many rows as an epoch sees, the first
        loss = nn.functional.cross_entropy(module(x), y)
        return dict(
            zip(
                dict(module.named_parameters()),
                torch.autograd.grad(loss, list(module.parameters())),
                strict=True,
            )
        )

    last, before = run(3), run(2)
    g, g_before = gradient(last.module), gradient(before.module)
    w, w_before = dict(last.module.named_parameters()), dict(before.module.named_parameters())
    for key in g:
        torch.testing.assert_close(last.history.gradient[key], g[key])
        torch.testing.assert_close(last.history.gradient_change[key], g[key] - g_before[key])
        assert torch.equal(last.history.weight_change[key], w[key].detach() - w_before[key].detach())


# ---- going on after a break


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=["sgd", "adam", "plain"])
@pytest.mark.parametrize("calls", [3, 8, 13, 16, 19])
def test_a_broken_off_training_ends_like_an_unbroken_one(settings, calls, tmp_path):
    """Five batches an epoch: broken off in each of the four epochs and in the last measurements."""
    file = tmp_path / "part.safetensors"
    whole = train(fresh(), examples(), settings, cross_entropy, seed=3)
    with pytest.raises(Interrupted):
        train(fresh(), examples(), settings, break_after(calls), seed=3, checkpoint=file)
    assert file.exists() == (calls >= 5)
    again = break_after(10**9)
    continued = train(fresh(), examples(), settings, again, seed=3, checkpoint=file)
    assert equal(whole, continued)
    assert again.calls == 22 - 5 * min(calls // 5, 3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", OPTIMIZERS[:2], ids=["sgd", "adam"])
def test_what_a_checkpoint_holds_matters(settings, tmp_path):
    """Negative control: without the optimizer's state, or with one of its numbers moved, the end differs."""
    whole = train(fresh(), examples(), settings, cross_entropy, seed=3)
    for spoil in ("forget", "move"):
        file = tmp_path / "part.safetensors"
        with pytest.raises(Interrupted):
            train(fresh(), examples(), settings, break_after(8), seed=3, checkpoint=file)
        tensors, header = load_tensors(file)
        del header["tensors"]  # which says what there was
        moments = [name for name in tensors if name.startswith("optimizer.")]
        assert len(moments) == len(list(fresh().parameters())) * (3 if settings.optimizer == "adam" else 1)
        if spoil == "forget":
            tensors = {name: tensor for name, tensor in tensors.items() if name not in moments}
        else:
            tensors[moments[0]] = tensors[moments[0]] + 1e-3
        save_tensors(file, tensors, header)
        assert not equal(whole, train(fresh(), examples(), settings, cross_entropy, seed=3, checkpoint=file))


def test_a_damaged_or_foreign_checkpoint_is_not_used(tmp_path, caplog):
    file, settings = tmp_path / "part.safetensors", OPTIMIZERS[0]
    whole = train(fresh(), examples(), settings, cross_entropy, seed=3)

    def begin(seed=3):
        with pytest.raises(Interrupted):
            train(fresh(), examples(), settings, break_after(8), seed=seed, checkpoint=file)

    def ends_alike():
        caplog.clear()
        assert equal(whole, train(fresh(), examples(), settings, cross_entropy, seed=3, checkpoint=file))
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "training starts from scratch" in caplog.text

    begin()
    content = bytearray(file.read_bytes())
    file.write_bytes(content[:-10])
    ends_alike()
    content[-10] ^= 1  # one bit of one tensor
    file.write_bytes(content)
    ends_alike()
    begin(seed=4)
    ends_alike()


# ---- cache and learner

QUICK, SMALL = Training(epochs=2, batch_size=16), Mlp((5,))


def learner(cache, architecture=SMALL, training=QUICK, **options):
    return Learner(architecture, training, device="cpu", cache=cache, progress=False, **options)


def stored(cache):
    return sorted(file.name for file in cache.iterdir())


def test_what_was_trained_once_is_not_trained_again(tmp_path, monkeypatch):
    x, y = data()
    first = learner(tmp_path).train(x, y, np.arange(30), 3, seed=0)
    assert not first.cached
    assert len(stored(tmp_path)) == 1
    monkeypatch.setattr("expunge.training.learner.train", None)
    second = learner(tmp_path).train(Images(x.raw.copy(), 255.0, 0.5), y, np.arange(30), 3, seed=0)
    assert second.cached
    assert equal(first, second)
    assert second.seconds == first.seconds
    assert not second.module.training
    with safe_open(tmp_path / stored(tmp_path)[0], framework="pt") as file:
        settings = json.loads(file.metadata()["expunge"])["settings"]
    assert settings["architecture"]["hidden"] == [5]
    assert settings["training"]["epochs"] == 2


def test_everything_that_matters_changes_the_key(tmp_path):
    x, y = data()
    rows = np.arange(30)
    other_y = y.copy()
    other_y[3] = (y[3] + 1) % 3
    weights = tmp_path / "w.safetensors"
    seeds = (1, 2)
    asked = [
        (learner(tmp_path), x, y, rows, 3, 0),
        (learner(tmp_path, Mlp((6,))), x, y, rows, 3, 0),
        (learner(tmp_path, Softmax()), x, y, rows, 3, 0),
        (learner(tmp_path, training=dataclasses.replace(QUICK, lr=0.01)), x, y, rows, 3, 0),
        (learner(tmp_path), Images(x.raw, 255.0, 0.4), y, rows, 3, 0),
        (learner(tmp_path), Images(x.raw[::-1], 255.0, 0.5), y, rows, 3, 0),
        (learner(tmp_path), x, other_y, rows, 3, 0),
        (learner(tmp_path), x, y, rows[:-1], 3, 0),
        (learner(tmp_path), x, y, rows[::-1], 3, 0),
        (learner(tmp_path), x, y, rows, 4, 0),
        (learner(tmp_path), x, y, rows, 3, 1),
        (learner(tmp_path, threads=torch.get_num_threads() + 1), x, y, rows, 3, 0),
    ]
    for count, (one, *arguments) in enumerate(asked, start=1):
        assert not one.train(*arguments).cached
        assert len(stored(tmp_path)) == count
    for seed in seeds:  # the content of the file of weights counts, not its name
        save_tensors(weights, initialised(Mlp((5,)), x.shape, 3, seed).state_dict(), {})
        assert not learner(tmp_path, Mlp((5,), weights=str(weights))).train(x, y, rows, 3, 0).cached
    moved = weights.rename(tmp_path / "moved.safetensors")
    assert learner(tmp_path, Mlp((5,), weights=str(moved))).train(x, y, rows, 3, 0).cached
    unasked = y.copy()
    unasked[35] = (y[35] + 1) % 3
    assert learner(tmp_path, Mlp((5,), name="another")).train(x, unasked, rows, 3, 0).cached


def test_a_damaged_file_is_trained_anew(tmp_path, caplog):
    x, y = data()
    first = learner(tmp_path).train(x, y, np.arange(30), 3, seed=0)
    file = next(tmp_path.iterdir())
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 4
    for damaged in (b"", whole[:100], whole[:-1], bytes(flipped)):
        file.write_bytes(damaged)
        caplog.clear()
        second = learner(tmp_path).train(x, y, np.arange(30), 3, seed=0)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert not second.cached
        assert equal(first, second)
        assert learner(tmp_path).train(x, y, np.arange(30), 3, seed=0).cached


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    one = learner(tmp_path / "file" / "cache")
    x, y = data()
    for seed in (0, 1):
        assert not one.train(x, y, np.arange(30), 3, seed=seed).cached
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_killed_training_goes_on_beside_the_cache(tmp_path, monkeypatch):
    x, y = data()
    whole = learner(None).train(x, y, np.arange(30), 3, seed=0)
    monkeypatch.setattr("expunge.training.learner.cross_entropy", break_after(3))
    with pytest.raises(Interrupted):
        learner(tmp_path).train(x, y, np.arange(30), 3, seed=0)
    (part,) = stored(tmp_path)
    again = break_after(10**9)
    monkeypatch.setattr("expunge.training.learner.cross_entropy", again)
    assert equal(whole, learner(tmp_path).train(x, y, np.arange(30), 3, seed=0))
    assert again.calls == 2 + 2 * 2  # one epoch, and two gradients over two batches
    assert stored(tmp_path) == [part.replace(".part", "")]


def test_no_epoch_comes_back_from_the_cache(tmp_path):
    x, y = data()
    none = learner(tmp_path, training=Training(epochs=0))
    first, second = (none.train(x, y, np.arange(30), 3, seed=0) for _ in range(2))
    assert second.cached
    assert (second.history, second.losses) == (None, ())
    assert same(first.module.state_dict(), none.build(x.shape, 3, seed=0).state_dict())


def test_learner_names_what_it_refuses(tmp_path):
    x, y = data()
    with pytest.raises(DataError, match="row 4 has target 3, which is not one of 3 classes"):
        learner(None).train(x, np.where(np.arange(41) == 4, 3, y), np.arange(30), 3, seed=0)
    with pytest.raises(InvalidValue, match=r"^threads"):
        learner(None, threads=0)
    with pytest.raises(InvalidValue, match=r"^device"):
        Learner(Softmax(), QUICK, device="tpu")
    assert device_named("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_threads_are_put_back(tmp_path):
    before, (x, y) = torch.get_num_threads(), data()
    learner(None, threads=before + 1).train(x, y, np.arange(30), 3, seed=0)
    assert torch.get_num_threads() == before


def test_real_digits_are_learned_in_two_epochs(shared_data):
    found = mnist.load(shared_data)
    x, test = (Images(raw, found.unit, found.offset) for raw in (found.x_train[:6000], found.x_test[:2000]))
    for architecture, least in ((Softmax(), 0.84), (Mlp(), 0.85)):
        settings = Training(epochs=2, batch_size=32)
        trained = learner(None, architecture, settings).train(
            x, found.y_train[:6000], np.arange(6000), 10, seed=0
        )
        with torch.no_grad():
            guess = trained.module(test.batch(np.arange(2000))).argmax(dim=1).numpy()
        assert (guess == found.y_test[:2000]).mean() > least


def test_files_of_tensors_are_whole_or_not_there(tmp_path, monkeypatch):
    shared = torch.arange(6.0).reshape(2, 3)
    tensors = {"a": shared, "b": shared.T, "c": torch.tensor(3), "d": torch.zeros(0, 2)}
    save_tensors(tmp_path / "t", tensors, {"k": [1, None]})
    again, header = load_tensors(tmp_path / "t")
    assert same(tensors, again)
    assert header == {"k": [1, None]}

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("expunge.core.files.os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save_tensors(tmp_path / "t", {"a": torch.ones(2)}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["t"]
    assert same(tensors, load_tensors(tmp_path / "t")[0])


def test_a_diverged_training_leaves_nothing_behind(tmp_path):
    learner = Learner(Mlp(), Training(epochs=6, lr=1e4, batch_size=8), "cpu", tmp_path, progress=False)
    x, y = data()
    with pytest.raises(InvalidValue, match=r"^training\.lr: got 10000.0, .*in epoch [2-6]$"):
        learner.train(x, y, np.arange(len(y)), 3, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_trained_is_named():
    frozen, deaf = fresh().requires_grad_(False), fresh()
    deaf.forward = torch.no_grad()(deaf.forward)
    for network, got in ((frozen, "only frozen parameters"), (deaf, "outputs that have no gradient")):
        with pytest.raises(InvalidValue, match=f"^model: got '{got}'"):
            train(network, examples(), Training(epochs=1), cross_entropy, seed=0)
