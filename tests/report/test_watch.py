"""``expunge-report --watch``: the report is made anew while runs go on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from expunge.record.folders.watched import State, reloading
from expunge.report import app
from tests import cli
from tests.report.test_report import make_run
from tests.report.test_report_browser import CHROMIUM, browser  # noqa: F401

REPORT = (sys.executable, "-m", "expunge.report.app")
RELOADS = '<meta http-equiv="refresh" content="1">'
SWEEP = ("-m", *cli.SMALL, "removal.count=40")


def until(what, *processes, seconds: float = 120.0) -> None:
    """Wait for something to be so, as long as these processes go on."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def shown(page: Path) -> str:
    """The page as it is by now, each time whole."""
    return page.read_text(encoding="utf-8") if page.exists() else ""


def watching(folder: Path, *more: str, every: str = "0.2"):
    return subprocess.Popen(
        [*REPORT, "--watch", str(folder), "--every", every, *more],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
    )


def stopped(process, number=signal.SIGINT) -> cli.Ended:
    process.send_signal(number)
    return cli.wait(process)


# -- real runs -------------------------------------------------------------------------------------


@pytest.fixture
def sweep(tmp_path):
    """A real sweep that was done, and a larger grid in its folder that has just begun."""
    folder = tmp_path / "sweep"
    ended = cli.expunge(*SWEEP, "unlearner.lam=1e-3", f"hydra.sweep.dir={folder}", cwd=tmp_path)
    assert ended.code == 0
    assert State.of([folder]).over
    later = (folder / "sweep.json").stat().st_mtime_ns + 1
    os.utime(folder / ".jobs" / "sweep.json", ns=(later, later))
    return folder


def test_a_sweep_is_followed_to_its_end(sweep, capsys):
    page, lams = sweep / "report" / "report.html", "unlearner.lam=1e-3,1e-2,1e-1,1"
    watch = watching(sweep)
    try:
        until(lambda: RELOADS in shown(page), watch)  # of the first run, as more are to come
        going = cli.start(*SWEEP, lams, f"hydra.sweep.dir={sweep}", cwd=sweep.parent)
        assert cli.wait(going).code == 0
        ended = cli.wait(watch, timeout=60)
    finally:
        watch.kill()
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("No more to come: every cell of the sweep has ended.\n")
    assert ended.out.count("Written to ") >= 2
    content = shown(page)
    assert 'http-equiv="refresh"' not in content
    assert "4 runs · " in content
    assert app.main([str(sweep)]) == 0  # which makes the very same
    assert shown(page) == content
    assert capsys.readouterr().out.split("\nWritten")[0] in ended.out


def test_a_sweep_that_is_done_is_shown_once(sweep, capsys):
    os.utime(sweep / "sweep.json")
    assert app.main(["--watch", str(sweep)]) == 0
    out, err = capsys.readouterr()
    assert (err, out.count("Written to ")) == ("", 1)
    assert "No more to come" in out
    assert 'http-equiv="refresh"' not in shown(sweep / "report" / "report.html")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_leaves_a_page_at_rest(tmp_path, number, code):
    page, out = tmp_path / "there" / "report.html", str(tmp_path / "there")
    make_run(tmp_path / "runs" / "a", "newton", 8)
    watch = watching(tmp_path / "runs", "--out", out)
    until(lambda: "1 run · " in shown(page), watch)
    assert RELOADS in shown(page)
    make_run(tmp_path / "more" / "b", "retrain", 8)
    os.rename(tmp_path / "more" / "b", tmp_path / "runs" / "b")
    until(lambda: "2 runs · " in shown(page), watch)
    ended = stopped(watch, number)
    assert (ended.code, ended.err.count("\n")) == (code, 1)
    live = shown(page)
    assert 'http-equiv="refresh"' not in live
    assert app.main([str(tmp_path / "runs"), "--out", out]) == 0
    assert shown(page) == live


@contextmanager
def within(seconds: int):
    """End what a process in the middle of it may never answer: whatever waits here is interrupted."""

    def late(*_):
        raise AssertionError(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_watched_page_reloads_in_a_browser_until_the_watch_ends(tmp_path, browser):  # noqa: F811
    page, out = tmp_path / "there" / "report.html", str(tmp_path / "there")
    make_run(tmp_path / "runs" / "a", "newton", 8)
    watch = watching(tmp_path / "runs", "--out", out)

    def says(expression: str) -> bool:
        try:
            return bool(browser.value(expression))
        except AssertionError:  # amid a reload there is no page to ask
            return False

    try:
        with within(280):
            until(lambda: RELOADS in shown(page), watch)
            browser.open(page.as_uri())
            until(lambda: says("document.documentElement.outerHTML.includes('1 run · ')"), watch)
            browser.value("window.mark = 1")
            make_run(tmp_path / "more" / "b", "retrain", 8)
            os.rename(tmp_path / "more" / "b", tmp_path / "runs" / "b")
            until(lambda: says("document.documentElement.outerHTML.includes('2 runs · ')"), watch)
            assert not says("window.mark")  # another load of the page
            assert stopped(watch).code == 130
            until(lambda: says("document.querySelector('meta[http-equiv=refresh]') === null"))
            browser.value("window.mark = 2")
            time.sleep(2.5)  # twice as long as it took to reload
            assert says("window.mark === 2")
            urls = [e["params"]["request"]["url"] for e in browser.events if "WillBeSent" in e["method"]]
            assert all(url.startswith(("file:", "data:", "about:")) for url in urls)
    finally:
        watch.kill()


def test_where_nothing_can_be_written_it_does_not_wait(tmp_path, capsys):
    make_run(tmp_path / "run", "newton", 3)
    (tmp_path / "file").touch()
    assert app.main(["--watch", str(tmp_path / "run"), "--out", str(tmp_path / "file" / "below")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the report cannot be written" in line


def test_a_run_that_goes_on_is_not_finished_and_no_error(tmp_path):
    folder = make_run(tmp_path / "runs" / "a", "newton", 3)
    summary, ledger = folder / "summary.json", folder / "removals.jsonl"
    whole, lines = summary.read_text(), ledger.read_text().splitlines(keepends=True)
    summary.unlink()
    ledger.write_text("".join(lines[:1]))
    watch = watching(tmp_path / "runs")
    page = tmp_path / "runs" / "report" / "report.html"
    time.sleep(3)
    assert watch.poll() is None
    assert not page.exists()
    ledger.write_text("".join(lines[:2]) + lines[2][:30])
    make_run(tmp_path / "runs" / "b", "newton", 3)
    until(lambda: "2 requests" in shown(page), watch)
    ledger.write_text("".join(lines))
    summary.write_text(whole)
    until(lambda: "2 runs · " in shown(page), watch)
    ended = stopped(watch)
    assert (ended.code, ended.err.count("\n")) == (130, 1)
    assert ended.out.startswith(f"no finished run in {tmp_path / 'runs'} (1 unfinished)")
    assert ended.out.count("no finished run") == 1


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is on PATH")
# -- when it is over, by known answers -------------------------------------------------------------


def noted(sweep: Path, *statuses: str, total: int | None = None) -> Path:
    """A sweep's notes and, last, its ``sweep.json``."""
    (sweep / ".jobs").mkdir(parents=True, exist_ok=True)
    (sweep / ".jobs" / "sweep.json").write_text(json.dumps({"total": total}))
    for number, status in enumerate(statuses):
        (sweep / ".jobs" / str(number)).mkdir(exist_ok=True)
        (sweep / ".jobs" / str(number) / "job.json").write_text(json.dumps({"status": status}))
    cells = [{"run": str(i), "status": status} for i, status in enumerate(statuses)]
    (sweep / "sweep.json").write_text(json.dumps({"cells": cells}))
    later = time.time_ns() + 10**9
    os.utime(sweep / "sweep.json", ns=(later, later))
    return sweep


@pytest.mark.parametrize(
    ("statuses", "over"),
    [
        (["done"], True),
        (["done", "failed", "damaged"], True),
        (["done", "unfinished"], False),
        (["unfinished"], False),
    ],
)
def test_it_is_over_when_every_cell_has_ended(tmp_path, statuses, over):
    assert State.of([noted(tmp_path / "s", *statuses)]).over is over
    shutil.rmtree(tmp_path / "s" / ".jobs")  # as of a folder that was copied
    assert State.of([tmp_path]).over is over


@pytest.mark.parametrize("newer", ["sweep.json", "0/job.json", "1/job.json"])
def test_it_is_not_while_notes_are_newer_than_what_it_came_to(tmp_path, newer):
    folder = noted(tmp_path / "s", "done", "done")
    later = time.time_ns() + 10**10
    os.utime(folder / ".jobs" / newer, ns=(later, later))
    assert not State.of([folder]).over


def test_it_is_not_before_there_is_anything_nor_while_one_of_two_goes_on(tmp_path):
    assert not State.of([tmp_path]).over
    make_run(tmp_path / "run", "newton", 3)
    assert not State.of([tmp_path]).over
    noted(tmp_path / "a", "done")
    assert State.of([tmp_path]).over
    (noted(tmp_path / "b", "done") / "sweep.json").unlink()
    assert not State.of([tmp_path]).over
    (tmp_path / "b" / "sweep.json").write_text("{")
    assert not State.of([tmp_path]).over


def test_the_report_and_locks_are_no_change(tmp_path):
    make_run(tmp_path / "run", "newton", 3)
    before = State.of([tmp_path])
    assert app.main([str(tmp_path)]) == 0
    (tmp_path / "run" / ".lock").touch()
    (tmp_path / "run" / "summary.json.0123.part").touch()
    assert State.of([tmp_path]) == before
    with (tmp_path / "run" / "removals.jsonl").open("a") as file:
        file.write("{}")
    assert State.of([tmp_path]) != before


def test_a_page_reloads_in_whole_seconds_or_not_at_all():
    page = "<html>\n<head>\n<title>x</title>\n<head>\n"
    assert reloading(page, None) == page
    assert reloading(page, 1.2) == page.replace(
        "<head>\n", '<head>\n<meta http-equiv="refresh" content="2">\n', 1
    )


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["--watch"], "the following arguments are required: FOLDER (see --help)"),
        (["--watch", "--privacy"], "--watch: only with a FOLDER"),
        (["--watch", "absent"], "absent: no such folder"),
        (["--every", "3", "."], "--every: only with --watch"),
        *(
            (
                ["--watch", ".", "--every", given],
                f"--every: got '{given}', allowed: seconds, from 0.2 to 86400",
            )
            for given in ("0", "-1", "nan", "inf", "soon", "")
        ),
    ],
)
def test_errors_are_one_line(tmp_path, monkeypatch, capsys, typed, line):
    monkeypatch.chdir(tmp_path)
    try:
        code = app.main(typed)
    except SystemExit as end:
        code = end.code
    assert (code, *capsys.readouterr()) == (2, "", f"expunge-report: {line}\n")
    assert list(tmp_path.iterdir()) == []
