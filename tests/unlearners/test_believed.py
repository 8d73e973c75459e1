"""A state is taken over only if the gradient over the rows is what it says; and always if it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from expunge.core.errors import DataError, UserError
from expunge.core.files import State, load_state, save_state
from expunge.linear.parallel import set_threads
from expunge.linear.rows import Rows
from expunge.unlearners.newton import Newton
from tests.problems import method

RELEASE = {"perturbation": "release", "certificate": "measured", "std": 0.0}
PUBLISHED = [
    {"update": update, "certificate": certificate, "std": 2.0}
    for update in ("fresh", "frozen", "corrected")
    for certificate in ("worst_case", "data_dependent", "third_order", "measured")
]
KINDS = [{**RELEASE, "update": update} for update in ("corrected", "rowless")] + PUBLISHED


def table(seed, n, d, classes, kind="float64"):
    rng = np.random.default_rng(seed)
    if kind == "uint8":
        raw = rng.integers(0, 256, size=(n, d), dtype=np.uint8)
        raw[:, 0] = 200
        x = Rows.normalised(raw, 127.5)
    else:
        x = Rows.normalised(rng.normal(size=(n, d)).astype(kind))
    y = rng.integers(classes, size=n)
    y[:classes] = np.arange(classes)
    return x, y


def made(x, y, seed=3, **kind):
    noise = kind.pop("release_std", None)
    engine = method(Newton, **{"lam": 1e-2, **kind})
    if noise is not None:
        engine.std = noise
    engine.fit(x, y, seed)
    return engine


def again(engine, state, x, y, **kind):
    other = method(Newton, **{"lam": 1e-2, **kind})
    if engine.std is not None:
        other.std = engine.std
    other.load_state(state, x, y)
    return other


def through(path, state):
    save_state(path, state)
    return load_state(path)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(8, 60),
    d=st.integers(1, 6),
    classes=st.integers(2, 4),
    dtype=st.sampled_from(["float64", "float32", "uint8"]),
    kind=st.sampled_from(KINDS),
    lam=st.sampled_from([1e-6, 1e-3, 1e-2, 1.0, 1e6]),
    share=st.sampled_from([1.0, 0.5]),
    gone=st.integers(0, 6),
)
@settings(max_examples=40, deadline=None)
def test_what_a_method_wrote_is_never_refused(
    tmp_path_factory, seed, n, d, classes, dtype, kind, lam, share, gone
):
    x, y = table(seed, n, d, classes, dtype)
    kind = {**kind, "lam": lam, "subsample_ratio": share if classes > 2 else 1.0}
    try:
        engine = made(x, y, **kind)
    except UserError:  # so little regularisation leaves no certificate
        return
    rng = np.random.default_rng(seed)
    for row in rng.permutation(n)[:gone].tolist():
        engine.remove([row])
    state = through(tmp_path_factory.getbasetemp() / "state", engine.state())
    with threadpool_limits(limits=2, user_api="blas"):
        set_threads(2)
        try:
            other = again(engine, state, x, y, **kind)
        finally:
            set_threads(1)
    np.testing.assert_array_equal(other.predictor.weights, engine.predictor.weights)
    assert other.account == engine.account


@pytest.mark.parametrize("kind", [*KINDS[:2], KINDS[3]], ids=str)
def test_after_a_thousand_removals(kind, tmp_path):
    x, y = table(0, 1100, 3, 2)
    engine = made(x, y, **kind)
    for row in range(1000):
        engine.remove([row])
    assert engine.served == 1000
    again(engine, through(tmp_path / "state", engine.state()), x, y, **kind)


def test_at_the_smallest_noise_and_lam(tmp_path):
    x, y = table(1, 40, 4, 2)
    smallest = made(x, y, **RELEASE, update="corrected").guarantee.std / 60  # of 256 floors 4 may be held
    engine = made(x, y, release_std=smallest, **RELEASE, update="corrected")
    engine.remove([3])
    again(engine, through(tmp_path / "state", engine.state()), x, y, **RELEASE, update="corrected")
    for lam in (1e-30, 1e-20):
        kind = {**PUBLISHED[3], "lam": lam, "std": 1e-2}
        engine = made(x, y, **kind)
        engine.remove([3])
        again(engine, through(tmp_path / "state", engine.state()), x, y, **kind)


def bent(array):
    """The largest entry is another, by more than any rounding."""
    array = array.copy()
    flat = array.reshape(-1)
    flat[np.abs(flat).argmax()] *= 1.5
    return array


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *[(kind, name) for kind in KINDS[:2] for name in ("weight", "column0.gradient")],
        (KINDS[0], "drawn"),
        *[(kind, name) for kind in PUBLISHED[::3] for name in ("weight", "perturbation", "column0.gradient")],
        *[(KINDS[1], f"column0.anchor.{name}") for name in ("w", "gradient", "curvature", "third", "step")],
    ],
    ids=str,
)
def test_an_array_that_a_bound_rests_on_is_measured(kind, name, classes, tmp_path):
    """Signed again, so that the digest agrees."""
    x, y = table(2, 80, 4, classes)
    engine = made(x, y, **kind)
    for row in (5, 9):
        engine.remove([row])
    state = engine.state()
    if name not in state.arrays:
        assert name == "column0.gradient"  # a sum of bounds needs none
        return
    tiny = name.endswith("gradient") or not state.arrays[name].any()
    state.arrays[name] = state.arrays[name] + 1 if tiny else bent(state.arrays[name])
    with pytest.raises(DataError) as caught:
        again(engine, through(tmp_path / "state", state), x, y, **kind)
    assert "\n" not in str(caught.value)


def test_the_line_says_what_was_measured_and_what_is_recorded(tmp_path):
    x, y = table(2, 80, 4, 2)
    engine = made(x, y, **PUBLISHED[3])
    engine.remove([5])
    state = engine.state()
    state.arrays["perturbation"][0] += 1.0
    with pytest.raises(DataError, match=r"column 0: the gradient .* norm 0\.99.* recorded .* is 0\.0008"):
        again(engine, through(tmp_path / "state", state), x, y, **PUBLISHED[3])


def test_what_no_gradient_sees_is_compared_with_the_rest(tmp_path):
    x, y = table(2, 80, 4, 3)
    for kind, changes in (
        (KINDS[0], {"released": 1, "dim": 4, "noise": "lattice", "std": 1e-9, "sensitivity": 1.0}),
        (PUBLISHED[1], {"epoch": 3, "beta": 1e9, "spectral": 0.5, "solve_error": -1.0}),
        (KINDS[0], {"class_rows": [1, 2, 3], "column_rows": [78, 78, 70], "class_places": [0, 2, 1]}),
        (KINDS[0], {"served": -1, "secret": "x", "seeded": 1, "classes": [0, 1, 3]}),
    ):
        engine = made(x, y, **kind)
        engine.remove([5])
        for name, value in changes.items():
            state = engine.state()
            holder = next(
                place
                for place in (state.values, state.values.get("release", {}), state.values["columns"][0])
                if name in place
            )
            holder[name] = value
            with pytest.raises(UserError):
                again(engine, through(tmp_path / "state", state), x, y, **kind)


def test_rows_of_another_model_of_the_same_shape(tmp_path):
    (x, y), (other, _) = table(2, 80, 4, 2), table(5, 80, 4, 2)
    for kind in KINDS[:3]:
        engine = made(x, y, **kind)
        with pytest.raises(DataError, match="over the rows that stay"):
            again(engine, through(tmp_path / "state", engine.state()), other, y, **kind)


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(max_examples=30, deadline=None)
def test_without_rows_the_digest_is_all_there_is(tmp_path_factory, place, bit):
    path = tmp_path_factory.getbasetemp() / "flipped"
    save_state(path, State({"weight": np.arange(8.0)}, {"columns": [{"beta": 1.0}]}))
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        load_state(path, signed=False)
