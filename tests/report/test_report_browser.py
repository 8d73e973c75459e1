"""The page in a real headless Chromium: sorting under its policy, no requests outside, a narrow screen.

Chromium is driven through its debugging pipe (file descriptors 3 and 4, messages that end in a zero byte).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from select import select
from typing import Any

import pytest

from expunge.report import find_runs
from expunge.report.figures.grid import draw_grid
from expunge.report.page.page import page
from expunge.report.tables.contents import Contents
from tests.report.test_report import make_run

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)
_PATIENCE = 60  # seconds
ROWS = "Array.from(document.querySelector('table.sortable').tBodies[0].rows"
_TO_3_AND_4 = """\
import fcntl, os, sys
found = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
for one, place in zip(found, (3, 4)):
    os.dup2(one, place)
os.execv(sys.argv[3], sys.argv[3:])
"""
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"none of {', '.join(NAMES)} is on PATH")


class Browser:
    """One page of a running Chromium."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = os.fdopen(commands, "wb"), os.fdopen(answers, "rb")
        self._last, self._session, self._rest = 0, None, b""
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer; events that come before it are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while (answer := self._next()).get("id") != self._last:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, url: str) -> None:
        """Open a page anew and wait until it is there; ``events`` are then those of this page."""
        for address in ("about:blank", url):
            self.events.clear()
            self.ask("Page.navigate", url=address)
            while not any(event["method"] == "Page.loadEventFired" for event in self.events):
                self.events.append(self._next())

    def value(self, expression: str, wait: bool = False) -> Any:
        """Return the value of JavaScript in the page, which its policy does not bind; wait for a promise."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=wait)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        """Press a key on whatever has the focus."""
        code = {"Enter": 13, "Tab": 9}[key]
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **extra)

    def close(self) -> None:
        """End the browser."""
        self._session = None
        self.ask("Browser.close")

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select([self._answers], [], [], _PATIENCE)[0], "Chromium does not answer"
            more = os.read(self._answers.fileno(), 1 << 16)
            assert more, "Chromium has ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    ours, theirs = os.pipe(), os.pipe()
    read, write = ours[0], theirs[1]
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]
    process = subprocess.Popen(
        [sys.executable, "-c", _TO_3_AND_4, str(read), str(write), *command],
        pass_fds=(read, write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read)
    os.close(write)
    try:
        one = Browser(ours[1], theirs[0])
        yield one
        one.close()
        process.wait(20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    """The page of a sweep with a failed cell, blanks, a long error, two figures and many columns."""
    sweep = tmp_path_factory.mktemp("base") / "sweep"
    measured = {"relearn_steps": 12, "completeness": 0.9}
    for place, (lam, std) in enumerate((a, b) for a in (1e-4, 1e-3, 1e-2) for b in (1.0, 10.0)):
        more = {"test_accuracy_after": 0.95 - 0.03 * (place % 4) ** 2, "membership_auc": 0.5 + place / 100}
        make_run(sweep / str(place), "newton", 6, {"lam": lam, "std": std}, **measured, **more)
    make_run(sweep / "9", "none", 6, test_accuracy_after=None, test_accuracy_before=None)
    failed = {"run": "8", "status": "failed", "error": "wrong" * 60, "overrides": ["unlearner.lam=-1"]}
    (sweep / "sweep.json").write_text(json.dumps({"cells": [failed]}))
    contents = Contents.of(find_runs([sweep]))
    links = {run.name: run.folder.name for run in contents.runs}
    path = sweep / "report.html"
    path.write_text(page(contents, draw_grid(contents.runs), links), encoding="utf-8")
    return path.resolve().as_uri()


def _column(browser: Browser, key: str) -> list[str | None]:
    """Return the raw values of a column of the first table, as it stands."""
    at = f"document.querySelector('[data-key=\"{key}\"]').cellIndex"
    return browser.value(f"{ROWS}, row => row.cells[{at}].dataset.value ?? null)")


def _sorted(values: list[str | None], backwards: bool) -> list[str | None]:
    known = sorted((v for v in values if v is not None), key=float, reverse=backwards)
    return [*known, *[None] * (len(values) - len(known))]


def test_a_click_sorts_by_raw_values_with_blanks_last(browser, url):
    key = "runs.test_accuracy_after"
    browser.open(url)
    head = f"document.querySelector('[data-key=\"{key}\"]')"
    as_written = _column(browser, key)
    assert as_written != _sorted(as_written, backwards=True)
    for way, backwards in (("descending", True), ("ascending", False)):
        browser.value(f"{head}.querySelector('button').click()")
        now = _column(browser, key)
        assert now == _sorted(as_written, backwards)
        assert now[-1] is None
        assert browser.value(f"{head}.getAttribute('aria-sort')") == way
    assert browser.value("location.hash") == f"#sort={key}"
    assert browser.value("document.querySelectorAll('th[aria-sort=ascending]').length") == 1


def test_the_keyboard_sorts_too(browser, url):
    key = "runs.membership_auc"
    browser.open(url)
    browser.value("document.querySelector('[data-key=\"runs.test_accuracy_after\"] button').focus()")
    for _ in range(20):
        if browser.value("document.activeElement.closest('th')?.dataset.key") == key:
            break
        browser.press("Tab")
    browser.press("Enter", "\r")
    values = _column(browser, key)
    assert values == _sorted(values, backwards=False)
    assert browser.value("location.hash") == f"#sort={key}"


def test_an_address_keeps_the_order_and_words_sort_as_words(browser, url):
    key = "runs.unlearner"
    browser.open(f"{url}#sort=-{key}")
    labels = browser.value(f"{ROWS}, row => row.cells[0].textContent)")
    assert len(labels) == 7
    assert labels[0] == "none"
    assert all(label.startswith("newton (lam ") for label in labels[1:])
    browser.value(f"location.hash = '#sort={key}'")
    browser.value("new Promise(done => setTimeout(done, 0))", wait=True)  # the event comes after this script
    assert browser.value(f"{ROWS}, row => row.cells[0].textContent)") == labels[::-1]


def test_nothing_is_asked_for_outside_and_the_policy_is_kept(browser, url):
    browser.open(url)
    found = [(event["method"], event["params"]) for event in browser.events]
    asked = [said["request"]["url"] for method, said in found if method == "Network.requestWillBeSent"]
    assert asked == [url]
    assert [s for method, s in found if method in ("Log.entryAdded", "Runtime.exceptionThrown")] == []
    # A script that is not the page's own does not run.
    browser.value(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))"
    )
    assert browser.value("window.ran === undefined") is True


@pytest.mark.parametrize("width", [360, 390])
def test_a_narrow_screen_scrolls_tables_and_not_the_page(browser, url, width):
    browser.ask(
        "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=True
    )
    browser.open(url)
    browser.value("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert browser.value("window.innerWidth") == width
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.value("document.querySelector('.scroll').scrollWidth") > width
    browser.ask("Emulation.clearDeviceMetricsOverride")
