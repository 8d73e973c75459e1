"""``expunge-reproduce``: verdicts on sweeps made by hand, the page, the records, and the command."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from expunge.core.errors import RunFolderError, UserError
from expunge.core.screen import Page
from expunge.reproduce import page, running
from expunge.reproduce.app import _row, main
from expunge.reproduce.expected import (
    Check,
    Comparison,
    Expectation,
    PaperRow,
    Value,
    expected_files,
    read_expected,
)
from expunge.reproduce.judge import breaks, judge
from expunge.reproduce.output import (
    BEGIN,
    END,
    checkout_folder,
    replaced,
    write_page,
    write_records,
    write_row,
)
from expunge.reproduce.results import merged, of_nothing, of_sweep, portable, read_results
from expunge.reproduce.sweep_cells import FinishedSweep, read_sweep

ROOT = Path(__file__).resolve().parents[2]


def cell(settings: dict, status: str = "done", **summary) -> dict:
    run = "-".join(f"{key}{value}" for key, value in settings.items()) or "only"
    error = None if status == "done" else "dataset: not there"
    return {
        "run": run,
        "status": status,
        "error": error,
        "overrides": [],
        "settings": settings,
        "summary": {"seed": 0, **summary} if status == "done" else None,
    }


def compared(sweep: list[dict] | FinishedSweep, ours: str | Value, expect: Expectation, **where):
    sweep = sweep if isinstance(sweep, FinishedSweep) else FinishedSweep(Path("nowhere"), sweep)
    value = Value(ours) if isinstance(ours, str) else ours
    return judge(Comparison(value, expect, where), sweep)


def along(key: str, direction: str = "up", **options) -> Expectation:
    return Expectation("monotone", (), {"along": key, "direction": direction, **options})


# One number


@pytest.mark.parametrize(
    ("expect", "met", "missed", "tolerance"),
    [
        (Expectation("at_most", (2.0,)), (2, -5), (2.001,), "at most 2"),
        (Expectation("at_least", (2.0,)), (2, 7), (1.999,), "at least 2"),
        (Expectation("between", (1.0, 3.0)), (1, 2, 3), (0.9, 3.1), "1 to 3"),
        (Expectation("near", (2.0,), {"by": 0.5}), (1.5, 2.5), (1.4, 2.6), "2 ± 0.5"),
        (Expectation("near", (2.0,), {"factor": 4}), (0.5, 8), (0.4, 8.1), "2 within a factor of 4"),
        (Expectation("near", (-2.0,), {"factor": 4}), (-0.5, -8), (-0.4, 1), "-2 within a factor of 4"),
    ],
)
def test_rules_of_one_number(expect, met, missed, tolerance):
    for value in (*met, *missed):
        found = compared([cell({}, x=value)], "x", expect)
        assert (found.met, found.tolerance) == (value in met, tolerance)


def test_numbers_are_found_by_dotted_keys_through_lists_and_divided():
    only = [cell({}, rows=[{"a": 3}, {"a": [1, 12], "n": "x"}], flag=True)]
    assert compared(only, "rows.n=x.a.0", Expectation("near", (1.0,), {"by": 0})).met
    assert compared(only, "rows.1.a.1", Expectation("between", (12.0, 12.0))).met
    assert compared(only, "flag", Expectation("at_least", (1.0,))).met
    quarter = Value("rows.0.a", over=Value("rows.1.a.1"))
    assert compared(only, quarter, Expectation("near", (0.25,), {"by": 0})).ours == "0.25"
    assert compared(only, "rows.0.a", Expectation("at_most", (Value("rows.1.a.1"),))).met


@pytest.mark.parametrize("key", ["b", "rows.5.a", "rows.a=2.a", "rows.x", "rows.0.a.b", "nothing"])
def test_a_number_that_is_not_there_is_not_a_verdict(key):
    found = compared([cell({}, rows=[{"a": 1}], nothing=None)], key, Expectation("at_most", (2.0,)))
    assert (found.met, found.detail) == (None, f"{key} is not in the summary")


def test_several_cells_must_each_agree_and_those_that_do_not_are_named():
    cells = [cell({"unlearner": "a", "x.lam": lam}, n=n) for lam, n in ((1e-4, 5), (1e-3, 7), (1e-2, 9))]
    found = compared(cells, "n", Expectation("at_least", (6.0,)), unlearner="a")
    assert (found.met, found.ours) == (False, "5 to 9, 2 of 3 cells")
    assert found.detail == "lam 1e-4: 5, at least 6"
    assert compared(cells, "n", Expectation("at_least", (5.0,)), **{"x.lam": "1e-3"}).ours == "7"
    assert (
        compared(cells, "n", Expectation("at_least", (5.0,)), unlearner="b").detail
        == "no run with unlearner b"
    )


def test_each_cell_is_held_against_the_one_that_differs_in_the_method_alone():
    theirs = [cell({"unlearner": "old", "lam": lam}, n=n) for lam, n in ((1, 10), (2, 20))]
    ours = [cell({"unlearner": "new", "lam": lam}, n=n) for lam, n in ((1, 15), (2, 19))]
    least = Expectation("at_least", (Value("n", where={"unlearner": "old"}),))
    found = compared([*theirs, *ours], "n", least, unlearner="new")
    assert (found.met, found.tolerance) == (False, "at least its own, each cell")
    assert found.detail == "unlearner new, lam 2: 19, at least 20"
    assert compared([*theirs[:1], *ours[:1]], "n", least, unlearner="new").met
    lone = compared([*theirs[:1], *ours], "n", least, unlearner="new")
    assert (lone.met, lone.detail) == (None, "no run with lam 2, unlearner old")


def test_cells_that_differ_in_their_seed_are_one():
    cells = [cell({"lam": 1, "seed": seed}, n=n) for seed, n in enumerate((1, 2, 6))]
    found = compared(cells, "n", Expectation("between", (3.0, 3.0)))
    assert (found.met, found.ours) == (True, "3, mean of 3 seeds")


def test_a_cell_that_failed_leaves_open_what_needs_it_and_nothing_else():
    cells = [cell({"model": "a"}, n=1), cell({"model": "b"}, status="failed")]
    assert compared(cells, "n", Expectation("at_most", (1.0,)), model="a").met
    for found in (
        compared(cells, "n", Expectation("at_most", (1.0,))),
        compared(cells, "n", Expectation("at_most", (1.0,)), model="b"),
    ):
        assert (found.met, found.detail) == (None, "a run is not done (model b)")


def test_the_mean_up_to_a_request_leaves_nulls_out(tmp_path):
    (tmp_path / "only").mkdir()
    values = [1.0, None, 3.0, 8.0, None, 100.0]
    lines = [json.dumps({"request": k, "g": g}) for k, g in enumerate(values, 1)]
    (tmp_path / "only" / "removals.jsonl").write_text("\n".join(lines) + "\n")
    sweep = FinishedSweep(tmp_path, [cell({})])
    for at, window, mean in ((5, 50, 4.0), (4, 2, 5.5), (3, 1, 3.0), (6, 1, 100.0)):
        exactly = Expectation("near", (mean,), {"by": 0})
        assert compared(sweep, Value("g", at=at, window=window), exactly).met
    for at, window, why in (
        (2, 1, "g was not evaluated up to request 2"),
        (7, 50, "6 requests of 7"),
    ):
        found = compared(sweep, Value("g", at=at, window=window), Expectation("at_most", (1.0,)))
        assert (found.met, found.detail) == (None, why)


# Directions


def never_falls(values: list[float], slack: float) -> bool:
    """Straight from the words: no value lies more than ``slack`` below one before it."""
    return all(b >= a - slack for a, b in itertools.combinations(values, 2))


NUMBERS = st.integers(-20, 20).map(float)


@given(st.lists(NUMBERS, min_size=1, max_size=8), st.integers(0, 6).map(float))
def test_breaks_are_there_just_when_the_direction_does_not_hold(values, slack):
    found = breaks(values, slack)
    assert (not found) == never_falls(values, slack)
    for before, after in found:
        assert before < after
        assert values[after] < values[before] - slack


@given(
    st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=3),
    st.sampled_from(["up", "down"]),
    st.integers(0, 4).map(float),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_a_direction_is_judged_in_every_row_of_the_grid(grid, direction, slack, may_be_flat, random):
    cells = [cell({"lam": lam, "std": std}, n=n) for lam, row in enumerate(grid) for std, n in enumerate(row)]
    random.shuffle(cells)
    sign = 1 if direction == "up" else -1
    rows = [[sign * value for value in row] for row in grid]
    moves = any(b > a for row in rows for a, b in itertools.pairwise(row))
    holds = all(never_falls(row, slack) for row in rows) and (moves or may_be_flat)
    found = compared(cells, "n", along("std", direction, slack=slack, may_be_flat=may_be_flat))
    assert found.met == holds
    assert bool(found.detail) == (not holds)


def test_a_direction_says_where_it_breaks():
    rows = {1e-4: (5, 9, 8), 1e-3: (7, 7, 9)}
    cells = [
        cell({"unlearner": "newton", "u.lam": lam, "u.std": std}, n=n)
        for lam, row in rows.items()
        for std, n in zip((0.1, 1, 10), row, strict=True)
    ]
    found = compared(cells, "n", along("u.std"), unlearner="newton")
    assert (found.met, found.ours, found.tolerance) == (False, "3 of 4 steps", "does not fall")
    assert found.detail == "lam 1e-4: std 1 → 10 (9 → 8)"
    assert compared(cells, "n", along("u.std", slack=1)).tolerance == "does not fall by more than 1"
    assert compared(cells, "n", along("u.std", slack=1)).met
    assert compared(cells[1:2], "n", along("u.std")).detail == "one value of u.std alone"
    assert compared(cells, "n", along("u.eps")).detail == "u.eps is not a number of this sweep"
    flat = [cell({"std": std}, n=4) for std in (1, 2)]
    assert compared(flat, "n", along("std")).detail == "the same at every std"
    assert compared(flat, "n", along("std", may_be_flat=True)).met


def test_small_steps_against_the_direction_do_not_add_up_unseen():
    cells = [cell({"std": k}, n=-k) for k in range(5)]
    found = compared(cells, "n", along("std", slack=1.5))
    assert not found.met
    assert found.detail == "std 0 → 2 (0 → -2); std 0 → 3 (0 → -3); std 0 → 4 (0 → -4)"


# Files


def claim(least: float) -> Check:
    return Check("how many", "more", "ours", Comparison(Value("n"), Expectation("at_least", (float(least),))))


def left_out(model: int) -> Check:
    """One that the experiment's own sweep is not there for."""
    it = Comparison(Value("n"), Expectation("at_least", (9.0,)), {"model": model})
    return Check("how many", "9", "recalled", it, "it takes hours")


def row(name: str = "one", **parts) -> PaperRow:
    check = Check("how many", "9", "recalled", Comparison(Value("n"), Expectation("at_least", (9.0,))))
    whole = {"experiment": f"p/{name}", "what": "a count", "checks": (check,)}
    return PaperRow(name=name, **{**whole, **parts})


def result(name: str = "one", n: float = 9, reduced: bool = False, overrides: tuple[str, ...] = ()) -> dict:
    return of_sweep(row(name), FinishedSweep(Path("nowhere"), [cell({}, n=n)]), reduced, overrides)


def test_sweep_json_that_is_none_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match=r"sweep\.json: missing"):
        read_sweep(tmp_path)
    for text in ("{", "[]", '{"cells": 1}', '{"cells": [{"run": "a"}]}'):
        (tmp_path / "sweep.json").write_text(text)
        with pytest.raises(RunFolderError, match=r"sweep\.json:1: "):
            read_sweep(tmp_path)


def test_verdicts_in_the_table():
    results = {
        "met": result(),
        "missed": result(n=8),
        "rehearsed": result(reduced=True, overrides=("threads=1", "data_dir=/x", "hydra/launcher=joblib")),
        "changed": result(n=8, overrides=("removal.count=2", "++tracker.mode=x", "force=true")),
        "claimed": of_sweep(
            row(checks=(claim(9), claim(10))), FinishedSweep(Path("nowhere"), [cell({}, n=9)]), False, ()
        ),
        "open": of_sweep(row(), FinishedSweep(Path("nowhere"), [cell({}, status="failed")]), False, ()),
        "absent": of_nothing(row(), False, "needs data"),
        "partly": of_nothing(
            row(checks=(Check("q", "1", "recalled", None, "no data"),)), False, "needs data"
        ),
        "left out": of_sweep(
            row(checks=tuple(left_out(n) for n in (9, 8))),
            FinishedSweep(Path("nowhere"), [cell({"model": 9}, n=9)]),
            False,
            (),
        ),
    }
    assert [line[-1] for line in page.lines(results) if line[0] == "claimed"] == [
        "as claimed",
        "not as claimed",
    ]
    assert [line[-1] for line in page.lines(results) if line[0] == "left out"] == [
        "as published",
        "not measured: no run with model 8; it takes hours",
    ]
    alone = [line for line in page.lines(results) if line[0] not in ("claimed", "left out")]
    verdicts = {line[0]: line[-1] for line in alone}
    assert verdicts == {
        "met": "as published",
        "missed": "not as published",
        "rehearsed": "reduced: as published",
        "changed": "with removal.count=2: not as published",
        "open": "not measured: a run is not done (the only one)",
        "absent": "not run: needs data",
        "partly": "not run: no data",
    }
    assert results["open"]["failed"] == ["the only one: dataset: not there"]
    assert page.counted(results).startswith("9 rows, 11 checks: 3 as published, ")
    for columns in (20, 60, 80, 100):
        shown = page.as_text(results, Page(columns, colours=False))
        assert max(map(cell_len, shown.splitlines())) <= columns
        if columns != 80:  # where a cell is cut into lines beside others
            words = "".join(shown.split()) if columns < 80 else shown.replace(" ", "")
            assert all(word in words for word in ("rehearsed", "9(recalled)", "atleast9"))


def test_what_was_run_is_not_given_up_for_less():
    full, reduced, nothing = result(), result(reduced=True), of_nothing(row(), False, "no data")
    worth = [nothing, reduced, full]
    for (i, kept), (j, new) in itertools.product(enumerate(worth), enumerate(worth)):
        every, taken = merged({"one": kept}, {"one": new}, ["two", "one"])
        assert every == {"one": new if j >= i else kept}
        assert taken == (["one"] if j >= i else [])
    every, _ = merged({"b": full}, {"a": reduced, "c": nothing}, ["c", "b", "a"])
    assert list(every) == ["c", "b", "a"]


def markdown_tables(text: str) -> list[int]:
    """Numbers of cells in the lines of a page's tables."""
    return [len(re.split(r"(?<!\\)\|", line)) - 2 for line in text.splitlines() if line.startswith("|")]


def test_page_is_markdown_with_every_row_and_picture(tmp_path):
    rows = {name: row(name) for name in ("one", "two", "three")}
    odd = {**result("two"), "what": "a|b <c> d_e*f", "failed": ["lam 1|2: no"]}
    new = {"two": odd, "one": {**result(), "figures": ["a b.png", "c.png"]}}
    path, results = write_page("icml2020", rows, new, tmp_path / "out")
    text = path.read_text()
    assert (path.name, list(results)) == ("icml2020.md", ["one", "two"])
    assert markdown_tables(text) == [6] * 4
    assert "![one: a b.png](one/a%20b.png)\n![one: c.png](one/c.png)" in text
    assert "A\\|b &lt;c> d_e\\*f." in text
    assert "- lam 1\\|2: no" in text
    assert read_results(tmp_path / "out") == results
    # A later command for another row keeps these.
    _, results = write_page(
        "icml2020", rows, {"three": of_nothing(row("three"), False, "no")}, tmp_path / "out"
    )
    assert list(results) == ["one", "two", "three"]
    assert "Not run: no." in path.read_text()


def test_records_keep_the_prose_and_the_rows_that_were_not_run(tmp_path):
    folder, out = tmp_path / "icml2020", tmp_path / "out"
    shutil.copytree(ROOT / "experiments" / "icml2020", folder)
    (folder / "reproduced.json").unlink(missing_ok=True)
    prose = "# Measured\n\nBy hand.\n"
    (folder / "RESULTS.md").write_text(prose)
    rows = {name: row(name) for name in ("timing", "mnist_grid")}
    (out / "timing").mkdir(parents=True)
    (out / "timing" / "cost.png").write_bytes(b"picture")
    timed = {**result("timing"), "figures": ["cost.png"]}
    assert write_records("icml2020", rows, {"timing": timed}, out, folder) == ["timing"]
    first = (folder / "RESULTS.md").read_text()
    assert first.startswith(prose + "\n" + BEGIN)
    assert first.endswith(END + "\n")
    assert (folder / "timing" / "cost.png").read_bytes() == b"picture"
    # The same again changes nothing; what stands after the marks stays; a rehearsal is not taken.
    (folder / "RESULTS.md").write_text(first + "\nMore by hand.\n")
    new = {
        "timing": result("timing", n=1, reduced=True),
        "mnist_grid": of_nothing(row(), False, "no /a/b/c.gz"),
    }
    assert write_records("icml2020", rows, new, out, folder) == ["mnist_grid"]
    second = (folder / "RESULTS.md").read_text()
    assert second.startswith(prose)
    assert second.endswith(END + "\n\nMore by hand.\n")
    assert "| timing | how many | 9 (recalled) | 9 | at least 9 | as published |" in second
    assert "| mnist_grid | how many | 9 (recalled) | – | – | not run: no …/c.gz |" in second
    kept = read_results(folder)
    assert list(kept) == ["timing", "mnist_grid"]
    assert kept["timing"] == timed


@pytest.mark.parametrize(
    "text", [BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"]
)
def test_marks_that_do_not_fit_are_refused(text):
    with pytest.raises(RunFolderError, match=r"R\.md: must have"):
        replaced(text, "section", Path("R.md"))


def test_records_hold_no_place_of_a_machine():
    said = "needs it (data_dir: /home/me/.cache/x/raw: none; put a/b of ~/y/z or https://h.org/f/g.gz there)"
    expected = "needs it (data_dir: …/raw: none; put a/b of …/z or https://h.org/f/g.gz there)"
    assert portable({"not_run": said, "n": [1]}) == {"not_run": expected, "n": [1]}


# The command


def reproduced(*arguments: str, cwd: Path) -> int:
    """Run the command in this process; what it runs are processes of their own all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        return main(arguments)


OUTLIERS = ("icml2020", "--reduced", "--only", "mnist_outliers", "threads=1")


@pytest.fixture(scope="module")
def outliers(tmp_path_factory) -> Path:
    """Where the command was run for one row, which is a study of a single cell."""
    home = tmp_path_factory.mktemp("outliers")
    assert reproduced(*OUTLIERS, cwd=home) == 0
    return home / "multirun" / "reproduce" / "icml2020-reduced"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["icml"], "PAPER: got 'icml', allowed: one of cvpr2022, icml2020"),
        (
            ["icml2020", "--only", "mnist"],
            "--only: got 'mnist', allowed: one of mnist_grid, mnist_tradeoff, ",
        ),
        (["icml2020", "--only", "timing", "nothing"], "--only: got 'nothing', allowed: one of mnist_grid, "),
        (["icml2020", "nothing", "--only", "timing"], "KEY=VALUE: got 'nothing', allowed: an override"),
        (["icml2020", "=1"], "KEY=VALUE: got '=1', allowed: an override"),
    ],
)
def test_bad_input_is_one_line(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"expunge-reproduce: {said}")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    words = ("cvpr2022, icml2020", "--only", "--reduced", "--write", "as published", "Exit code", "data_dir")
    assert all(word in out for word in words)


def test_rows_to_come_say_so():
    result = _row(row(not_yet="it needs time"), Path("nowhere"), Namespace(reduced=False))
    assert result["not_run"] == "not yet: it needs time"


def test_rows_without_their_data_say_so_and_fail_nothing(capsys, tmp_path):
    out, nothing = tmp_path / "out", tmp_path / "nothing"
    assert main(["cvpr2022", "--only", "ledgar", "--reduced", f"data_dir={nothing}", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "1 row, 9 checks: 9 not run" in shown
    text = (out / "cvpr2022.md").read_text()
    assert "more than 100 (read off)" in text
    assert "Not run: needs cuad/clauses.jsonl under data_dir" in text


def test_a_checkout_has_a_folder_to_write_to():
    assert checkout_folder("icml2020") == ROOT / "experiments" / "icml2020"
    with pytest.raises(UserError, match="--write"):
        checkout_folder("no_such_paper")


def test_write_fills_the_records_of_the_checkout_it_is_run_from(tmp_path):
    checkout = tmp_path / "checkout"
    records = checkout / "experiments" / "cvpr2022"
    (checkout / "src").mkdir(parents=True)
    for part in ("src/expunge", "conf"):
        (checkout / part).symlink_to(ROOT / part)
    shutil.copy(ROOT / "pyproject.toml", checkout)
    records.mkdir(parents=True)
    shutil.copy(ROOT / "experiments" / "cvpr2022" / "expected.yaml", records)
    (records / "RESULTS.md").write_text("# By hand\n")
    command = [sys.executable, "-m", "expunge.reproduce.app", "cvpr2022", "--only", "ledgar", "--write"]
    env = {**os.environ, "PYTHONPATH": str(checkout / "src"), "EXPUNGE_DATA": str(tmp_path / "nothing")}
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0
    assert ended.stdout.endswith(f"Written to {records}\n")
    text = (records / "RESULTS.md").read_text()
    assert text.startswith(f"# By hand\n\n{BEGIN}\n")
    assert "more than 100 (read off)" in text
    assert list(read_results(records)) == ["ledgar"]


def test_a_row_from_command_to_page_and_again(outliers, capfd):
    before = (outliers / "icml2020.md").read_text()
    checks = read_expected(expected_files()["icml2020"])["mnist_outliers"].checks
    assert markdown_tables(before) == [6] * (2 + len(checks))
    assert before.count("| reduced: as published |") == len(checks)
    assert "    expunge-reproduce icml2020 --only mnist_outliers --reduced\n" in before
    pictures = re.findall(r"\]\((.+?\.png)\)", before)
    assert pictures
    assert all((outliers / picture).is_file() for picture in pictures)
    (done,) = (outliers / "runs" / "mnist_outliers").glob("*/DONE")
    stamp = done.stat().st_mtime_ns
    assert reproduced(*OUTLIERS, cwd=outliers.parents[2]) == 0
    assert (done.stat().st_mtime_ns, (outliers / "icml2020.md").read_text()) == (stamp, before)
    out, err = capfd.readouterr()
    assert out.startswith("row ")
    assert "1 row, 3 checks: 3 as published" in out
    assert out.splitlines()[-1] == "Written to multirun/reproduce/icml2020-reduced/icml2020.md"
    assert err.startswith("mnist_outliers: the digits whose removal")


def test_what_expunge_refuses_is_refused_and_the_page_stays(outliers, capfd):
    before = (outliers / "icml2020.md").read_text()
    assert reproduced(*OUTLIERS, "study.no_such_key=1", cwd=outliers.parents[2]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "no_such_key" in err
    assert err.splitlines()[-1].startswith("expunge-reproduce: mnist_outliers: ")
    assert (outliers / "icml2020.md").read_text() == before


def test_pictures_are_the_sweeps_and_a_studys_or_those_named(outliers, tmp_path):
    sweep, out = tmp_path / "sweep", tmp_path / "out"
    shutil.copytree(outliers / "runs" / "mnist_outliers", sweep)
    found = read_sweep(sweep)
    (only,) = found.done
    drawn = sorted(path.name for path in (sweep / only["run"] / "figures").glob("*.png"))
    assert drawn
    assert write_row(row(), found, out) == drawn
    assert {*drawn, "report.html", "table.md"} <= {path.name for path in out.iterdir()}
    (sweep / "figures").mkdir()
    for name in ("grid", "grid_2"):
        (sweep / "figures" / f"{name}.png").write_bytes(b"")
    assert write_row(row(), found, out) == ["grid.png", "grid_2.png", *drawn]
    chosen = row(figures=(drawn[0][:3] + "*", "grid_?", "no_such"))
    assert write_row(chosen, found, out)[-1] == "grid_2.png"
    assert write_row(row(), FinishedSweep(sweep, [cell({}, status="failed")]), out) == []


def test_absent_data_are_named_and_fail_nothing(tmp_path):
    needs = row(experiment="cvpr2022/codec_speed", needs="the table")
    asked = Namespace(reduced=True, only=None, overrides=["study.path=none.txt", "threads=1"])
    result = _row(needs, tmp_path, asked)
    assert result["failed"] == []
    assert result["not_run"].startswith("needs the table (")
    assert "none.txt" in result["not_run"]


def test_a_refused_setting_is_not_taken_for_absent_data(tmp_path):
    needs = row(experiment="cvpr2022/codec_speed", needs="the table")
    asked = Namespace(reduced=True, only=None, overrides=["study.attributes=0", "threads=1"])
    with pytest.raises(UserError, match=r"^one: study\.attributes: got 0, allowed: "):
        _row(needs, tmp_path, asked)


def test_an_interruption_amid_the_start_reaches_what_is_started(monkeypatch):
    """It belongs to nobody's group yet when the signal comes, and would run on alone."""
    real = subprocess.Popen

    def late(*args, **kwargs):
        process = real(*args, **kwargs)
        signal.raise_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(running.subprocess, "Popen", late)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
    try:
        assert running._run([sys.executable, "-c", "import time; time.sleep(60)"]) in (-2, 130)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupted_row_says_how_to_go_on(tmp_path):
    arguments = ("icml2020", "--only", "mnist_bounds", "--out", "out", "threads=1")
    process = subprocess.Popen(
        [sys.executable, "-m", "expunge.reproduce.app", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell has what it starts in the background ignore it, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("mnist_bounds: ")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "expunge-reproduce: interrupted; the same command goes on where it stopped"
