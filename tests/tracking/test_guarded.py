"""A tracker at arm's length: no secrets, no harm, and its errors are a line."""

from __future__ import annotations

import json

import pytest

from expunge.tracking import Guarded

CONFIG = {"seed": 7, "extractor": {"seed": 8, "mode": "none"}, "list": [{"seed": 9}]}
CALLS = ("__enter__", "start", "define", "before", "log", "finish", "figures", "__exit__")


class Recording:
    """Remembers what it is told; fails, or spoils what it gets, where it is asked to."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.told = fails, []

    def _hear(self, call, *values):
        self.told.append((call, json.loads(json.dumps(values))))
        for value in values:
            if isinstance(value, dict):
                value.clear()
        if call == self.fails:
            raise ConnectionError("the line is dead\nand buried")

    def __enter__(self):
        self._hear("__enter__")
        return self

    def __exit__(self, kind, value, trace):
        self._hear("__exit__", kind and kind.__name__)

    def start(self, config, folder, group):
        self._hear("start", config, str(folder), group)

    def define(self, columns):
        self._hear("define", columns)

    def before(self, record):
        self._hear("before", record)

    def log(self, record):
        self._hear("log", record)

    def figures(self, folder):
        self._hear("figures", str(folder))

    def finish(self, summary):
        self._hear("finish", summary)


def told_all(tracker, folder):
    """A whole run's worth of calls; returns the record that was passed."""
    record = {"request": 1, "outcome": "removed"}
    with Guarded(tracker) as guarded:
        guarded.start(CONFIG, folder, "g")
        guarded.define({})
        guarded.before({"request": 0, "seed": 7})
        guarded.log(record)
        guarded.finish({"seed": 7, "removed": 1})
        guarded.figures(lambda: folder)
        guarded.figures(lambda: None)  # a run that is to have none
    return record


def test_everything_is_passed_on_but_seeds(tmp_path):
    tracker = Recording()
    told_all(tracker, tmp_path)
    assert [call for call, _ in tracker.told] == list(CALLS)
    told = dict(tracker.told)
    assert told["start"][0] == {"extractor": {"mode": "none"}, "list": [{}]}
    assert told["before"] == [{"request": 0}]
    assert told["finish"] == [{"removed": 1}]
    assert told["figures"] == [str(tmp_path)]


def test_what_a_tracker_does_to_a_record_is_nothing_to_the_ledger(tmp_path):
    assert told_all(Recording(), tmp_path) == {"request": 1, "outcome": "removed"}


@pytest.mark.parametrize("call", CALLS)
def test_error_is_one_warning_and_the_run_goes_on(call, tmp_path, caplog):
    tracker = Recording(fails=call)
    told_all(tracker, tmp_path)
    (line,) = [entry.getMessage() for entry in caplog.records]
    assert line.startswith("Recording failed (ConnectionError: the line is dead and buried); the run goes on")
    heard = [name for name, _ in tracker.told]
    expected = list(CALLS[: CALLS.index(call) + 1])
    assert heard == expected if call == "__exit__" else heard == [*expected, "__exit__"]


def test_interruption_is_not_an_error_of_the_tracker(tmp_path):
    class Interrupted(Recording):
        def log(self, record):
            raise KeyboardInterrupt

    tracker = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        told_all(tracker, tmp_path)
    assert tracker.told[-1] == ("__exit__", ["KeyboardInterrupt"])


def test_tracker_need_not_define_nor_take_what_was_before_nor_figures(tmp_path, caplog):
    class Undefined(Recording):
        define = before = figures = property()  # hasattr says no

    with Guarded(Undefined()) as guarded:
        guarded.figures(lambda: pytest.fail("drawn for nobody"))
    told_all(Undefined(), tmp_path)
    assert not caplog.records
