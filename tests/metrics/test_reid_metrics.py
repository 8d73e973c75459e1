"""Re-identification and verification: cases worked by hand, and the definitions taken at their word."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from expunge.core.errors import InvalidValue
from expunge.datasets.base import Retrieval
from expunge.metrics import View
from expunge.metrics.reid import Reid
from expunge.metrics.retrieval import AVERAGE_PRECISIONS, DISTANCES, People, evaluate, retrieve, unit_rows
from expunge.metrics.verification import Verification, verification_auc
from expunge.models import Mlp
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training
from tests import networks
from tests.oracles import reid as oracle
from tests.stubs import Inert

ORACLES = {"trapezoid": oracle.trapezoid, "matches": oracle.mean_precision}


def people(ids, cameras=1):
    ids = np.array(ids, dtype=np.int64)
    return People(ids, np.broadcast_to(np.array(cameras, dtype=np.int64), ids.shape).copy())


def one(matches, average_precision="trapezoid"):
    """A query of person 1, camera 1, and a ranking by camera 2 with matches where there is a 1."""
    gallery = people([1 if match else 9 for match in matches], 2)
    return evaluate(np.arange(len(matches))[None] + 0.0, people([1]), gallery, average_precision)


# Rankings


@pytest.mark.parametrize(
    ("matches", "trapezoid", "mean"),
    [
        ([1, 0, 0, 0], 1, 1),
        ([1, 1, 0, 0], 1, 1),
        ([1, 0, 0, 1], (2 + 1 / 3 + 1 / 2) / 4, 3 / 4),  # 0.708
        ([0, 0, 0, 1], 1 / 8, 1 / 4),
        ([0, 1], 1 / 4, 1 / 2),
        ([1, 0, 1], (2 + 1 / 2 + 2 / 3) / 4, 5 / 6),
        # a maintainer of the revisited Oxford benchmark, which has the same average precision, gives the
        # precisions before and at each match: github.com/filipradenovic/revisitop, issue 2
        ([1, 0, 0, 1, 1, 1], (2 + 0.333 + 0.5 + 0.5 + 0.6 + 0.6 + 0.667) / 8, (1 + 0.5 + 0.6 + 0.667) / 4),
        # and a user of a widely used baseline the mean of precisions at matches:
        # github.com/layumi/Person_reID_baseline_pytorch, issue 16
        ([1, 1, 0, 1, 0, 0, 1], None, (1 / 1 + 2 / 2 + 3 / 4 + 4 / 7) / 4),
    ],
)
def test_average_precision_by_hand(matches, trapezoid, mean):
    if trapezoid is not None:
        assert one(matches).average_precision[0] == pytest.approx(trapezoid, abs=2e-4)
    assert one(matches, "matches").average_precision[0] == pytest.approx(mean, abs=2e-4)
    assert one(matches).first_match[0] == matches.index(1) + 1


def test_the_documented_example_of_scikit_learn():
    """y = (0, 0, 1, 1) with scores (.1, .4, .35, .8): 0.83."""
    found = evaluate(-np.array([[0.1, 0.4, 0.35, 0.8]]), people([1]), people([9, 9, 1, 1], 2), "matches")
    assert found.average_precision[0] == pytest.approx(5 / 6, rel=1e-14)


@given(st.integers(0, 10**6), st.integers(2, 30))
@settings(max_examples=40, deadline=None)
def test_matches_is_what_scikit_learn_says_where_there_are_no_ties(seed, n):
    rng = np.random.default_rng(seed)
    truth, scores = rng.random(n) < 0.4, rng.permutation(n) + 0.0
    truth[0] = True
    found = evaluate(-scores[None], people([1]), people(np.where(truth, 1, 2), 2), "matches")
    assert found.average_precision[0] == pytest.approx(average_precision_score(truth, scores), rel=1e-12)


def test_what_counts_in_a_ranking():
    """Query: person 1, camera 1. Ranked: own camera, junk, distractor, somebody else, match, match, junk."""
    gallery = people([1, -1, 0, 2, 1, 1, -1], [1, 3, 3, 1, 2, 3, 1])
    found = evaluate(np.arange(7.0)[None], people([1]), gallery)
    assert found.first_match[0] == 3, "the first two are not there, the distractor is wrong"
    assert found.average_precision[0] == pytest.approx(((0 + 1 / 3) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    assert (found.cmc(1), found.cmc(2), found.cmc(3), found.cmc(10)) == (0, 0, 1, 1)


def test_ties_keep_the_order_of_the_gallery():
    assert evaluate(np.zeros((1, 3)), people([1]), people([2, 1, 3], 2)).first_match[0] == 2
    assert evaluate(np.zeros((1, 3)), people([1]), people([1, 2, 3], 2)).first_match[0] == 1


def test_queries_without_a_match_are_counted_and_in_no_mean(caplog):
    query = people([1, 2, 3, 0, -1, 7], [1, 1, 1, 1, 1, -1])
    gallery = people([1, 2, 0, -1, 7], [2, 1, 2, 2, -1])  # 2 by its own camera alone, 3 not at all
    found = evaluate(np.arange(5.0) * np.ones((6, 1)), query, gallery)
    assert found.skipped == 4
    np.testing.assert_array_equal(found.first_match, [1, 0, 0, 0, 0, 4], "cameras not known differ")
    np.testing.assert_array_equal(np.isnan(found.average_precision), [False, *[True] * 4, False])
    assert found.mean_average_precision == pytest.approx((1 + (0 + 1 / 4) / 2) / 2)
    assert (found.cmc(1), found.cmc(5)) == (0.5, 1.0)
    for q, g in ((people([1]), people([])), (people([]), people([1])), (people([1]), people([2]))):
        nothing = evaluate(np.zeros((len(q.ids), len(g.ids))), q, g)
        assert (nothing.skipped, nothing.mean_average_precision, nothing.cmc(1)) == (len(q.ids), None, None)


@st.composite
def benchmarks(draw):
    """Distances with ties, ids with junk (-1), distractors (0) and persons on one side alone, cameras."""
    q, g = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    few = st.integers(0, 4).map(float)
    distances = draw(st.lists(st.lists(few, min_size=g, max_size=g), min_size=q, max_size=q))
    cameras = st.sampled_from([-1, 1, 2, 3])

    def side(n):
        ids = draw(st.lists(st.integers(-1, 4), min_size=n, max_size=n))
        return ids, draw(st.lists(cameras, min_size=n, max_size=n))

    return distances, side(q), side(g)


@given(benchmarks(), st.sampled_from(AVERAGE_PRECISIONS))
@settings(max_examples=200, deadline=None)
def test_equals_the_protocol_taken_at_its_word(benchmark, kind):
    distances, query, gallery = benchmark
    expected = oracle.evaluate(distances, query, gallery, ORACLES[kind])
    found = evaluate(np.array(distances), people(*query), people(*gallery), kind)
    for pair, precision, first in zip(expected, found.average_precision, found.first_match, strict=True):
        assert (precision, first) == (pytest.approx(pair[0], rel=1e-12), pair[1]) if pair else first == 0
    valid = [pair for pair in expected if pair]
    assert found.skipped == len(expected) - len(valid)
    if valid:
        assert found.mean_average_precision == pytest.approx(np.mean([ap for ap, _ in valid]), rel=1e-12)
        for k in (1, 5, 10):
            assert found.cmc(k) == np.mean([first <= k for _, first in valid])


@given(benchmarks())
@settings(max_examples=50, deadline=None)
def test_the_trapezoid_is_never_larger(benchmark):
    distances, query, gallery = benchmark
    both = [evaluate(np.array(distances), people(*query), people(*gallery), k) for k in AVERAGE_PRECISIONS]
    ours, other = (found.average_precision[found.first_match > 0] for found in both)
    assert np.all(ours <= other + 1e-15)
    assert np.all((ours > 0) & (other <= 1 + 1e-15))


# Embeddings


def test_distances_by_hand():
    """From (1, 0): (9, 1) is nearer by angle, (1, 0.5) by length; (0, 0) has cosine 0, (-1, 0) -1."""
    query, gallery = np.array([[1.0, 0.0]]), np.array([[9.0, 1.0], [1.0, 0.5], [0.0, 0.0], [-1.0, 0.0]])
    for place, (angle, length) in enumerate([(1, 4), (2, 1), (3, 2), (4, 3)]):
        who = people(np.where(np.arange(4) == place, 1, 2), 2)
        assert retrieve(query, gallery, people([1]), who).first_match[0] == angle
        assert retrieve(query, gallery, people([1]), who, "euclidean").first_match[0] == length


def test_equal_pictures_are_ties():
    """Whatever block of a matrix product they fall into; a collapsed network says nothing."""
    rng = np.random.default_rng(0)
    for same in (np.tile(rng.normal(size=7), (200, 1)), np.outer(1 + rng.random(200), rng.normal(size=7))):
        ids = rng.integers(1, 5, size=200)
        cosine = retrieve(same[:9], same, people(ids[:9]), people(ids, 2))
        np.testing.assert_array_equal(cosine.first_match, [list(ids).index(i) + 1 for i in ids[:9]])
        assert verification_auc(same, ids) == 0.5


@pytest.mark.parametrize("distance", DISTANCES)
def test_blocks_change_nothing(distance, monkeypatch):
    rng = np.random.default_rng(1)
    query, gallery = rng.normal(size=(23, 5)), rng.normal(size=(40, 5))
    asked = people(rng.integers(1, 6, 23), rng.integers(1, 3, 23))
    offered = people(rng.integers(-1, 6, 40), rng.integers(1, 3, 40))
    whole = retrieve(query, gallery, asked, offered, distance)
    monkeypatch.setattr("expunge.metrics.retrieval._BLOCK", 100)  # two queries at a time
    parts = retrieve(query, gallery, asked, offered, distance)
    np.testing.assert_array_equal(whole.first_match, parts.first_match)
    np.testing.assert_allclose(whole.average_precision, parts.average_precision, rtol=1e-14)
    if distance == "cosine":
        matrix = 1 - unit_rows(query) @ unit_rows(gallery).T
        np.testing.assert_array_equal(evaluate(matrix, asked, offered).first_match, whole.first_match)


def test_unknown_choices():
    who, e = people([1]), np.ones((1, 2))
    with pytest.raises(InvalidValue, match="distance: got 'l1', allowed: one of cosine, euclidean"):
        retrieve(e, e, who, who, "l1")
    with pytest.raises(InvalidValue, match="average_precision: got 'voc', allowed: one of trapezoid, match"):
        evaluate(np.ones((1, 1)), who, who, "voc")


# Verification


def test_verification_by_hand():
    """Angles 0 and 10 of person 1, 30 and 90 of person 2: 10 and 60 apart, and 30, 90, 20, 80."""
    angles, labels = np.radians([0, 10, 30, 90]), np.array([1, 1, 2, 2])
    e = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array([[1], [2], [3], [4]])
    assert verification_auc(e, labels) == (4 + 2) / 8
    assert verification_auc(e, labels, persons=np.array([1])) == 4 / 4
    assert verification_auc(e, labels, persons=np.array([2])) == 2 / 4
    assert verification_auc(e[:2], labels[:2]) is None, "no different pair"
    assert verification_auc(e[1:3], labels[1:3]) is None, "no same pair"
    assert verification_auc(e, labels, persons=np.array([], dtype=np.int64)) is None
    assert verification_auc(e[:0], labels[:0]) is None
    zero = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    # same: (0) cos 0, (2, 3) cos 0; different: 0, 0, 0 and -1: one half each but for the last
    assert verification_auc(zero, labels) == (6 * 0.5 + 2 - 0.5 * 0) / 8


@given(st.integers(0, 10**6), st.integers(0, 14), st.booleans())
@settings(max_examples=60, deadline=None)
def test_verification_counts_pairs(seed, n, some):
    rng = np.random.default_rng(seed)
    e, labels = rng.integers(-1, 2, size=(n, 2)) + 0.0, rng.integers(0, 4, size=n)
    persons = np.array([1, 3, 7]) if some else None
    expected = oracle.verification_auc(e.tolist(), labels.tolist(), None if persons is None else [1, 3, 7])
    found = verification_auc(e, labels, persons)
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-12))
    if persons is None and found is not None:
        assert verification_auc(-3 * e, labels) == found, "only angles count"


def test_a_cap_on_pairs_estimates_the_same_number():
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(30), 10)
    e = rng.normal(size=(30, 4))[labels] + rng.normal(size=(300, 4))
    for persons in (None, np.arange(5)):
        exact = verification_auc(e, labels, persons)
        capped = [verification_auc(e, labels, persons, max_pairs=200, seed=seed) for seed in range(30)]
        assert capped[3] == verification_auc(e, labels, persons, max_pairs=200, seed=3)
        error = np.std(capped) / np.sqrt(30)
        assert 0 < error < 0.01
        assert abs(np.mean(capped) - exact) < 4 * error
        assert verification_auc(e, labels, persons, max_pairs=45_000) == exact


# The metrics


class Blind:
    """No embeddings."""

    def predict(self, x):
        return x


class Seeing(Blind, Inert):
    """The inputs are the embeddings; the retrained model has them mirrored, or as told."""

    def __init__(self, change=lambda e: e, aim=None):
        self.change, self.aim = change, aim

    def embeddings(self, x, rows=None):
        return self.change(x if rows is None else x[rows])

    def retrained(self, x, y, rows):
        return self.aim or Blind()


def seen(model, requested=(0,), retrieval=None):
    """Two training rows of persons 1, 2, 3; test rows: one of person 1, two of 2 and 3 and of strangers."""
    rng = np.random.default_rng(3)
    y, y_test = np.array([1, 1, 2, 2, 3, 3]), np.array([1, 2, 2, 3, 3, 0, -1, 8, 8])
    asked = np.isin(np.arange(6), requested)
    x, x_test = rng.normal(size=(6, 3)), rng.normal(size=(9, 3))
    return View(model, x, y, x_test, y_test, asked, retrieval=retrieval)


def test_which_rows_take_part_in_verification():
    view = seen(Seeing(aim=Seeing(lambda e: e[:, :1])))
    found = Verification()(view)
    known, labels = view.x_test[:5], view.y_test[:5]
    theirs = np.concatenate([known, view.x_train[:2]]), np.concatenate([labels, [1, 1]])

    def expected(change):
        return {
            "verification_auc": oracle.verification_auc(change(known), labels),
            "verification_auc_rest": oracle.verification_auc(change(known[1:]), labels[1:]),
            "verification_auc_identity": oracle.verification_auc(change(theirs[0]), theirs[1], [1]),
        }

    ours, aim = expected(lambda e: e), expected(lambda e: e[:, :1])
    assert ours != aim
    assert found == pytest.approx(ours | {f"retrain_{name}": value for name, value in aim.items()}, rel=1e-12)


def test_when_verification_is_not_defined():
    nothing = dict.fromkeys(Verification.COLUMNS)
    assert Verification()(seen(Blind())) == nothing
    assert Verification()(seen(Seeing(lambda e: e * np.nan))) == nothing
    before = Verification()(seen(Seeing(), requested=()))
    assert before["verification_auc"] == before["verification_auc_rest"]
    assert before["verification_auc_identity"] is None
    assert all(value is None for name, value in before.items() if name.startswith("retrain_"))


@pytest.mark.parametrize("metric", [Verification, Reid])
def test_the_retrained_model_can_be_left_out(metric, monkeypatch):
    monkeypatch.setattr(Seeing, "retrained", lambda *_: pytest.fail("trained"))
    retrieval = Retrieval(np.array([7]), np.array([8]), np.array([1] * 8 + [2]))
    found = metric(retrained=False)(seen(Seeing(), retrieval=retrieval))
    assert {name for name in found if found[name] is None} == {n for n in found if n.startswith("retrain_")}


def test_reid_metric_by_hand(caplog):
    """Queries: person 8 by camera 1 and person 3, whom no other camera has seen. Embeddings are angles."""
    x_test = np.zeros((9, 2))
    retrieval = Retrieval(np.array([3, 7]), np.array([4, 5, 6, 8]), np.array([-1, -1, -1, 1, 1, 2, 2, 1, 2]))
    angles = np.radians([0, 0, 0, 0, 5, 10, 1, 0, 20])
    x_test[:] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    view = seen(Seeing(aim=Seeing(lambda e: 0 * e)), retrieval=retrieval)
    view = View(view.unlearner, x_test[:6], view.y_train, x_test, view.y_test, view.requested, (), retrieval)
    metric = Reid()
    with caplog.at_level(logging.WARNING):
        found, again = metric(view), metric(view)
    # ranked for person 8: junk (not there), person 3, distractor, match; the retrained model ties all of them
    assert (
        found
        == again
        == {
            "reid_map": pytest.approx(1 / 6),
            "reid_rank1": 0.0,
            "reid_rank5": 1.0,
            "reid_rank10": 1.0,
            "reid_skipped": 1,
            "retrain_reid_map": pytest.approx(1 / 6),
            "retrain_reid_rank1": 0.0,
            "retrain_reid_rank5": 1.0,
            "retrain_reid_rank10": 1.0,
        }
    )
    line = "metrics.reid: 1 of 2 queries have no match in the gallery and are left out"
    assert [record.getMessage() for record in caplog.records] == [line]
    assert Reid(average_precision="matches")(view)["reid_map"] == pytest.approx(1 / 3)


def test_when_reid_is_not_defined(caplog):
    retrieval = Retrieval(np.array([7]), np.array([8]), np.arange(9))
    nothing = dict.fromkeys(Reid.COLUMNS)
    assert Reid()(seen(Blind(), retrieval=retrieval)) == nothing
    assert Reid()(seen(Seeing(lambda e: e + np.inf), retrieval=retrieval)) == nothing
    assert not caplog.records
    assert Reid()(seen(Seeing())) == nothing
    assert "the data set has no queries and no gallery" in caplog.text


def test_both_of_a_network():
    """Class means are a good embedding; the retrained network has never seen person 2."""
    x, y = networks.blobs(90, 5, 3, spread=0.5)
    training = Training(optimizer="sgd", epochs=20, lr=0.1, batch_size=30)
    model = NetworkModel(Learner(Mlp(hidden=(8,)), training, "cpu", progress=False, threads=1))
    model.fit(x[:60], y[:60] + 1, 0)
    retrieval = Retrieval(np.arange(10), np.arange(10, 30), np.arange(30) % 2)
    view = View(model, x[:60], y[:60] + 1, x[60:], y[60:] + 1, y[:60] == 1, retrieval=retrieval)
    found = Verification()(view) | Reid()(view)
    assert all(value is not None for value in found.values())
    assert found["verification_auc"] == verification_auc(model.embeddings(x[60:]), y[60:])
    assert found["verification_auc"] > 0.8
    assert found["reid_map"] > 0.7
    assert found["reid_map"] != found["retrain_reid_map"]
    before = Verification(retrained=False)(replace(view, requested=np.zeros(60, dtype=bool)))
    assert before["verification_auc"] == before["verification_auc_rest"] == found["verification_auc"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reid(every=0), "every: got 0"),
        (lambda: Reid(distance="l1"), "distance: got 'l1', allowed: one of cosine, euclidean"),
        (lambda: Reid(average_precision=None), "average_precision: got None"),
        (lambda: Reid(retrained="no"), "retrained: got 'no', allowed: true or false"),
        (lambda: Verification(max_pairs=0), "max_pairs: got 0"),
        (lambda: Verification(seed=-1), "seed: got -1"),
        (lambda: Verification(retrained=1), "retrained: got 1"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(InvalidValue, match=message):
        make()


def test_every_column_is_defined():
    for metric in (Reid, Verification):
        for name, column in metric.COLUMNS.items():
            assert column.definition
            assert "\n" not in column.definition
            said = column.arrow == "↑" or "retrained model" in column.definition
            assert said or name == "reid_skipped"


def test_a_gallery_of_market_size_is_judged_in_seconds():
    """100 of the 3368 queries against all 19732 pictures."""
    rng = np.random.default_rng(4)
    started = time.perf_counter()
    asked, offered = (people(rng.integers(-1, 751, n), rng.integers(1, 7, n)) for n in (100, 19_732))
    found = retrieve(rng.normal(size=(100, 16)), rng.normal(size=(19_732, 16)), asked, offered)
    assert time.perf_counter() - started < 5
    assert found.mean_average_precision < 0.01
