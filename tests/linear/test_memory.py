"""Rows too wide for memory are refused in one line, before anything is made; what would work never is."""

from __future__ import annotations

import multiprocessing
import tracemalloc

import numpy as np
import pytest

from expunge import CertifiedLogisticRegression
from expunge.core import memory
from expunge.core.errors import DataError, InvalidValue
from expunge.core.memory import available_memory, in_words
from expunge.linear import memory as linear_memory
from expunge.linear.rows import Rows
from expunge.predictors.linear import LinearModel
from expunge.unlearners.newton import Newton
from expunge.unlearners.retrain import Retrain
from tests.cli import SMALL, expunge

GIB = 2**30


@pytest.fixture
def room(monkeypatch):
    """Say how much memory is left; however little it is."""
    monkeypatch.setattr(linear_memory, "_SMALL", 0)

    def left(size):
        monkeypatch.setattr(linear_memory, "available_memory", lambda: size)

    return left


def wide(n=60, d=160, classes=2):
    rng = np.random.default_rng(0)
    return Rows.normalised(rng.normal(size=(n, d))), np.arange(n) % classes


def newton(certificate, update):
    if update == "rowless":
        model = LinearModel(lam=1e-3, std=0.0, solver="direct")
        return Newton(model, perturbation="release", certificate=certificate, update=update)
    model = LinearModel(lam=1e-3, std=10.0, solver="direct")
    return Newton(model, certificate=certificate, update=update)


@pytest.mark.parametrize(
    ("classes", "how"),
    [
        (2, ("measured", "corrected")),
        (4, ("measured", "corrected")),
        (4, ("data_dependent", "fresh")),
        (2, ("measured", "frozen")),
        (2, ("third_order", "corrected")),
        (2, ("measured", "rowless")),
        (4, ("measured", "rowless")),
    ],
)
def test_nothing_is_refused_that_would_have_worked(room, classes, how):
    x, y = wide(n=90, classes=classes)
    room(None)
    newton(*how).fit(x, y, 0)  # compiled, and the rows' own matrices made
    tracemalloc.start()
    method = newton(*how)
    method.fit(x, y, 0)
    held, fitting = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    for row in range(36):
        method.remove([row])
    removing = tracemalloc.get_traced_memory()[1] - held
    tracemalloc.stop()
    again = newton(*how)
    room(fitting)
    again.fit(x, y, 0)
    room(removing)
    for row in range(36):
        again.remove([row])
    for size, work in (
        (fitting // 8, lambda: newton(*how).fit(x, y, 0)),
        (1000, lambda: again.remove([*range(40, 75)])),
    ):
        room(size)
        with pytest.raises(InvalidValue, match=r"^features: got 160, allowed: at most "):
            work()


@pytest.mark.parametrize(("classes", "how"), [(2, ("measured", "fresh")), (4, ("measured", "corrected"))])
def test_nothing_is_refused_where_no_hessian_is_built_twice(room, classes, how):
    """Rows as wide as those that memory is asked for, and enough of them: the first Hessians will do."""
    x, y = wide(n=1500, d=1100, classes=classes)
    room(None)
    tracemalloc.start()
    method = newton(*how)
    method.fit(x, y, 0)
    fitting = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    room(fitting)
    newton(*how).fit(x, y, 0)
    room(8 * 1100**2 // 10)
    assert method.remove([3]).outcome == "removed"


def test_what_anchors_surely_need_is_asked_for(room):
    x, y = wide(n=300, d=1100)
    room(None)
    tracemalloc.start()
    newton("measured", "rowless").fit(x, y, 0)
    fitting = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    room(fitting)
    newton("measured", "rowless").fit(x, y, 0)
    room(0.9 * fitting)
    with pytest.raises(InvalidValue, match=r"^features: got 1100, allowed: at most "):
        newton("measured", "rowless").fit(x, y, 0)


def test_the_system_is_not_asked_about_a_small_model(monkeypatch):
    x, y = wide()
    asked = []
    monkeypatch.setattr(linear_memory, "available_memory", lambda: asked.append(1))
    method = newton("measured", "corrected")
    method.fit(x, y, 0)
    method.remove([0])
    assert not asked


def test_a_request_that_does_not_fit_changes_nothing(room, tmp_path):
    x, y = wide()
    model = CertifiedLogisticRegression(random_state=0, solver="direct").fit(x.raw, y)
    room(0)
    model.remove([0])  # no matrix is made
    room(8 * 160**2)
    before = model.coef_, model._engine_.served
    with pytest.raises(InvalidValue, match=r"^features: got 160, allowed: at most 113 here, where 200 KiB"):
        model.remove(range(1, 34))
    np.testing.assert_array_equal(model.coef_, before[0])
    assert (model._engine_.served, model.retained_[33]) == (before[1], True)
    model.save(tmp_path / "m")
    with pytest.raises(DataError, match=rf"^{tmp_path / 'm'}: features: got 160"):
        CertifiedLogisticRegression.load(tmp_path / "m", x.raw, y)
    with pytest.raises(InvalidValue, match=r"^features: got 160"):
        model.fit(x.raw, y)
    room(None)  # of a system that does not say
    assert model.remove(range(1, 34)).outcome == "removed"
    assert CertifiedLogisticRegression.load(tmp_path / "m", x.raw, y).retained_[33]


def test_the_line_says_what_it_needs_and_what_else_to_choose(room):
    x, y = wide(d=400, classes=7)
    room(GIB // 1024)
    with pytest.raises(InvalidValue) as caught:
        newton("measured", "corrected").fit(x, y, 0)
    assert str(caught.value) == (
        "features: got 400, allowed: at most 124 here, where 1 MiB of memory is left: the linear model of 7 "
        "weight vectors, one a class, needs 10.4 MiB for matrices of 400 x 400; choose "
        "solver=iterative, fewer features (an extractor, a projection) or fewer classes"
    )
    with pytest.raises(InvalidValue, match=r"of 7 weight vectors, one a class, needs 1\.83 MiB"):
        Retrain(LinearModel(solver="direct")).fit(x, y, 0)


def limited(d, left, solver, said):
    import resource

    size = memory._table(memory._PROC / "self" / "status")["VmSize"] * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size + left, size + left))
    x = np.random.default_rng(0).normal(size=(60, d)).astype(np.float32)
    try:
        CertifiedLogisticRegression(solver=solver).fit(x, np.arange(60) % 2)
        said.put("fitted")
    except ValueError as error:
        said.put(str(error))


@pytest.mark.skipif(not (memory._PROC / "self" / "status").exists(), reason="the system has no /proc")
@pytest.mark.parametrize(
    ("d", "left", "solver", "said"),
    [
        (9000, GIB, "direct", "features: got 9000, allowed: at most "),
        (
            5000,
            300 * 2**20,
            "direct",
            "features: got 5000, allowed: fewer here, where less of memory is left",
        ),
        (500, GIB, "direct", "fitted"),
        (9000, GIB, "auto", "fitted"),
    ],
    ids=["asked before", "found out", "enough", "without matrices"],
)
def test_a_process_with_a_limit_of_its_own(d, left, solver, said):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=limited, args=(d, left, solver, queue))
    process.start()
    process.join(timeout=120)
    assert process.exitcode == 0
    assert queue.get().startswith(said)


@pytest.mark.parametrize("unlearner", ["newton", "retrain", "lcodec"])
def test_the_command_refuses_and_leaves_nothing(tmp_path, room, unlearner):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "wide.npz", x=rng.normal(size=(60, 2000)).astype(np.float32), y=np.arange(60) % 2)
    room(2**20)
    arguments = (
        "dataset=arrays",
        "dataset.path=wide.npz",
        f"unlearner={unlearner}",
        "removal.count=2",
        "training.solver=direct",
        *SMALL[1:],
    )
    ended = expunge(*arguments, "hydra.run.dir=run", cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.startswith("expunge: features: got 2000, allowed: at most ")
    assert ended.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["wide.npz"]


# What the system says


def system(root, monkeypatch, **files):
    """A ``/proc`` and a ``/sys/fs/cgroup`` with these files."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(memory, "_PROC", root / "proc")
    monkeypatch.setattr(memory, "_GROUPS", root / "groups")


MACHINE = "MemTotal: 9000 kB\nMemAvailable: 5000 kB\nSwapFree: 1000 kB\n"


def test_what_the_machine_has_left(tmp_path, monkeypatch):
    system(tmp_path, monkeypatch, proc__meminfo=MACHINE)
    assert available_memory() == 6000 * 1024


def test_what_a_control_group_leaves(tmp_path, monkeypatch):
    for kind, names in (
        ("0::/a/b\n", ("groups/a/b/", "memory.max", "memory.current", "inactive_file")),
        (
            "9:name=systemd:/\n4:memory:/a/b\n0::/\n",
            ("groups/memory/a/b/", *memory._V1[:2], "total_inactive_file"),
        ),
    ):
        folder, limit, usage, files = names
        for path in tmp_path.rglob("*"):
            if path.is_file():
                path.unlink()
        texts = {
            "proc/meminfo": MACHINE,
            "proc/self/cgroup": kind,
            folder + "memory.stat": f"{files} 500\nx y\n",
        }
        texts |= {folder + usage: "3000\n", folder + limit: "max\n"}
        system(tmp_path, monkeypatch, **texts)
        assert available_memory() == 6000 * 1024
        system(tmp_path, monkeypatch, **{folder + limit: "10000\n"})
        assert available_memory() == 10000 - 3000 + 500 + 1000 * 1024
        outer = folder.removesuffix("a/b/")
        system(tmp_path, monkeypatch, **{outer + limit: "5000\n", outer + usage: "4000\n"})
        assert available_memory() == 5000 - 4000 + 1000 * 1024


def test_this_machine_says_something():
    assert available_memory() is None or available_memory() > 0


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (1536, "1.5 KiB"), (80e9, "74.5 GiB"), (2**61, "2.05e+03 PiB")]
)
def test_bytes_in_words(size, words):
    assert in_words(size) == words
