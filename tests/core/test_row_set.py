"""A set of rows is what a plain array of bool is, whatever leaves it, and old ones go on."""

from __future__ import annotations

import pickle
from copy import deepcopy
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core import row_set
from expunge.core.row_set import RowSet


@st.composite
def removals(draw):
    size = draw(st.integers(0, 40))
    ids = st.lists(st.integers(0, size - 1), max_size=8) if size else st.just([])
    return size, draw(st.lists(ids, max_size=6))


@settings(max_examples=300, deadline=None)
@given(removals(), st.integers(1, 9))
def test_it_is_what_a_plain_array_is(drawn, block):
    size, requests = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_set, "_BLOCK", block)
        plain, rows = np.ones(size, dtype=bool), RowSet.full(size)
        versions = [(plain, rows)]
        for request in requests:  # ids may be named twice, or have left before
            plain = plain.copy()
            plain[np.array(request, dtype=np.int64)] = False
            rows = rows.without(request)
            versions.append((plain, rows))
        everything = np.arange(size)
        for plain, rows in versions:  # the old ones are what they were
            assert (rows.size, rows.count) == (size, plain.sum())
            assert np.array_equal(rows.mask, plain)
            assert np.array_equal(rows.has(everything[::-1]), plain[::-1])
            assert np.array_equal(rows.here, np.flatnonzero(plain))
            assert np.array_equal(rows.gone, np.flatnonzero(~plain))
            pickled = pickle.loads(pickle.dumps(rows))  # noqa: S301 (made here)
            for made in (RowSet.of(plain), pickled, deepcopy(rows)):
                assert made == rows
                assert np.array_equal(made.mask, plain)
        for plain, rows in versions:
            for other, others in versions:
                assert (rows == others) == np.array_equal(plain, other)


def test_nobody_writes_into_it():
    given_mask = np.array([True, False, True])
    rows = RowSet.of(given_mask)
    given_mask[:] = False
    assert rows.here.tolist() == [0, 2]
    with pytest.raises(ValueError, match="read-only"):
        rows.mask[0] = False
    assert RowSet.full(3) != "another kind of thing"


def test_a_removal_from_ten_million_rows_copies_what_it_touches():
    rows = RowSet.full(10**7).without([5, 7_654_321])
    left = rows.without([9_999_999])
    shared = [one is two for one, two in zip(rows._blocks, left._blocks, strict=True)]
    assert shared.count(False) == 1
    assert len(pickle.dumps(RowSet.full(10**7))) < 10**5  # whole blocks are one
    times = []
    for row in range(100):
        start = perf_counter()
        assert rows.has(np.array([row])).all() == (row != 5)
        rows.without([row]).without([row + 1])
        times.append(perf_counter() - start)
    assert min(times) < 3e-3  # some .05 ms; a copy of ten million bool alone takes about 1
