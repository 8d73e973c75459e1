"""Run folders that were changed are rejected, each by the line that says what was changed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from tests import cli
from tests.verify.runs import at, last, ulp_down, ulp_up


def halved(x):
    return x / 2


def doubled(x):
    return x * 2


def one_less(x):
    return x - 1


def one_more(x):
    return x + 1


def dropped(place):
    return lambda records: records.pop(place) and None


def renumbered(place):
    """Drop a record and put the others right, as far as the ledger by itself can tell."""

    def change(records):
        gone = records.pop(place)
        for number, record in enumerate(records, start=1):
            record["request"] = number
        for record in records[place:]:
            record["removed_total"] -= len(gone["rows"])
            record["retained"] += len(gone["rows"])

    return change


def swapped(records):
    records[0]["rows"], records[1]["rows"] = records[1]["rows"], records[0]["rows"]


def counted_twice(records):
    records[-1]["rows"] = records[0]["rows"]


def moved(records):
    for record in records:
        record["rows"] = [row + 1 if row % 2 == 0 else row - 1 for row in record["rows"]]


def at_all(**changes):
    def change(records):
        for place in range(len(records)):
            at(place, **changes)(records)

    return change


def random_weights(scale):
    def change(arrays):
        rng = np.random.default_rng(0)
        return {name: scale * rng.normal(size=array.shape) for name, array in arrays.items()}

    return change


def weight(change):
    return lambda arrays: {**arrays, "weight": change(arrays["weight"])}


LEDGER = [
    ("row counted twice", "exact", lambda c: c.records(counted_twice), "ledger"),
    ("row named twice", "exact", lambda c: c.records(at(0, rows=lambda r: [r[0], r[0]])), "ledger"),
    ("row out of range", "figures", lambda c: c.records(last(rows=[286])), "ledger"),
    ("negative row", "figures", lambda c: c.records(last(rows=[-1])), "ledger"),
    ("true is no row", "figures", lambda c: c.records(last(rows=[True])), "ledger"),
    ("ledger line dropped", "figures", lambda c: c.records(dropped(2)), "ledger"),
    ("last line dropped", "figures", lambda c: c.records(dropped(-1)), "requests"),
    ("line dropped, others put right", "figures", lambda c: c.records(renumbered(2)), "requests"),
    (
        "the same, and the summary",
        "figures",
        lambda c: c.records(renumbered(2)).summary(requests=5, removed=5, removals_supported=5, released=6),
        "requests",
    ),
    ("two requests swapped", "figures", lambda c: c.records(swapped), "requests"),
    ("other rows", "exact", lambda c: c.records(moved), "requests"),
    ("fewer asked for", "figures", lambda c: c.config("removal.count", 5), "requests"),
    ("lines after the limit", "published", lambda c: c.config("stop_at_limit", True), "requests"),
    ("outcome that there is none of", "figures", lambda c: c.records(last(outcome="served")), "ledger"),
    ("refused, and yet gone", "figures", lambda c: c.records(last(outcome="refused", reason="no")), "ledger"),
    ("removed_total", "figures", lambda c: c.records(last(removed_total=one_more)), "ledger"),
    ("retained", "figures", lambda c: c.records(at(0, retained=one_less)), "ledger"),
    ("request numbers", "figures", lambda c: c.records(at(3, request=3)), "ledger"),
    ("a refusal changes the budget", "refused", lambda c: c.records(last(budget=halved)), "ledger"),
    ("negative residual", "figures", lambda c: c.records(last(residual_measured=-1.0)), "ledger"),
    ("accuracy above 1", "figures", lambda c: c.records(last(test_accuracy=1.5)), "ledger"),
    ("a key less", "figures", lambda c: c.records(lambda r: r[1].pop("budget") and None), "ledger"),
    ("n", "figures", lambda c: c.summary(n_train=one_more), "data"),
    ("n of the test", "figures", lambda c: c.summary(n_test=one_less), "data"),
    ("seed of the summary", "figures", lambda c: c.summary(seed=1), "data"),
    ("requests of the summary", "figures", lambda c: c.summary(requests=one_more), "summary"),
    ("removed of the summary", "figures", lambda c: c.summary(removed=one_less), "summary"),
    ("supported", "published", lambda c: c.summary(removals_supported=12), "summary"),
    ("bound of the summary", "published", lambda c: c.summary(residual_bound=halved), "summary"),
    ("epsilon of the summary", "figures", lambda c: c.summary(epsilon_spent=halved), "summary"),
]

RELEASE = [
    ("bound lowered", "exact", lambda c: c.records(at(1, residual_bound=halved)), "residual bound"),
    (
        "bound and budget lowered",
        "exact",
        lambda c: c.records(at_all(residual_bound=halved, budget=halved)).summary(
            residual_bound=halved, budget=halved
        ),
        "budget",
    ),
    (
        "secret residual published",
        "exact",
        lambda c: c.records(at(1, residual_measured=1e-12)),
        "residual bound",
    ),
    ("claimed noise halved", "exact", lambda c: c.summary(std=halved), "noise"),
    ("noise halved", "exact", lambda c: c.arrays(weight(lambda w: closer(c, w, 0.5))), "model"),
    ("noise a third less", "exact", lambda c: c.arrays(weight(lambda w: closer(c, w, 0.65))), "model"),
    ("noise doubled", "exact", lambda c: c.arrays(weight(lambda w: closer(c, w, 2.0))), "model"),
    (
        "noise halved, with a seed",
        "figures",
        lambda c: c.arrays(weight(lambda w: closer(c, w, 0.9))),
        "noise of the seed",
    ),
    ("std of the configuration", "given_std", lambda c: c.config("unlearner.std", 5e-4), "plan"),
    ("sensitivity halved", "exact", lambda c: c.summary(sensitivity=halved), "budget"),
    ("sensitivity doubled", "exact", lambda c: c.summary(sensitivity=doubled), "noise"),
    ("finer grid", "exact", lambda c: c.summary(grid=lambda g: g / 3), "plan"),
    ("coarser grid", "exact", lambda c: c.summary(grid=lambda g: g * 2.0**16), "lattice"),
    ("ratio", "exact", lambda c: c.summary(ratio=lambda r: r * 1.001), "ratio"),
    ("releases miscounted", "exact", lambda c: c.summary(released=one_less), "releases"),
    ("a release too many", "exact", lambda c: c.summary(released=one_more), "releases"),
    ("more releases promised", "exact", lambda c: c.summary(releases=2000), "guarantee"),
    (
        "and configured",
        "figures",
        lambda c: c.summary(releases=2000).config("unlearner.releases", 2000),
        "ratio",
    ),
    (
        "more releases than promised",
        "given_std",
        lambda c: c.summary(releases=3).config("unlearner.releases", 3),
        "releases",
    ),
    ("epsilon", "exact", lambda c: c.config("unlearner.epsilon", 0.5), "plan"),
    (
        "epsilon of both",
        "figures",
        lambda c: c.config("unlearner.epsilon", 0.5).summary(epsilon=0.5),
        "ratio",
    ),
    ("delta of both", "figures", lambda c: c.config("unlearner.delta", 1e-6).summary(delta=1e-6), "ratio"),
    (
        "epsilon of a line",
        "exact",
        lambda c: c.records(at(2, epsilon_spent=lambda e: e * 0.999)),
        "epsilon spent",
    ),
    ("epsilon falls", "exact", lambda c: c.records(at(0, epsilon_spent=0.99)), "epsilon spent"),
    (
        "releases miscounted in every line",
        "figures",
        lambda c: c.records(
            lambda r: [{**x, "epsilon_spent": r[max(0, k - 1)]["epsilon_spent"]} for k, x in enumerate(r)]
        ).summary(
            epsilon_spent=lambda e: json.loads((c.folder / "removals.jsonl").read_text().splitlines()[-1])[
                "epsilon_spent"
            ]
        ),
        "epsilon spent",
    ),
    ("lam", "exact", lambda c: c.config("model.lam", 2e-3), "budget"),
    ("lam of the unlearner", "figures", lambda c: c.config("unlearner.lam", 5e-4), "budget"),
    ("lam is nothing", "exact", lambda c: c.config("model.lam", 0.0), "strong convexity"),
    ("lam is text", "exact", lambda c: c.config("model.lam", "small"), "settings"),
    ("subsample", "leaving", lambda c: c.config("unlearner.subsample_ratio", 0.5), "budget"),
    ("seed of the subsample", "leaving", lambda c: c.config("seed", 1).summary(seed=1), "budget"),
    ("class list", "leaving", lambda c: c.arrays(weight(lambda w: np.stack([w] * 3, axis=1))), "classes"),
    (
        "a column too few",
        "exact",
        lambda c: c.arrays(weight(lambda w: np.ascontiguousarray(w[:, :2]))),
        "classes",
    ),
    (
        "columns exchanged",
        "exact",
        lambda c: c.arrays(weight(lambda w: np.ascontiguousarray(w[:, ::-1]))),
        "model",
    ),
    ("sign", "leaving", lambda c: c.arrays(weight(lambda w: -w)), "model"),
    ("array too many", "exact", lambda c: c.arrays(lambda a: {**a, "inside": a["weight"]}), "classes"),
    ("in float32", "exact", lambda c: c.arrays(weight(lambda w: w.astype(np.float32))), "classes"),
    ("not a number", "exact", lambda c: c.arrays(weight(lambda w: np.full_like(w, np.nan))), "classes"),
    (
        "float noise called exact",
        "exact",
        lambda c: c.arrays(weight(lambda w: w + 1e-9 * np.ones_like(w))),
        "lattice",
    ),
    ("a weight off by one bit", "exact", lambda c: c.arrays(weight(lambda w: np.nextafter(w, 1))), "lattice"),
    (
        "exact in the configuration alone",
        "figures",
        lambda c: c.config("unlearner.noise", "lattice"),
        "guarantee",
    ),
    (
        "exact in words alone",
        "figures",
        lambda c: c.summary(guarantee="release: nobody can tell"),
        "guarantee",
    ),
    ("figures not said", "figures", lambda c: c.summary(not_covered=None), "guarantee"),
    ("composition", "exact", lambda c: c.summary(epsilon_total=0.5), "composition"),
    ("no composition", "exact", lambda c: c.summary(delta_total=None), "composition"),
    *(
        (
            f"unrelated weights of scale {scale:g}",
            "exact",
            lambda c, s=scale: c.arrays(on_grid(c, random_weights(s))),
            "model",
        )
        for scale in (0.0, 1e-6, 1e-3, 1.0, 1e3)
    ),
    ("unrelated weights, float", "figures", lambda c: c.arrays(random_weights(1.0)), "model"),
]

PUBLISHED = [
    ("bound lowered", "measured", lambda c: lowered(c, 0.5), "residual bound"),
    ("bound below the truth", "published", lambda c: lowered(c, 1e-4), "residual bound"),
    ("bound below the truth, unmeasured", "published", lambda c: lowered(c, 1e-4, measured=None), "residual"),
    (
        "bound of a line falls",
        "published",
        lambda c: c.records(at(2, residual_bound=halved)),
        "residual bound",
    ),
    ("std halved", "published", lambda c: c.config("unlearner.std", 0.5), "budget"),
    (
        "epsilon doubled",
        "published",
        lambda c: c.config("unlearner.epsilon", 2.0).summary(epsilon=2.0),
        "budget",
    ),
    (
        "epsilon beyond c",
        "published",
        lambda c: c.config("unlearner.epsilon", 9.0).summary(epsilon=9.0),
        "constant",
    ),
    ("epsilon of the summary alone", "published", lambda c: c.summary(epsilon=2.0), "plan"),
    (
        "budget raised",
        "published",
        lambda c: c.records(at_all(budget=doubled)).summary(budget=doubled),
        "budget",
    ),
    ("epsilon spent", "published", lambda c: c.records(at_all(epsilon_spent=halved)), "epsilon spent"),
    ("lam", "published", lambda c: c.config("model.lam", 2e-3), "residual"),
    (
        "perturbation halved",
        "published",
        lambda c: c.arrays(lambda a: {**a, "perturbation": a["perturbation"] / 2}),
        "residual",
    ),
    (
        "another seed",
        "published",
        lambda c: c.config("seed", 4).config("removal.seed", 3).summary(seed=4),
        "perturbation",
    ),
    (
        "class list",
        "three_published",
        lambda c: c.arrays(lambda a: {k: np.stack([v] * 3, 1) for k, v in a.items()}),
        "classes",
    ),
    ("no perturbation", "published", lambda c: c.arrays(lambda a: {"weight": a["weight"]}), "classes"),
    (
        "residual measured",
        "measured",
        lambda c: c.records(last(residual_measured=1e-3)).summary(residual_measured=1e-3),
        "residual bound",
    ),
    ("called a release", "published", lambda c: c.summary(guarantee="release: nobody can tell"), "guarantee"),
    ("a total", "published", lambda c: c.summary(epsilon_total=1.0), "composition"),
    ("unrelated weights", "published", lambda c: c.arrays(random_weights(1.0)), "residual"),
    ("unrelated weights, pure", "pure_eps", lambda c: c.arrays(random_weights(1e-3)), "residual"),
    ("not retrained", "retrain", lambda c: c.arrays(weight(lambda w: w * 1.0001)), "residual"),
    (
        "retrained for nothing",
        "retrain",
        lambda c: c.summary(residual_measured=0.5).records(last(residual_measured=0.5)),
        "residual measured",
    ),
    ("epsilon of no certificate", "none", lambda c: c.summary(epsilon=1.0), "guarantee"),
    ("certified in words", "none", lambda c: c.summary(guarantee="release: nobody can tell"), "guarantee"),
    ("certified by its role", "none", lambda c: c.summary(role="certified"), "guarantee"),
    ("a budget of no certificate", "retrain", lambda c: c.records(at(0, budget=1.0)), "guarantee"),
]


def closer(copy, w, share):
    """The same release with ``share`` of its noise, on the lattice of the claim."""
    from expunge.verify import verdict

    seen = []
    inside = verdict.check_release.__globals__["minimum"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("expunge.verify.release.minimum", lambda *a: seen.append(inside(*a)) or seen[-1])
        copy.verified()
    said = json.loads((copy.folder / "summary.json").read_text())
    best = seen[0].w.reshape(w.shape)
    moved = best + share * (w - best)
    return np.rint(moved / said["grid"]) * said["grid"] if said["grid"] else moved


def on_grid(copy, change):
    grid = json.loads((copy.folder / "summary.json").read_text())["grid"]
    return lambda arrays: {k: np.rint(v / grid) * grid for k, v in change(arrays).items()}


def lowered(copy, share, **changes):
    """Every bound and its epsilon lowered, in ledger and summary."""
    for key in ("residual_bound", "epsilon_spent"):
        copy.records(at_all(**{key: lambda x: x * share}))
    names = {f"residual_{key}": value for key, value in changes.items()}
    copy.records(at_all(**names))
    return copy.summary(residual_bound=lambda x: x * share, **names)


@pytest.mark.parametrize(("what", "run", "change", "line"), [*LEDGER, *RELEASE, *PUBLISHED])
def test_a_changed_run_is_rejected_by_the_right_line(what, run, change, line, copy):
    changed = copy(run)
    change(changed)
    assert changed.first() == line


@pytest.mark.parametrize(
    ("run", "other", "line"),
    [("figures", "given_std", "model"), ("exact", "rowless", "model"), ("published", "measured", "residual")],
)
def test_a_model_of_another_training_is_rejected(run, other, line, copy, runs):
    """Of the same data, with other requests and another perturbation: a check of accuracy would pass it."""
    changed = copy(run)
    there = load_file(runs(other) / "model.safetensors")
    changed.arrays(on_grid(changed, lambda _: there) if run == "exact" else lambda _: there)
    assert changed.first() == line


def test_a_ledger_that_was_cut_off_or_is_no_json(copy):
    for content in (
        lambda b: b[:-1],
        lambda b: b + b"\n",
        lambda b: b.replace(b"{", b"(", 1),
        lambda b: b[:-40],
    ):
        changed = copy("figures")
        path = changed.folder / "removals.jsonl"
        path.write_bytes(content(path.read_bytes()))
        assert changed.first() == "ledger"


def test_a_key_given_twice_and_nan_are_no_record(copy):
    for old, new in (
        ('"request": 1,', '"request": 1, "rows": [5],'),
        ('"seconds": ', '"seconds": NaN, "s": '),
    ):
        changed = copy("figures")
        path = changed.folder / "removals.jsonl"
        path.write_text(path.read_text().replace(old, new, 1))
        assert changed.first() == "ledger"


def test_a_byte_of_the_model_is_found(copy):
    changed = copy("figures")
    path = changed.folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    assert changed.first() == "files"


def test_the_secret_state_is_checked_where_it_is_there(copy):
    def run(name, change, file="state"):
        changed = copy("exact", state=True)
        assert changed.first() is None
        change(changed)
        line = changed.verified().first
        assert line is not None, name
        assert line.name == "secret state", name

    run("the model inside", lambda c: c.arrays(weight(lambda w: w * 1.01), "state"))
    run("what it has drawn", lambda c: c.arrays(lambda a: {**a, "drawn": a["drawn"] + 1}, "state"))
    run("its removals", lambda c: c.arrays(lambda a: {**a, "removed_rows": a["removed_rows"][1:]}, "state"))


def test_data_of_another_run_are_not_those(copy):
    changed = copy("figures").config("dataset.classes", [5, 8])
    changed.config("dataset._target_", "expunge.datasets.digits.load")
    assert changed.first() == "data"


def test_the_seeds_noise_called_exact_is_found_on_the_lattice_too(copy):
    """Float noise of the seed, rounded to the lattice that exact noise is on."""
    from expunge.verify import draws

    changed = copy("exact")
    said = json.loads((changed.folder / "summary.json").read_text())
    removals = said["removed"]

    def drawn(w):
        best = closer(changed, w, 0.0)
        noisy = best + said["std"] * draws.release(2, removals, w.shape)
        return np.rint(noisy / said["grid"]) * said["grid"]

    assert changed.arrays(weight(drawn)).first() == "noise of no seed"


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    run=st.sampled_from(["exact", "figures", "published"]),
    key=st.sampled_from(["budget", "residual_bound", "removed_total", "retained", "request"]),
    place=st.integers(0, 4),
    factor=st.floats(0.5, 2).filter(lambda f: f != 1),
)
def test_any_number_that_follows_from_others_is_held_to_them(run, key, place, factor, copy):
    def changed(value):
        return int(value * factor) + (factor > 1) if isinstance(value, int) else value * factor

    altered = copy(run)
    before = cli.records(altered.folder)[place][key]
    altered.records(at(place, **{key: changed}))
    after = cli.records(altered.folder)[place][key]
    assert (altered.first() is None) == (before == after)


def test_more_than_one_fault_is_counted(copy):
    line = copy("figures").records(at_all(budget=halved)).summary(budget=halved).verified().first
    assert line.name == "budget"
    assert line.note.endswith("(and 5 more)")


def test_one_ulp_is_seen():
    assert ulp_down(ulp_up(1.0)) == 1.0
