"""Fine-tuning unlearners against their equations, worked out by hand in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from expunge.core.errors import DataError, InvalidValue
from expunge.curvature import cross_entropy
from expunge.curvature.fisher import mean_squared_gradient
from expunge.models import Mlp, Softmax
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training
from expunge.unlearners.bad_teacher import BadTeacher
from expunge.unlearners.cfk import Cfk, parted
from expunge.unlearners.delete import Delete, masked_softmax
from expunge.unlearners.descent import Descent
from expunge.unlearners.euk import Euk
from expunge.unlearners.finetune import Finetune
from expunge.unlearners.gradient_ascent import GradientAscent
from expunge.unlearners.l1_sparse import L1Sparse
from expunge.unlearners.neggrad import Neggrad
from expunge.unlearners.random_labels import RandomLabels, wrong_labels
from expunge.unlearners.salun import Salun, largest
from expunge.unlearners.scrub_kd import ScrubKd
from expunge.unlearners.ssd import Ssd, adaptive_alpha, dampened_by
from expunge.unlearners.tuning import Batch, Tuning, kl_divergence
from expunge.unlearners.unsir import Unsir
from tests import networks

LR = 0.3
ONE_STEP = {
    **{"optimizer": "sgd", "epochs": 1, "lr": LR, "momentum": 0.0, "weight_decay": 0.0},
    **{"batch_size": 10**6, "val_gap": None},
}
FORGET = [0, 4, 7, 9]


def model(classes=3, n=40, d=5, hidden=(4,), seed=0, epochs=2):
    """A network in float64 that has learned a little, and its data."""
    training = Training(optimizer="sgd", epochs=epochs, lr=0.1, batch_size=16, weight_decay=0.01)
    learner = Learner(Mlp(hidden=hidden), training, "cpu", None, progress=False, threads=1)
    made = NetworkModel(learner)
    x, y = networks.blobs(n, d, classes, seed=seed)
    made.fit(x, y, seed)
    made.module.double()
    return made


class Case:
    """What an equation is about: the rows, and the weights before a request."""

    def __init__(self, made, forget=FORGET):
        self.model, self.forget = made, np.array(forget)
        self.retain = np.setdiff1d(np.arange(len(made.y)), forget)
        self.x, self.y = torch.from_numpy(made.x.raw), torch.from_numpy(made.codes)
        self.before = {name: p.detach().clone() for name, p in made.module.named_parameters()}

    def logits(self, weights, rows):
        return functional_call(self.model.module, weights, (self.x[rows],))

    def log_p(self, weights, rows):
        return self.logits(weights, rows).log_softmax(1)

    def ce(self, weights, rows, labels=None):
        labels = self.y[rows] if labels is None else labels
        return -self.log_p(weights, rows)[torch.arange(len(rows)), labels].mean()

    def after(self, loss, lr=LR):
        """The weights after one step against the gradient of ``loss(weights)``."""
        leaves = {name: p.clone().requires_grad_() for name, p in self.before.items()}
        grads = torch.autograd.grad(loss(leaves), list(leaves.values()))
        return {n: p - lr * g for (n, p), g in zip(self.before.items(), grads, strict=True)}


def agrees(method, case, expected):
    assert method.remove(case.forget.tolist()).outcome == "removed"
    for name, p in case.model.module.named_parameters():
        torch.testing.assert_close(p.detach(), expected[name], rtol=1e-10, atol=1e-12)


shapes = st.fixed_dictionaries(
    {
        **{"n": st.integers(20, 50), "d": st.integers(2, 6), "classes": st.integers(2, 4)},
        **{"hidden": st.sampled_from([(3,), (4, 3)]), "seed": st.integers(0, 99)},
    }
)
by_shape = settings(max_examples=8, deadline=None)


@by_shape
@given(shapes)
def test_finetune_and_its_sparse_form_take_the_step_of_their_loss(shape):
    case = Case(model(**shape))
    agrees(Finetune(case.model, **ONE_STEP), case, case.after(lambda w: case.ce(w, case.retain)))
    case = Case(model(**shape))
    size = lambda w: sum(p.abs().sum() for p in w.values())  # noqa: E731
    expected = case.after(lambda w: case.ce(w, case.retain) + 0.02 * size(w))
    agrees(L1Sparse(case.model, gamma=0.02, **ONE_STEP), case, expected)


def test_the_penalty_on_the_sizes_falls_in_a_line():
    case = Case(model())
    method = L1Sparse(case.model, gamma=0.5, **ONE_STEP)
    tuning = Tuning(case.model, case.forget, method.training, 1)
    size = sum(float(p.abs().sum()) for p in case.before.values())
    for progress in (0.0, 0.25, 0.9):
        found = method.loss(tuning, tuning.take(case.retain, progress)).detach()
        expected = float(case.ce(case.before, case.retain)) + 0.5 * (1 - progress) * size
        assert float(found) == pytest.approx(expected, rel=1e-12)


@by_shape
@given(shapes, st.floats(0.05, 1.0))
def test_neggrad_weighs_descent_against_ascent(shape, alpha):
    case = Case(model(**shape))
    expected = case.after(lambda w: alpha * case.ce(w, case.retain) - (1 - alpha) * case.ce(w, case.forget))
    agrees(Neggrad(case.model, alpha=alpha, **ONE_STEP), case, expected)


@by_shape
@given(shapes)
def test_gradient_ascent_climbs(shape):
    case = Case(model(**shape))
    expected = case.after(lambda w: -case.ce(w, case.forget))
    agrees(GradientAscent(case.model, lr=LR, steps=1, val_gap=None), case, expected)


def test_two_classes_leave_one_wrong_label():
    case = Case(model(classes=2))
    labels = case.y.clone()
    labels[case.forget] = 1 - labels[case.forget]
    rows = np.arange(40)
    expected = case.after(lambda w: case.ce(w, rows, labels))
    before = case.model.y.copy(), case.model.codes.copy()
    agrees(RandomLabels(case.model, **ONE_STEP), case, expected)
    assert np.array_equal(before[0], case.model.y)
    assert np.array_equal(before[1], case.model.codes)


@by_shape
@given(st.integers(0, 1000))
def test_wrong_labels_are_of_another_class_that_is_left(seed):
    made = model(classes=4, epochs=0)
    gone = np.flatnonzero(made.codes == 2)  # no row of the class stays
    forget = np.concatenate([gone, np.flatnonzero(made.codes == 0)[:3]])
    tuning = Tuning(made, forget, Training(), seed)
    batch = tuning.take(np.arange(40))
    found = wrong_labels(tuning, batch)
    leaves = np.isin(batch.rows, forget)
    assert torch.equal(found[~leaves], batch.y[~leaves])
    assert not (found[leaves] == batch.y[leaves]).any()
    assert set(found[leaves].tolist()) <= {0, 1, 3}
    assert np.array_equal(made.codes, np.arange(40) % 4)


def test_where_one_class_is_left_there_is_no_wrong_label():
    made = model(classes=2)
    before = made.model()
    outcome = RandomLabels(made, **ONE_STEP).remove([*range(1, 40, 2), 0])
    assert (outcome.outcome, outcome.reason) == (
        "refused",
        "no class is left that a row could be mistaken for",
    )
    assert all(np.array_equal(before[name], made.model()[name]) for name in before)


def test_salun_moves_the_weights_that_matter_and_no_other():
    case = Case(model(classes=2))
    labels = case.y.clone()
    labels[case.forget] = 1 - labels[case.forget]
    moved = case.after(lambda w: case.ce(w, np.arange(40), labels))
    toll = case.after(lambda w: case.ce(w, case.forget), lr=1.0)
    sizes = torch.cat([(toll[name] - case.before[name]).abs().ravel() for name in toll])
    least = sizes.sort(descending=True).values[round(0.3 * len(sizes)) - 1]
    expected = {
        name: torch.where((toll[name] - p).abs() >= least, moved[name], p) for name, p in case.before.items()
    }
    agrees(Salun(case.model, mask_share=0.3, **ONE_STEP), case, expected)
    held = Case(model(classes=2))
    how = {**ONE_STEP, "epochs": 3, "momentum": 0.9, "weight_decay": 0.1}
    Salun(held.model, mask_share=0.3, **how).remove(FORGET)
    after = dict(held.model.module.named_parameters())
    same = sum(int((after[name] == p).sum()) for name, p in held.before.items())
    assert same == len(sizes) - round(0.3 * len(sizes))


def test_the_largest_are_counted_over_all_tensors():
    values = [torch.tensor([[1.0, -5.0], [0.0, 2.0]]), torch.tensor([3.0, 2.0])]
    first, second = largest(values, 0.5)
    assert first.tolist() == [[False, True], [False, True]]  # of the two 2s the first
    assert second.tolist() == [True, False]
    assert sum(int(mask.sum()) for mask in largest(values, 1e-9)) == 1


@by_shape
@given(st.integers(1, 5), st.integers(2, 5), st.integers(0, 99))
def test_divergence_and_its_gradient(rows, classes, seed):
    rng = torch.Generator().manual_seed(seed)
    target = torch.randn(rows, classes, generator=rng, dtype=torch.float64).softmax(1)
    target[:, 0] = 0
    logits = torch.randn(rows, classes, generator=rng, dtype=torch.float64).requires_grad_()
    target = target / target.sum(1, keepdim=True)
    found = kl_divergence(target, logits)
    p = logits.softmax(1).detach()
    for i in range(rows):
        terms = (float(t) * math.log(float(t) / float(q)) for t, q in zip(target[i], p[i], strict=True) if t)
        assert float(found[i].detach()) == pytest.approx(sum(terms), abs=1e-12)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    torch.testing.assert_close(gradient, p - target, rtol=1e-10, atol=1e-12)


@by_shape
@given(shapes)
def test_delete_leaves_the_other_classes_their_proportions(shape):
    case = Case(model(**shape))
    p = case.log_p(case.before, case.forget).exp()
    p[torch.arange(len(p)), case.y[case.forget]] = 0
    target = p / p.sum(1, keepdim=True)
    torch.testing.assert_close(
        masked_softmax(case.logits(case.before, case.forget), case.y[case.forget]), target
    )
    expected = case.after(lambda w: -(target * case.log_p(w, case.forget)).sum(1).mean())
    agrees(Delete(case.model, **ONE_STEP), case, expected)


def test_bad_teacher_asks_two_teachers():
    case = Case(model())
    other = model(seed=5).module

    class Known(BadTeacher):
        def ignorant(self):
            return other

    with torch.no_grad():
        taught = (case.logits(case.before, np.arange(40)) / 2).softmax(1)
        taught[case.forget] = (other(case.x[case.forget]) / 2).softmax(1)
    rows = np.arange(40)
    expected = case.after(lambda w: -(taught * (case.logits(w, rows) / 2).log_softmax(1)).sum(1).mean())
    agrees(Known(case.model, temperature=2.0, retain_share=1.0, **ONE_STEP), case, expected)
    first, second = (BadTeacher(case.model, **ONE_STEP).ignorant().state_dict() for _ in range(2))
    assert not torch.equal(first["1.weight"], second["1.weight"])


def test_scrub_kd_weighs_what_its_equation_weighs():
    case = Case(model())
    method = ScrubKd(case.model, gamma=0.7, alpha=0.2, temperature=3.0, **ONE_STEP)
    teacher, rows = model(seed=3).module, np.arange(6)
    logits = case.logits(case.before, rows).clone().requires_grad_()
    p, q = ((z / 3).log_softmax(1) for z in (teacher(case.x[rows]).detach(), logits))
    apart = 9 * (p.exp() * (p - q)).sum(1)
    batch = Batch(case.x[rows], case.y[rows], rows)
    torch.testing.assert_close(method.apart(teacher, batch.x, logits), apart)
    ce = -logits.log_softmax(1)[torch.arange(6), case.y[rows]]
    torch.testing.assert_close(method.near(teacher, batch, logits), 0.7 * ce + 0.2 * apart)


def test_scrub_kd_first_takes_a_step_of_plain_descent():
    """Where student and teacher are one, the divergence has no gradient: neither pass feels it."""
    case = Case(model())
    expected = case.after(lambda w: 0.7 * case.ce(w, case.retain))
    agrees(ScrubKd(case.model, max_epochs=1, gamma=0.7, alpha=0.2, **ONE_STEP), case, expected)


def test_scrub_kd_rewinds_to_the_error_of_rows_that_were_never_there():
    how = {**ONE_STEP, "epochs": 6, "lr": 0.5, "batch_size": 4}
    states = {}
    for epochs in range(1, 7):
        made = model(n=60, epochs=6)
        ScrubKd(made, max_epochs=6, alpha=0.1, **{**how, "epochs": epochs}).remove(list(range(0, 60, 3)))
        states[epochs] = made.model()
    made = model(n=60, epochs=6)
    method = ScrubKd(made, max_epochs=6, alpha=0.1, rewind=True, **how)
    method.validate_on(*networks.blobs(90, 5, 3, seed=0))
    outcome = method.remove(list(range(0, 60, 3)))
    taken = outcome.figures["rewound_to"]
    x, y = made.x.raw[::3], made.y[::3]
    held, own = networks.blobs(90, 5, 3, seed=0)
    made.module.load_state_dict({k: torch.from_numpy(v) for k, v in states[6].items()})
    aim = np.mean(made.predict(held[own == 0]) != 0)
    errors = []
    for state in states.values():
        made.module.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
        errors.append(abs(np.mean(made.predict(x) != y) - aim))
    assert taken == np.argmin(errors) + 1


def test_layers_are_counted_from_the_last():
    net = networks.small_cnn()
    frozen, last = parted(net, 1)
    assert ([type(p).__name__ for p in frozen], len(last)) == (["Conv2d", "BatchNorm2d", "Conv2d"], 1)
    frozen, last = parted(net, 3)
    assert (frozen, len(last)) == ([], 4)
    assert parted(net, None) == parted(net, 9) == ([], last)


@pytest.mark.parametrize(("k", "kept"), [(1, {"1", "3"}), (2, {"1"}), (None, set())])
def test_cfk_and_euk_leave_what_is_frozen(k, kept):
    case = Case(model(hidden=(4, 3)))
    Cfk(case.model, k, **ONE_STEP).remove(FORGET)
    same = {n for n, p in case.model.module.named_parameters() if torch.equal(p, case.before[n])}
    assert same == {f"{layer}.{part}" for layer in kept for part in ("weight", "bias")}
    assert all(p.requires_grad for p in case.model.module.parameters())
    case = Case(model(hidden=(4, 3)))
    Euk(case.model, k, **{**ONE_STEP, "epochs": 0}).remove(FORGET)
    first = dict(case.model.learner.build((5,), 3, 0).double().named_parameters())
    for name, p in case.model.module.named_parameters():
        assert torch.equal(p, case.before[name] if name[0] in kept else first[name])


def test_euk_of_all_layers_is_training_without_the_rows():
    case = Case(model())
    first = dict(case.model.learner.build((5,), 3, 0).double().named_parameters())
    case.before = {name: p.detach().clone() for name, p in first.items()}
    expected = case.after(lambda w: case.ce(w, case.retain))
    agrees(Euk(case.model, None, **ONE_STEP), case, expected)


@by_shape
@given(shapes)
def test_importance_is_the_mean_of_squared_gradients_row_by_row(shape):
    case = Case(model(**shape))
    found = mean_squared_gradient(case.model.module, cross_entropy, case.model.training(case.forget))
    for name in case.before:
        each = [
            (case.after(lambda w, row=row: case.ce(w, [row]), lr=1.0)[name] - case.before[name]) ** 2
            for row in case.forget
        ]
        torch.testing.assert_close(found[name], sum(each) / len(each), rtol=1e-8, atol=1e-14)


def test_importance_in_a_network_with_statistics_and_parts_that_are_not_trained():
    net, (x, y) = networks.small_cnn(), networks.pictures(6)
    net[0].weight.requires_grad_(False)
    batch = list(networks.examples(x, y))
    found = mean_squared_gradient(net, cross_entropy, batch)
    assert "0.weight" not in found
    total = torch.zeros_like(found["7.weight"])
    for row in range(6):
        net.zero_grad()
        cross_entropy(net(batch[0][0][row : row + 1]), batch[0][1][row : row + 1]).sum().backward()
        total += net[7].weight.grad ** 2
    torch.testing.assert_close(found["7.weight"], total / 6)


@by_shape
@given(st.integers(0, 99), st.floats(0.5, 5), st.floats(0.1, 2))
def test_dampening_entry_by_entry(seed, alpha, dampening):
    rng = np.random.default_rng(seed)
    of_forget, of_all = rng.exponential(size=30), rng.exponential(size=30)
    of_all[:3] = 0
    of_forget[2:4] = 0
    expected = [
        min(dampening * d / f, 1) if d and f / d >= alpha else 1
        for f, d in zip(of_forget, of_all, strict=True)
    ]
    found = dampened_by(torch.from_numpy(of_forget), torch.from_numpy(of_all), alpha, dampening)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    chosen = adaptive_alpha({"w": torch.from_numpy(of_forget)}, {"w": torch.from_numpy(of_all)}, 0.1)
    ratios = np.sort(of_forget[of_all > 0] / of_all[of_all > 0])
    assert chosen == ratios[int((1 - math.log(11) / 100) * len(ratios))]


def test_weights_that_matter_to_no_row_that_stays_are_dampened_by_an_adaptive_alpha():
    """Their ratios are all the largest there is, and the percentile may be one of them."""
    of_forget = torch.linspace(0.1, 1, 100, dtype=torch.float64)
    of_rest = torch.where(torch.arange(100) < 20, 0.0, 1.0).double()
    of_all = 0.1 * of_forget + 0.9 * of_rest
    alpha = adaptive_alpha({"w": of_forget}, {"w": of_all}, 0.1)
    factor = dampened_by(of_forget, of_all, alpha, 1.0)
    assert alpha == pytest.approx(10)
    assert 0 < int((factor < 1).sum()) <= 20
    assert torch.equal(factor[20:], torch.ones(80).double())


def test_ssd_multiplies_the_weights_and_leaves_the_rest():
    case = Case(model())
    of_all = mean_squared_gradient(case.model.module, cross_entropy, case.model.training(np.arange(40)))
    of_forget = mean_squared_gradient(case.model.module, cross_entropy, case.model.training(case.forget))
    expected = {n: p * dampened_by(of_forget[n], of_all[n], 1.5, 0.8) for n, p in case.before.items()}
    agrees(Ssd(case.model, alpha=1.5, dampening=0.8, val_gap=None), case, expected)
    assert any(not torch.equal(expected[n], p) for n, p in case.before.items())


def test_the_noise_of_unsir_is_harder_than_it_was():
    case = Case(model(epochs=10))
    weak, strong = (Unsir(case.model, noise_steps=steps, noise_penalty=0.01, **ONE_STEP) for steps in (0, 25))
    errors = []
    for method in (weak, strong):
        tuning = Tuning(case.model, case.forget, method.training, 1)
        torch.manual_seed(0)
        noise, labels = method.noise(tuning)
        assert sorted(labels.tolist()) == sorted(case.y[case.forget].tolist())
        errors.append(float(cross_entropy(case.model.module(noise), labels).mean().detach()))
        assert all(torch.equal(p, case.before[n]) for n, p in case.model.module.named_parameters())
    assert errors[1] > errors[0] + 1


def test_unsir_impairs_with_the_noise_and_repairs_without():
    case = Case(model())
    noise, labels = torch.ones(4, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 0])

    class Known(Unsir):
        def noise(self, tuning):
            return noise, labels

    hard = lambda w: nn.functional.cross_entropy(functional_call(case.model.module, w, (noise,)), labels)  # noqa: E731
    case.before = case.after(lambda w: case.ce(w, case.retain) + hard(w))
    expected = case.after(lambda w: case.ce(w, case.retain))
    agrees(Known(case.model, repair_epochs=1, **ONE_STEP), case, expected)


# -- what they share -------------------------------------------------------------------------------------


def test_whatever_fails_on_the_way_the_network_is_as_it_was():
    class Failing(Descent):
        error: BaseException = KeyboardInterrupt()

        def change(self, tuning):
            tuning.freeze([tuning.module[1]])
            for batch in tuning.batches(tuning.retain):
                tuning.step(cross_entropy(tuning.logits(batch), batch.y).mean())
            raise self.error

    case = Case(model())
    method = Failing(case.model, "failing", **ONE_STEP)
    for error in (KeyboardInterrupt(), DataError("the file has gone"), InvalidValue("lr", 1, "less")):
        method.error = error
        if isinstance(error, InvalidValue):
            assert method.remove(FORGET).reason == str(error)
        else:
            with pytest.raises(type(error)):
                method.remove(FORGET)
        assert all(torch.equal(p, case.before[n]) for n, p in case.model.module.named_parameters())
        assert all(p.requires_grad and p.grad is None for p in case.model.module.parameters())
        assert not case.model.module.training
        assert case.model.kept.all()


def test_batches_are_passes_in_an_order_of_the_request():
    made = model()
    how = Training(epochs=2, batch_size=7, lr=1.0, schedule="cosine", max_batches=None)
    tuning = Tuning(made, np.array(FORGET), how, 1)
    found, rates = [], []
    for batch in tuning.batches(tuning.retain, factor=0.5):
        found.append(batch)
        rates.append(tuning.optimizer.param_groups[0]["lr"])
    steps = len(found)
    assert steps == 2 * math.ceil(36 / 7) - 2  # a last row alone joins the batch before it
    assert rates == [0.5 * how.rate(step, steps) for step in range(steps)]
    assert [batch.progress for batch in found] == [step / steps for step in range(steps)]
    orders = [np.concatenate([b.rows for b in half]) for half in (found[: steps // 2], found[steps // 2 :])]
    assert all(sorted(order) == tuning.retain.tolist() for order in orders)
    assert orders[0].tolist() != orders[1].tolist()
    other = Tuning(made, np.array(FORGET), how, 2)
    assert next(other.batches(other.retain)).rows.tolist() != found[0].rows.tolist()
    endless = tuning.beside(tuning.forget)
    assert [sorted(next(endless).rows) for _ in range(3)] == [FORGET] * 3


def test_no_statistic_is_of_rows_that_leave_alone():
    made = model()
    made.module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(5), nn.Linear(5, 3)).double().eval()
    norm = made.module[1]
    tuning = Tuning(made, np.array(FORGET), Training(), 1)
    for rows, counted in (([FORGET[0]], 0), (FORGET, 0), ([1, 2, FORGET[0]], 1)):
        tuning.logits(tuning.take(np.array(rows)))
        assert int(norm.num_batches_tracked) == counted
    with pytest.raises(InvalidValue, match="BatchNorm cannot be trained on one row"):
        tuning.logits(tuning.take(np.array([1])))
    tuning.freeze([norm])
    before = norm.running_mean.clone()
    tuning.logits(tuning.take(np.array([1, 2])))
    assert torch.equal(norm.running_mean, before)


def test_a_softmax_has_all_that_is_asked_of_a_network():
    """One layer, one row that leaves: the least that there can be."""
    learner = Learner(Softmax(), Training(epochs=1), "cpu", None, progress=False, threads=1)
    x, y = networks.blobs(30, 4, 3)
    for kind in (Finetune, L1Sparse, Cfk, Euk, Neggrad, RandomLabels, Salun, ScrubKd, BadTeacher, Delete):
        made = NetworkModel(learner)
        made.fit(x, y, 0)
        assert kind(made, epochs=1, val_gap=None).remove([3]).outcome == "removed"
