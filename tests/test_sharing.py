"""Threads and processes that share one model: nothing is lost, and nobody sees half of a release."""

from __future__ import annotations

import copy
import io
import multiprocessing
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from threadpoolctl import ThreadpoolController, threadpool_limits

from expunge import CertifiedLogisticRegression
from expunge.core import seeds
from expunge.core.errors import InvalidValue
from expunge.core.files import State, load_state, save_state
from expunge.linear import parallel
from expunge.linear.certified_column import WeightColumn
from expunge.linear.parallel import for_each, one_blas_thread
from expunge.linear.rows import Rows
from expunge.models import Mlp
from expunge.models.base import initialised
from expunge.predictors.linear import LinearModel
from expunge.predictors.network import NetworkModel
from expunge.record.model_file import MovedOn
from expunge.training import Learner, Training
from expunge.unlearners import Method, Outcome, updated
from expunge.unlearners.finetune import Finetune
from expunge.unlearners.gradient_ascent import GradientAscent
from expunge.unlearners.lcodec import Lcodec
from expunge.unlearners.newton import Newton
from expunge.unlearners.none import NoOp
from expunge.unlearners.published import Published
from expunge.unlearners.release import Release
from expunge.unlearners.retrain import Retrain
from expunge.unlearners.scrub_kd import ScrubKd
from tests import networks


@pytest.fixture(autouse=True)
def switching():
    """Threads take turns as often as they can: what is not guarded goes wrong here, and not one day."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def table(n=400, d=8, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, (x @ rng.normal(size=(d, classes)) + 0.5 * rng.normal(size=(n, classes))).argmax(axis=1)


def fitted(classes=2, n=400, **settings):
    x, y = table(n, classes=classes)
    settings = {"lam": 1e-2, "std": 0.1, "random_state": 0} | settings
    return CertifiedLogisticRegression(**settings).fit(x, y), x, y


def together(work, parts):
    """``work(part)`` in a thread for each part, all at once; their results, or the error of one."""
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(work, parts))


# Removals

PUBLISHED = {"perturbation": "gaussian"}
RETRAINED = {**PUBLISHED, "std": 1e-4, "update": "fresh", "certificate": "worst_case"}  # at every request


@pytest.mark.parametrize(
    ("classes", "settings"),
    [
        (2, {}),
        (3, {}),
        (2, {"noise": "lattice"}),
        (2, PUBLISHED),
        (3, {**PUBLISHED, "update": "fresh", "certificate": "third_order"}),
        (2, {**PUBLISHED, "update": "frozen", "anchor": 7}),
        (2, RETRAINED),
    ],
)
def test_200_removals_from_8_threads_all_leave_the_model(classes, settings):
    model = fitted(classes, **settings)[0]
    rows = np.random.default_rng(1).permutation(400)[:200].reshape(8, 25)
    served = together(lambda part: [model.remove([row]) for row in part], rows)
    outcomes = [outcome for part in served for outcome in part]
    assert {outcome.outcome for outcome in outcomes} <= {"removed", "retrained"}
    assert sorted(outcome.rows[0] for outcome in outcomes) == sorted(rows.ravel().tolist())
    assert np.flatnonzero(~model.retained_).tolist() == sorted(rows.ravel().tolist())
    for column in model._engine_.columns:
        assert not column.problem.rows.scale[rows.ravel()].any()
        assert column.problem.n == 200
    certificate = model.certificate_
    assert model.residual() <= certificate.beta <= outcomes[-1].budget
    assert certificate.within_budget
    if model.perturbation == "release":
        assert certificate.released == 201
        assert len({outcome.epsilon_spent for outcome in outcomes}) == 200
    if getattr(certificate, "epoch", 0) == 0:  # the same b, or no other: as one after the other
        alone, _, _ = fitted(classes, **settings)
        for row in rows.ravel():
            alone.remove([row])
        inside = [np.stack([column.w for column in one._engine_.columns]) for one in (alone, model)]
        apart = float(np.linalg.norm(np.subtract(*inside)))
        assert apart <= (alone.certificate_.beta + certificate.beta) / (1e-2 * 200)


def test_a_row_that_many_threads_ask_for_leaves_once():
    model, _, _ = fitted()
    wanted = np.arange(20)

    def ask(order):
        served = []
        for row in np.random.default_rng(order).permutation(wanted):
            try:
                served += model.remove([row]).rows
            except InvalidValue as error:
                assert "removed before" in str(error)  # noqa: PT017
        return served

    served = [row for part in together(ask, range(6)) for row in part]
    assert sorted(served) == wanted.tolist()
    assert model.retained_.sum() == 380


@pytest.mark.parametrize("classes", [2, 4])
def test_what_is_read_meanwhile_is_of_one_release(classes):
    model, x, _ = fitted(classes)
    releases, done, seen = [model.coef_.copy()], threading.Event(), []

    def read(_):
        while not done.is_set() or not seen:
            scores, b = model.decision_function(x), model._engine_.predictor.model()["weight"]
            seen.append((scores.reshape(len(x), -1), b.reshape(x.shape[1], -1)))
            assert model.certificate_.within_budget
            assert set(np.unique(model.predict(x))) <= set(range(classes))
            assert len(model.predict_proba(x)[0]) == classes

    def write(_):
        for row in range(40):
            model.remove([row])
            releases.append(model.coef_.copy())
        done.set()

    together(lambda part: part(None), [read, read, write])
    possible = [Rows.normalised(x).times(coef.T) for coef in releases]
    for scores, weight in seen:
        assert any(np.array_equal(scores, whole) for whole in possible)
        assert any(np.array_equal(weight, coef.T) for coef in releases)


def test_nobody_waits_for_a_long_removal_to_predict():
    model, x, _ = fitted()
    with ThreadPoolExecutor(1) as pool:
        with model.lock, model._engine_.lock:  # as a removal holds them
            for read in (model.predict, model.predict_proba, model.decision_function):
                pool.submit(read, x).result(timeout=30)
            for name in ("coef_", "certificate_", "retained_", "classes_"):
                pool.submit(getattr, model, name).result(timeout=30)
            pool.submit(model.residual).result(timeout=30)
            waiting = pool.submit(model.remove, [1])
            assert not waiting.done()
        assert waiting.result(timeout=30).outcome == "removed"


def test_training_again_replaces_the_model_at_once():
    x, y = table(120)
    words, model = np.array(["no", "yes"])[y], CertifiedLogisticRegression(lam=1e-2, std=0.1).fit(x, y)
    done = threading.Event()

    def fit(_):
        for turn in range(12):
            model.fit(x, (words, y)[turn % 2])
        done.set()

    def read(_):
        while not done.is_set():
            assert set(np.unique(model.predict(x)).tolist()) in ({0, 1}, {"no", "yes"})

    def remove(_):
        while not done.is_set():
            row = int(np.random.default_rng().integers(120))
            if model.retained_[row]:
                try:
                    model.remove([row])
                except InvalidValue:
                    continue

    together(lambda part: part(None), [fit, read, remove])
    before = model.coef_.copy()
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(x, np.nan), y)
    np.testing.assert_array_equal(model.coef_, before)  # what fails leaves the last model whole


@pytest.mark.parametrize("how", ["copy", "deepcopy", "joblib"])
def test_a_copy_is_of_one_moment_and_goes_on_apart(how, tmp_path):
    model = fitted(3)[0]

    def copied(_):
        if how == "copy":
            return copy.copy(model)
        if how == "deepcopy":
            return copy.deepcopy(model)
        file = io.BytesIO()
        joblib.dump(model, file)
        file.seek(0)
        return joblib.load(file)

    def remove(start):
        return [model.remove([row]) for row in range(start, start + 20)]

    _, *copies = together(lambda part: part[0](part[1]), [(remove, 0), *[(copied, k) for k in range(3)]])
    for other in copies:
        assert other.get_params() == model.get_params()
        gone = np.flatnonzero(~other.retained_)
        assert gone.tolist() == list(range(len(gone)))
        for column in other._engine_.columns:
            assert column.problem.n == 400 - len(gone)
        assert other.residual() <= other.certificate_.beta
        other.remove([399])
        assert other.lock is not model.lock
    assert model.retained_[399]
    assert clone(model).get_params() == model.get_params()
    model.save(tmp_path / "m")


# Methods and models as a library


NETWORK = Learner(Mlp(hidden=(8,)), Training(epochs=1, lr=0.1, batch_size=16), "cpu", None, False, threads=1)
METHODS = {
    "lcodec": lambda: Lcodec(NetworkModel(NETWORK), val_gap=None, n_perturbations=20, curvature="fisher"),
    "gradient_ascent": lambda: GradientAscent(NetworkModel(NETWORK), lr=1e-3, val_gap=None),
    "finetune": lambda: Finetune(NetworkModel(NETWORK), lr=1e-3, val_gap=None),
    "scrub_kd": lambda: ScrubKd(NetworkModel(NETWORK), epochs=1, lr=1e-3, val_gap=None),
    "retrain": lambda: Retrain(NetworkModel(NETWORK)),
    "none": lambda: NoOp(NetworkModel(NETWORK)),
    "retrain_linear": lambda: Retrain(LinearModel(lam=1e-2, std=0.1)),
    "lcodec_linear": lambda: Lcodec(LinearModel(lam=1e-2, std=0.1), val_gap=None, n_perturbations=20),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_serves_threads_one_after_the_other(name):
    linear = name.endswith("_linear")
    x, y = networks.blobs(120, 6, 2)
    x = Rows.normalised(x) if linear else x
    method, alone = METHODS[name](), METHODS[name]()
    for one in (method, alone):
        one.fit(x, y, seed=0)
        if hasattr(one, "validate_on"):
            one.validate_on(x, y)
    done = threading.Event()

    def remove(rows):
        try:
            return [method.remove([row]) for row in rows]
        finally:
            done.set()

    def read(_):
        while not done.is_set():
            assert set(method.predictor.predict(x).tolist()) <= {0, 1}
            assert np.isfinite(method.predictor.losses(x, y, np.arange(5))).all()
            copy.deepcopy(method).state()

    outcomes = together(lambda part: part[0](part[1]), [(remove, range(4)), (remove, range(4, 8)), (read, 0)])
    outcomes = [outcome for part in outcomes[:2] for outcome in part]
    left = [outcome.rows[0] for outcome in outcomes if outcome.outcome != "refused"]
    assert np.flatnonzero(~method.predictor.kept).tolist() == sorted(left)
    for outcome in outcomes:
        alone.remove(outcome.rows)
    assert alone.predictor.kept.sum() == method.predictor.kept.sum()
    assert method.served == alone.served
    assert method.predictor.is_finite()


class Counting(Method):
    """A plug-in that knows nothing of threads."""

    supports = ("logistic",)

    def __init__(self, model):
        super().__init__(model, "counting")
        self.inside = 0

    def remove(self, rows):
        self.inside += 1
        for _ in range(50):
            assert self.inside == 1, "two at once"
        self.served += 1
        self.inside -= 1
        return Outcome("refused", tuple(rows))


def test_a_plug_in_is_served_alone_too():
    method = Counting(LinearModel())
    together(lambda _: [method.remove([0]) for _ in range(100)], range(6))
    assert method.served == 600


def test_weights_on_trial_are_for_the_thread_that_tries_them():
    x, y = table(60)
    rows, model = Rows.normalised(x), LinearModel(lam=1e-2, std=0.1)
    model.fit(rows, y, 0)
    before = model.predict(rows)
    with ThreadPoolExecutor(1) as pool:
        with model.lock:
            put_back = model.snapshot()
            model.try_out([WeightColumn(model.problem, -model.w)])
            assert (model.predict(rows) != before).all()
            elsewhere = pool.submit(model.predict, rows)
            assert not elsewhere.done()
            put_back()
        np.testing.assert_array_equal(elsewhere.result(timeout=30), before)


def test_networks_begin_alike_in_threads():
    seeds, shape = list(range(8)) * 4, (30,)
    start = [initialised(Mlp(hidden=(20, 20)), shape, 3, seed).state_dict() for seed in range(8)]
    for seed, module in zip(
        seeds, together(lambda seed: initialised(Mlp(hidden=(20, 20)), shape, 3, seed), seeds), strict=True
    ):
        for name, value in module.state_dict().items():
            assert torch.equal(value, start[seed][name])


# What is the process's


def blas_threads():
    return {lib["num_threads"] for lib in ThreadpoolController().info() if lib["user_api"] == "blas"}


def test_the_limit_on_blas_ends_with_the_last_thread():
    first_in, second_in, first_out, seen = threading.Event(), threading.Event(), threading.Event(), []

    def first(_):
        with one_blas_thread():
            first_in.set()
            assert second_in.wait(30)
            seen.append(blas_threads())
        first_out.set()

    def second(_):
        assert first_in.wait(30)
        with one_blas_thread():
            second_in.set()
            assert first_out.wait(30)
            seen.append(blas_threads())

    with threadpool_limits(2, "blas"):
        if blas_threads() != {2}:
            pytest.skip("this BLAS has one thread")
        together(lambda part: part(None), [first, second])
        assert seen == [{1}, {1}]
        assert blas_threads() == {2}


def test_a_file_that_is_replaced_while_it_is_read_is_read_whole(tmp_path):
    states = [State({"w": np.full(20_000, float(k))}, {"k": k}) for k in range(2)]
    save_state(tmp_path / "s", states[0])
    done = threading.Event()

    def write(_):
        for turn in range(150):
            save_state(tmp_path / "s", states[turn % 2])
        done.set()

    def read(_):
        while not done.is_set():
            found = load_state(tmp_path / "s")
            assert (found.arrays["w"] == found.values["k"]).all()

    together(lambda part: part(None), [write, read])


# Processes


def serve(path, rows, x, y, ready):
    """Remove rows from the model in a file, one after the other, as a process beside others does."""
    ready.wait()
    for row in rows:
        while True:
            model = CertifiedLogisticRegression.load(path, x, y)
            model.remove([row])
            try:
                model.save(path)
                break
            except MovedOn:
                continue


def test_processes_that_share_a_file_lose_no_removal(tmp_path):
    model, x, y = fitted(n=60)
    model.save(tmp_path / "m")
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    parts = [range(k, 24, 3) for k in range(3)]
    processes = [context.Process(target=serve, args=(tmp_path / "m", rows, x, y, ready)) for rows in parts]
    for process in processes:
        process.start()
    ready.set()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    last = CertifiedLogisticRegression.load(tmp_path / "m", x, y)
    assert np.flatnonzero(~last.retained_).tolist() == list(range(24))
    assert last.residual() <= last.certificate_.beta
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_file_that_has_moved_on_is_not_overwritten(tmp_path):
    path = tmp_path / "m"
    model, x, y = fitted(n=60)
    model.save(path)
    one, two = (CertifiedLogisticRegression.load(path, x, y) for _ in range(2))
    one.remove([1])
    one.save(path)
    content = path.read_bytes()
    for other in (two, model, copy.deepcopy(model)):
        with pytest.raises(MovedOn) as caught:
            other.save(path)
        message = str(caught.value)
        assert "\n" not in message
        for part in (str(path), "after 1 requests (version", "after 0 requests, comes from version"):
            assert part in message
        assert message.endswith("allowed: load it and repeat what came since, or save elsewhere")
        other.remove([2])
        with pytest.raises(MovedOn):
            other.save(path)
    assert path.read_bytes() == content
    two.save(tmp_path / "elsewhere")
    two.save(tmp_path / "elsewhere")  # its own
    one.save(path)  # what it wrote itself
    again = CertifiedLogisticRegression.load(path, x, y)
    again.remove([2])
    again.save(path)
    with pytest.raises(MovedOn):
        one.save(path)
    path.unlink()
    one.save(path)  # nothing is there to be lost
    assert not CertifiedLogisticRegression.load(path, x, y).retained_[1]


def test_a_model_trained_anew_does_not_bring_removed_rows_back(tmp_path):
    path = tmp_path / "m"
    model, x, y = fitted(n=60)
    model.save(path)
    fitted(n=60)[0].save(path)  # nothing has been removed there
    with pytest.raises(MovedOn, match="moved on"):
        model.save(path)  # from which it was replaced
    served = CertifiedLogisticRegression.load(path, x, y)
    served.remove([3, 5])
    served.save(path)
    anew, _, _ = fitted(n=60)
    with pytest.raises(MovedOn, match=r"trained anew on the same data, still has 2 of those .* \(row 3\)"):
        anew.save(path)
    anew.remove([3])
    with pytest.raises(MovedOn, match=r"still has 1 of those it removed \(row 5\)"):
        anew.save(path)
    anew.remove([5])
    anew.save(path)
    served.fit(x[10:], y[10:]).save(path)  # other data: another model, by the file's own master
    for content in (b"", b"something else"):
        path.write_bytes(content)
        served.save(path)
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        served.save(tmp_path / "nowhere" / "m")


# What ends before its time


@pytest.mark.parametrize(
    ("settings", "at"),
    [
        *[({}, (LinearModel, name)) for name in ("without", "release")],
        ({}, (updated, "_held")),
        *[({}, (Release, name)) for name in ("_drawn", "_outcome")],
        *[(RETRAINED, (LinearModel, name)) for name in ("noise", "release")],
        (RETRAINED, (Published, "_outcome")),
        ({}, (parallel._Limit, "put_back")),
    ],
)
def test_whatever_ends_a_removal_leaves_the_model_as_it_was(settings, at, monkeypatch):
    """An interrupt from the keyboard, wherever it comes; then the same request is served."""
    model, other = (fitted(**settings)[0] for _ in range(2))
    for one in (model, other):
        one.remove([7])
    out = model.coef_.copy()

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*at, interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.remove([8])
    np.testing.assert_array_equal(model.coef_, out)
    after, before = (copy.deepcopy(one)._engine_.state() for one in (model, other))
    assert after.values == before.values
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(array, after.arrays[name])
    assert model.remove([8]) == other.remove([8])
    np.testing.assert_array_equal(model.coef_, other.coef_)
    assert not model.retained_[[7, 8]].any()


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_the_limit_on_blas_is_taken_back_whatever_interrupts_it(calls, monkeypatch):
    change, left = parallel._Limit.change, [calls]

    def interrupted(library, threads):
        change(library, threads)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    def threads():
        return [
            library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers
        ]

    def entered():
        with one_blas_thread():
            left[0] = 1  # or while the limit is taken back

    with threadpool_limits(2, user_api="blas"):
        before = threads()
        monkeypatch.setattr(parallel._Limit, "change", interrupted)
        with pytest.raises(KeyboardInterrupt):
            entered()
        with one_blas_thread():
            assert set(threads()) == {1}
        assert threads() == before


def test_what_a_helper_raises_is_raised(monkeypatch):
    monkeypatch.setattr(parallel._Setting, "threads", 3)
    for part in range(6):
        done = []

        def work(k, part=part, done=done):
            if k == part:
                raise ZeroDivisionError
            done.append(k)

        with pytest.raises(ZeroDivisionError):
            for_each(work, 6, 10**9)
        for_each(lambda k, done=done: done.append(k + 10), 6, 10**9)
        assert {*range(10, 16)} <= {*done}


def test_a_training_that_fails_leaves_a_method_with_its_model():
    x, y = table()
    method = Newton(LinearModel(lam=1e-2, std=0.1), update="corrected", certificate="measured")
    method.fit(Rows.normalised(x), y, 0)
    method.remove([5])
    method.predictor.tol = 1e3  # what it leaves is more than std hides
    with pytest.raises(InvalidValue, match=r"^std: got 0.1"):
        method.fit(Rows.normalised(x[:90]), table(classes=3)[1][:90], 0)
    assert (len(method.predictor.kept), method.predictor.kept[5], method.served) == (400, False, 1)
    assert method.remove([6]).outcome == "removed"


def in_a_child(model):
    with seeds.torch_draws_from(seeds.torch_generator(0, "training")):
        model.remove([3])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes of this kind")
def test_a_child_does_not_wait_for_a_lock_of_a_thread_that_it_has_not():
    model = fitted()[0]
    with ThreadPoolExecutor(1) as other:
        held = model._engine_.lock, seeds._GLOBAL.lock
        for lock in held:
            other.submit(lock.acquire).result()
        child = multiprocessing.get_context("fork").Process(target=in_a_child, args=(model,))
        child.start()
        child.join(30)
        alive = child.is_alive()
        child.kill()
        for lock in held:
            other.submit(lock.release).result()
    assert (alive, child.exitcode) == (False, 0)


def test_a_class_that_is_made_of_it_may_take_other_settings_and_keep_a_log(tmp_path):
    x, y = table()
    model = Logged(std=0.1, random_state=0).fit(x, y)
    model.remove([1])
    log, model.note = model.log, "b"
    assert model.fit(x, y).log is log == [[1]]
    assert model._engine_.certificate == "measured"
    model.remove([2])
    model.save(tmp_path / "m")
    assert not Logged.load(tmp_path / "m", x, y).retained_[2]


class Logged(CertifiedLogisticRegression):
    """It names fewer settings, and one more."""

    def __init__(self, std=1.0, *, note="a", random_state=None):
        super().__init__(lam=1e-2, std=std, random_state=random_state)
        self.note, self.log = note, []

    def remove(self, rows):
        self.log.append(list(rows))
        return super().remove(rows)
