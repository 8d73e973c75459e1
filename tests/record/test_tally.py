"""What a run's records come to, gone through once, against what is defined over a list of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.columns import Column
from expunge.record import times
from expunge.record.continued import Continued
from expunge.record.ledger import KEYS
from expunge.record.summary import summarise
from expunge.record.tally import Tally

FACTS = dict.fromkeys(("dataset", "extractor", "model", "unlearner", "seed", "n_train", "n_test"))
HOW = {"mean": "mean", "last": "last", "served": "served"}
NUMBERS = st.none() | st.floats(-1e9, 1e9) | st.integers(-(10**6), 10**6)


def over_run(records, key, how):
    """``Column.over_run``, word for word."""
    if how == "last":
        return records[-1].get(key) if records else None
    of = [r for r in records if how == "mean" or r["outcome"] != "refused"]
    values = [record[key] for record in of if record.get(key) is not None]
    if not values:
        return None
    return float(np.mean(values)) if how == "mean" else values[-1]


@st.composite
def ledgers(draw):
    records = []
    for number in range(1, draw(st.integers(0, 12)) + 1):
        outcome = draw(st.sampled_from(["removed", "retrained", "refused"]))
        record = {**dict.fromkeys(KEYS), "request": number, "outcome": outcome}
        record["seconds"] = draw(st.floats(0, 1e3))
        record["residual_bound"] = draw(NUMBERS)
        record |= draw(st.dictionaries(st.sampled_from(["mean", "last", "served", "unknown"]), NUMBERS))
        if draw(st.booleans()):
            record["continued"] = str(Continued(number - 1, draw(st.integers(1, 9)), draw(st.integers(0, 9))))
        records.append(record)
    return records


def removals(records, role):
    """The times of removals but for the first of several, word for word."""
    counted = "retrained" if role == "reference" else "removed"
    times = [record["seconds"] for record in records if record["outcome"] == counted]
    return times[1:] if len(times) > 1 else times


@given(records=ledgers(), role=st.sampled_from(["certified", "heuristic", "reference", "baseline", ""]))
@settings(max_examples=60, deadline=None)
def test_summary_in_one_pass_is_that_of_the_list(records, role):
    columns = {key: Column(key, over_run=how) for key, how in HOW.items()}
    found = summarise(iter(records), {**FACTS, "seconds_fit": 1.0, "role": role}, columns)
    outcomes = [record["outcome"] for record in records]
    for outcome in ("removed", "retrained", "refused"):
        assert found[outcome] == outcomes.count(outcome)
    first = next((k for k, outcome in enumerate(outcomes) if outcome != "removed"), len(records))
    assert (found["requests"], found["removals_supported"]) == (len(records), first)
    assert found["budget_exhausted"] == (first < len(records))
    assert found["residual_bound"] == (records[-1]["residual_bound"] if records else None)
    seconds = removals(records, role)
    assert times.of_removals(records, role) == seconds
    for key, percent in (("seconds_removal_median", 50), ("seconds_removal_p95", 95)):
        right = pytest.approx(np.percentile(seconds, percent), rel=1e-12) if seconds else None
        assert found[key] == right
    own = dict.fromkeys(key for record in records for key in record if key not in (*KEYS, "continued"))
    for key in own:
        assert found[key] == over_run(records, key, HOW.get(key, "served")), key
    assert [key for key in found if key in own] == [*own], "in the order of their first appearance"
    said = [(r["request"], Continued.of(r["continued"])) for r in records if "continued" in r]
    right = [{"request": k, "replaced": c.replaced, "released": c.released} for k, c in said]
    assert found.get("continued", []) == right


def test_what_is_kept_of_a_record_is_a_few_bytes():
    """A hundred thousand records are gone through with 16 bytes each: of the time and of one mean."""
    import tracemalloc

    def records(count):
        for number in range(1, count + 1):
            yield {
                **dict.fromkeys(KEYS),
                **{"request": number, "rows": [number], "outcome": "removed", "seconds": number / 7},
                **{"mean": number / 3, "last": number},
            }

    tally, count = Tally({"mean": "mean", "last": "last"}, ""), 20_000
    tracemalloc.start()
    for record in records(count):
        tally.add(record)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 20 * count
    assert tally.own() == {"mean": float(np.mean([k / 3 for k in range(1, count + 1)])), "last": count}
