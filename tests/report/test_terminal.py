"""What is printed: never wider than the screen, nothing left out, in colours on a terminal alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from rich.cells import cell_len

from expunge.core.screen import Page
from expunge.report import find_runs
from expunge.report.tables import terminal
from expunge.report.tables.contents import Contents
from tests.report.test_report import make_run
from tests.screens import on_a_terminal

METHODS = {"newton": {}, "newton_corrected": {}, "retrain": {}, "none": {}}


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    """Five methods of five seeds; two are one unlearner, told apart by a setting."""
    folder = tmp_path_factory.mktemp("five")
    for seed in range(5):
        for name in METHODS:
            values = {"seed": seed, "test_accuracy_after": 0.9 + seed / 100}
            make_run(folder / f"{name}{seed}", name, 10, **values)
        make_run(folder / f"large{seed}", "newton", 10, {"lam": 0.1}, seed=seed)
    return folder


def lines(folder, columns, **how):
    page = Page(columns, colours=False)
    terminal.of_contents(Contents.of(find_runs([folder])), page, **how)
    return str(page).splitlines()


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_screen(five, columns):
    for legend in (False, True):
        assert max(map(cell_len, lines(five, columns, legend=legend))) <= columns


def test_a_table_that_is_too_wide_becomes_several_of_the_same_rows(five):
    wide, narrow = lines(five, 4000), lines(five, 80)
    assert sum(set(line) == {"-"} for line in wide) == 1
    tables = sum(set(line) == {"-"} for line in narrow)
    assert tables > 1
    for name in ("newton_corrected", "retrain", "none"):
        assert sum(line.startswith(name) for line in narrow) == tables
    words = [{word for line in some for word in line.split()} for some in (wide, narrow)]
    cells, again = ({word for word in some if set(word) != {"-"}} for some in words)
    assert cells == again
    assert "Means over 5 seeds; in brackets the 95% interval of the mean." in wide


@pytest.mark.parametrize("name", ["x" * 300, "字" * 90, "a b " * 60, "\x1b[31mred\x07\u202e", "e\u0301" * 80])
@pytest.mark.parametrize("columns", [40, 80])
def test_names_of_any_kind_fit(tmp_path, name, columns):
    make_run(tmp_path / "a", "newton", 5)
    summary = make_run(tmp_path / "b", "newton", 5) / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "unlearner": name}))
    shown = lines(tmp_path, columns)
    assert max(map(cell_len, shown)) <= columns
    assert not {"\x1b", "\x07", "\u202e"} & set("".join(shown))


def test_a_single_run_is_shown_one_number_below_the_other(tmp_path):
    page = Page(80, colours=False)
    terminal.of_contents(Contents.of(find_runs([make_run(tmp_path / "a", "newton", 5)])), page)
    shown = str(page).splitlines()
    assert shown[0] == "newton"
    heads = [line for line in shown if line in ("Service", "Quality", "Guarantee", "Time")]
    assert heads == ["Service", "Quality", "Guarantee", "Time"]
    assert max(map(len, shown)) <= 80


SHOW = (
    "from expunge.core.errors import say; from expunge.core.screen import Page; page = Page(); "
    "page.table([('a', ''), ('b', '')], [['x', 'y' * 70]]); say(str(page), styled=True)"
)


def test_colours_are_for_a_terminal_that_wants_them():
    command = (sys.executable, "-c", SHOW)
    assert "\x1b[" in on_a_terminal(*command)
    assert "\x1b" not in on_a_terminal(*command, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(*command, TERM="dumb")
    pipe = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "FORCE_COLOR": "1"}
    )
    assert "\x1b" not in pipe.stdout
    assert pipe.stdout.isascii()
