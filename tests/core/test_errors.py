"""Errors carry the name of their key; only what is shown is text."""

from __future__ import annotations

import pickle

from expunge.core.errors import DataError, InvalidValue, complain


def test_a_group_goes_before_the_name():
    assert str(InvalidValue("lam", -1, "> 0").within("unlearner")) == "unlearner.lam: got -1, allowed: > 0"
    named = DataError("a.npz: no such file", "path").within("dataset")
    assert (named.name, str(named)) == ("dataset.path", "dataset.path: a.npz: no such file")
    nameless = DataError("path: cut short")  # whatever its text begins with
    assert nameless.within("dataset") is nameless


def test_a_data_error_crosses_processes():
    again = pickle.loads(pickle.dumps(DataError("cut short", "path")))  # noqa: S301
    assert (again.name, again.reason, str(again)) == ("path", "cut short", "path: cut short")


def test_a_complaint_is_one_line(capsys):
    complain("several\n  lines\n")
    assert capsys.readouterr().err == "expunge: several lines\n"
