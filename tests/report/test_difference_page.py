"""The page of two runs that ``expunge-report --diff A B --out DIR`` writes, read, and in a real Chromium."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from expunge.core.text import number
from expunge.record.folders.differences import Differences
from expunge.report import app
from expunge.report.page.difference import lines_of
from tests import cli
from tests.report.test_report import make_run
from tests.report.test_report_browser import CHROMIUM, browser  # noqa: F401 (a fixture)


def told(capsys, *arguments) -> cli.Ended:
    try:
        code = app.main([str(one) for one in arguments])
    except SystemExit as end:
        code = end.code
    return cli.Ended(code, *capsys.readouterr())


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> list[Path]:
    """Two runs of the same settings but one, and of other requests from the seventh on."""
    base = tmp_path_factory.mktemp("runs")
    folders = [
        make_run(base / name, "newton", 12, {"lam": lam}, test_accuracy_after=after)
        for name, lam, after in (("first", 1e-3, 0.95), ("second", 1e-2, 0.91))
    ]
    ledger = folders[1] / "removals.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    lines[0] |= {"rows": [4711], "ids": ["Anna Exampleson"], "residual_bound": 0.25}
    ledger.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folders


@pytest.fixture(scope="module")
def html(pair, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("out") / "new"
    assert app.main(["--diff", *map(str, pair), "--out", str(out)]) == 0
    assert [path.name for path in out.iterdir()] == ["diff.html"]
    return (out / "diff.html").read_text(encoding="utf-8")


def rows_of(html: str, label: str) -> dict[str, list[str]]:
    """Naive: the cells of a table by the first of each line."""
    table = html.partition(f'aria-label="{label}"')[2].partition("</table>")[0]
    lines = [re.findall(r"<t[hd].*?</t[hd]>", line, re.S) for line in table.split("<tr>")[2:]]
    cells = [[re.sub(r"<[^>]*>", " ", cell).split() for cell in line] for line in lines]
    return {" ".join(first): [" ".join(one) for one in rest] for first, *rest in cells}


def test_settings_and_numbers_stand_side_by_side_with_their_difference(pair, html):
    found = Differences.of(*pair)
    assert rows_of(html, "Settings that differ") == {"unlearner.lam": ["1e-3", "0.01"]}
    numbers = rows_of(html, "Numbers that differ")
    assert len(numbers) == len(found.numbers)
    assert numbers["test accuracy test_accuracy_after"] == ["0.95", "0.91", number(0.91 - 0.95)]
    lead = re.sub(r"<[^>]*>", "", html.partition('class="lead">')[2].partition("</p>")[0])
    assert " ".join(lead.split()) == "A first: newton · B second: newton"


def test_both_are_in_every_chart_though_they_are_set_alike(tmp_path, html):
    charts = [json.loads(one) for one in re.findall(r'<script type="application/json">(.*?)</script>', html)]
    assert charts
    for chart in charts:
        assert {"A: newton", "B: newton"} <= set(re.findall(r"[AB]: newton", json.dumps(chart)))
    same = [make_run(tmp_path / name, "newton", 4) for name in "ab"]
    assert app.main(["--diff", *map(str, same), "--out", str(tmp_path)]) == 0
    page = (tmp_path / "diff.html").read_text()
    assert {"A: newton", "B: newton"} <= set(re.findall(r"[AB]: newton", page))
    assert "All alike, but for times." in page
    assert "None differ." in page


def test_the_page_names_nobody_who_asked_to_leave_and_no_place_of_the_machine(pair, html):
    assert "residual_bound" in " ".join(rows_of(html, "Fields of this record"))
    for secret in ("4711", "Exampleson", str(pair[0].parent)):
        assert secret not in html.partition("<script>")[0]  # after which come the libraries
    assert "It is of other rows" in html
    assert "A: inputs.json: missing from the run folder" in html
    assert lines_of({"data_dir": ("/srv/one", "/srv/two")}, False, {}) == [
        ("", "data_dir", ("…/one", "…/two")),
    ]
    listed = {"removal.ids": (["Anna"], ["Ben", "Cleo"]), "removal.rows": ([[1, 2]], "rows.txt")}
    assert [words for *_, words in lines_of(listed, False, {})] == [
        ("1 listed", "2 listed"),
        ("1 listed", "rows.txt"),
    ]


def test_studies_have_a_page_too(tmp_path):
    folders = []
    for name, value in (("a", 1.0), ("b", 2.0)):
        folder = tmp_path / name
        (folder / ".hydra").mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps({"study": "speed", "table": [{"n": value}]}))
        (folder / ".hydra" / "config.yaml").write_text("{}")
        folders.append(str(folder))
    assert app.main(["--diff", *folders, "--out", str(tmp_path / "out")]) == 0
    assert rows_of((tmp_path / "out" / "diff.html").read_text(), "Fields of this record") == {
        "n": ["1", "2", "+1"]
    }


@pytest.mark.parametrize("broken", ["file", "no run"])
def test_what_cannot_be_is_one_line_and_nothing_is_written(pair, tmp_path, capsys, broken):
    out = tmp_path / "out"
    if broken == "file":
        out.write_text("kept")
    second = tmp_path if broken == "no run" else pair[1]
    ended = told(capsys, "--diff", pair[0], second, "--out", out)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert out.read_text() == "kept" if broken == "file" else not out.exists()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_and_asks_for_nothing(browser, html, tmp_path, width, scheme):  # noqa: F811
    path = tmp_path / "diff.html"
    path.write_text(html, encoding="utf-8")
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.ask(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
    )
    browser.open(url := path.resolve().as_uri())
    assert browser.value("document.documentElement.scrollWidth <= window.innerWidth") is True
    table = "document.querySelector('[aria-label=\"Numbers that differ\"]')"
    assert browser.value(f"{table}.scrollWidth <= {table}.clientWidth") is True, "all four columns are seen"
    paper = {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]
    assert browser.value("getComputedStyle(document.body).backgroundColor") == paper
    found = [(event["method"], event["params"]) for event in browser.events]
    assert [of["request"]["url"] for name, of in found if name == "Network.requestWillBeSent"] == [url]
    assert [of for name, of in found if name in ("Log.entryAdded", "Runtime.exceptionThrown")] == []
