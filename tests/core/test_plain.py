"""Values on their way into JSON: scalars of any make are taken, all else is refused by its name."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.checks import (
    require_choice,
    require_count,
    require_finite,
    require_positive,
    require_probability,
    require_switch,
)
from expunge.core.errors import InvalidValue
from expunge.core.files import State, load_state, save_state, write_json
from expunge.core.hashing import sha256_of_settings
from expunge.core.plain import as_json, finite, plain
from expunge.record.ledger import KEYS, Ledger

VALUES = {
    "b": np.bool_(True),
    "i": np.int64(-3),
    "u": np.uint8(200),
    "f": np.float32(0.1),
    "h": np.float16(0.5),
    "g": np.longdouble(2.5),
    "s": np.str_("text"),
    "0d": np.array(7),
    "torch": torch.tensor(1.5),
    "torch int": torch.tensor(4),
    "in": {"list": [np.int32(1), (np.float64(2.0), None)], np.int64(5): np.str_("five")},
}
PLAIN = {
    **{"b": True, "i": -3, "u": 200, "f": float(np.float32(0.1)), "h": 0.5, "g": 2.5, "s": "text", "0d": 7},
    **{"torch": 1.5, "torch int": 4, "in": {"list": [1, [2.0, None]], "5": "five"}},
}
STRANGE = [
    *(math.nan, math.inf, np.float32("nan"), np.float64("-inf"), b"bytes", 1j, {1, 2}, object(), Path("a")),
    *(np.arange(3), torch.zeros(2), np.datetime64("2020-01-01"), Fraction(1, 3)),
]


def same(one, other):
    return type(one) is type(other) and (
        [*map(same, one, other)].count(False) == 0 if isinstance(one, list) else one == other
    )


def test_scalars_of_numpy_and_torch_become_pythons():
    found = plain(VALUES)
    assert found == PLAIN
    for key, value in found.items():
        assert same(value, PLAIN[key]), key
    assert json.loads(as_json(VALUES)) == PLAIN


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_what_json_has_stays_as_it_is(value):
    assert plain(value) == value == json.loads(as_json(value))
    assert as_json(value) == json.dumps(value)


@pytest.mark.parametrize("strange", STRANGE, ids=lambda value: type(value).__name__)
def test_all_else_is_refused_by_name_and_nothing_is_written(tmp_path, strange):
    value = {"run": {"measured": [1, strange]}}
    named = r"run\.measured\[1\]: got .*, allowed: text, true"
    with pytest.raises(InvalidValue, match=rf"^value\.{named}") as caught:
        plain(value)
    assert "\n" not in str(caught.value)
    path = tmp_path / "checkpoint"
    save_state(path, State({}, {"whole": 1}))
    for write in (
        lambda: save_state(path, State({}, value)),
        lambda: write_json(path, value),
        lambda: sha256_of_settings(value),
    ):
        with pytest.raises(InvalidValue, match=named):
            write()
    assert load_state(path).values == {"whole": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_ledger_takes_scalars_and_keeps_its_lines(tmp_path):
    record = dict.fromkeys(KEYS) | {"rows": [np.int64(3)], "seconds": np.float32(0.5)}
    with Ledger(tmp_path / "l") as ledger:
        said = ledger.append({**record, "request": np.int64(1), "of_a_plug_in": torch.tensor(2)})
        with pytest.raises(InvalidValue, match=r"^record\.of_a_plug_in: got array"):
            ledger.append({**record, "request": 2, "of_a_plug_in": np.arange(2)})
        ledger.append({**record, "request": 2})
    with Ledger(tmp_path / "l") as again:
        first, second = again.records()
    assert first == said
    assert (first["request"], second["request"], first["of_a_plug_in"]) == (1, 2, 2)


def test_numbers_that_are_none_become_none_and_words_are_refused():
    values = {"a": np.float32(2), "b": math.nan, "c": torch.tensor(math.inf), "d": None, "e": np.int8(3)}
    assert plain(finite(values)) == {"a": 2.0, "b": None, "c": None, "d": None, "e": 3}
    for strange in ("word", [1.0], np.zeros(2), 1j):
        with pytest.raises(InvalidValue, match=r"^share: got .*allowed: a number"):
            finite({"share": strange})


# Settings


@pytest.mark.parametrize("one", [1, np.int8(1), np.uint64(1), np.array(1), torch.tensor(1)], ids=repr)
def test_counts_of_any_make(one):
    assert same(require_count("k", one), 1)


@pytest.mark.parametrize(
    "half", [0.5, np.float32(0.5), np.array(0.5), Fraction(1, 2), torch.tensor(0.5)], ids=repr
)
def test_numbers_of_any_make(half):
    for require in (require_positive, require_finite, require_probability):
        assert same(require("k", half), 0.5)


@pytest.mark.parametrize(
    "strange",
    [True, np.True_, "1", np.str_("1"), b"1", None, [1], np.array([1]), np.array([1, 2]), {}, 1j],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_number_is_refused_in_a_line(strange):
    for require in (require_positive, require_finite, require_probability, require_count):
        with pytest.raises(InvalidValue, match=r"^k: got") as caught:
            require("k", strange)
        assert "\n" not in str(caught.value)


def test_a_number_beyond_all_floats_is_no_number():
    with pytest.raises(InvalidValue, match=r"^k: got 1000"):
        require_positive("k", 10**400)


def test_switches_and_choices_of_any_make():
    assert require_switch("k", np.True_) is True
    assert same(require_choice("k", np.str_("a"), ("a", "b")), "a")
    for strange in (np.array(["a"]), ["a"], {}, None, b"a"):
        with pytest.raises(InvalidValue, match=r"^k: got"):
            require_choice("k", strange, {"a": 1})
    for strange in (1, "true", None, np.array([True])):
        with pytest.raises(InvalidValue, match=r"^k: got"):
            require_switch("k", strange)


def test_a_long_value_is_cut_in_a_message():
    message = str(InvalidValue("rows", list(range(100_000)), "fewer"))
    assert len(message) < 500
    assert message.endswith("... (list), allowed: fewer")
