"""The page of what left, by ``expunge-report --forgotten``: of real runs, and in a real Chromium."""

from __future__ import annotations

import io
import json
import re
import shutil
import stat
from base64 import b64decode
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from expunge import reporting
from expunge.core import text
from expunge.core.errors import InvalidValue
from expunge.datasets import mnist_3v8
from expunge.forgotten import pictures
from expunge.forgotten.chosen import MOST, chosen
from expunge.forgotten.page import IN_ALL, OF_A_REQUEST
from expunge.report import write_report
from tests import cli
from tests.report.test_report import make_run
from tests.report.test_report_browser import CHROMIUM, browser  # noqa: F401 (a fixture)

EVIL = "<script>window.ran = 1</script> quarrels"
TEXTS = [f"{word} and {word}" for word in ("law", "pay", "rent", "sale", "loan", "debt")] + [
    EVIL,
    "word " * 90,
]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def images(base) -> Path:
    """26 requests of 24 images, more than a page shows, and then one of one."""
    rows = np.random.default_rng(0).permutation(11_982)[: 26 * OF_A_REQUEST + 1].tolist()
    batches = [rows[i : i + OF_A_REQUEST] for i in range(0, len(rows), OF_A_REQUEST)]
    (base / "rows.json").write_text(json.dumps(batches))
    few = ("dataset=mnist_3v8", "figures=false", "threads=1", "metrics=[]")
    asked = ("removal=rows", f"removal.rows={base / 'rows.json'}", "unlearner=none")
    return cli.completed(*few, *asked, folder=base / "images")


@pytest.fixture(scope="module")
def texts(base) -> Path:
    data = base / "data"
    data.mkdir()
    lines = [{"text": one, "label": "ab"[i % 2], "split": "train"} for i, one in enumerate(TEXTS)]
    lines += [{"text": "a law", "label": label, "split": "test"} for label in "ab"]
    (data / "clauses.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    data_of = ("dataset=clauses", "dataset.file=clauses.jsonl", f"data_dir={data}", "dataset.features=32")
    asked = ("removal=rows", "removal.rows=[[6,7],[0]]", "figures=false", "threads=1")
    return cli.completed(*data_of, *asked, folder=base / "texts")


@pytest.fixture(scope="module")
def refused(base) -> Path:
    published = ("unlearner=newton", "unlearner.at_limit=refuse", "model.std=0.01")
    return cli.completed(*cli.SMALL, *published, "removal.count=2", folder=base / "refused")


def told(capsys, *arguments) -> cli.Ended:
    capsys.readouterr()
    try:
        code = reporting.main([str(one) for one in arguments])
    except SystemExit as end:
        code = end.code
    return cli.Ended(code, *capsys.readouterr())


def page_of(run: Path, out: Path, *more: str) -> str:
    assert reporting.main([str(run), "--forgotten", "--out", str(out), *more]) == 0
    assert [path.name for path in out.iterdir()] == ["forgotten.html"]
    return (out / "forgotten.html").read_text(encoding="utf-8")


def sections(html: str) -> list[str]:
    return html.split('<section id="request-')[1:]


def ledger(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "removals.jsonl").read_text().splitlines()]


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


# -- known answers ---------------------------------------------------------------------------------


def test_pixel_for_pixel_the_images_of_each_request_and_no_more_than_a_page_holds(images, tmp_path):
    stored, asked = mnist_3v8.load(None).x_train, [record["rows"] for record in ledger(images)]
    found = sections(html := page_of(images, tmp_path / "out"))
    assert len(found) == len(asked)
    left = IN_ALL
    for section, rows in zip(found, asked, strict=True):
        shown = re.findall(r'src="data:image/png;base64,([^"]*)"', section)
        assert len(shown) == min(len(rows), left)
        left -= len(shown)
        for row, packed in zip(rows, shown, strict=False):
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(b64decode(packed)))), stored[row])
        more = len(rows) - len(shown)
        said = re.search(r"(\d+) more images? of this request (is|are) not shown", words(section))
        assert (said is not None and int(said[1]) == more) if more else said is None
        named = words(section).partition("(")[2].partition(")")[0]
        assert named == ", ".join(map(str, rows))
    assert left == 0
    assert "This page holds data that were asked to be erased." in words(html)


def test_the_figures_of_a_request_are_those_of_the_ledger(refused, tmp_path):
    for section, record in zip(sections(page_of(refused, tmp_path / "out")), ledger(refused), strict=True):
        pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", section)
        facts = {unescape(name): unescape(value) for name, value in pairs}
        assert facts["residual bound"] == text.number(record["residual_bound"])
        assert facts["budget"] == text.number(record["budget"])
        assert facts["test accuracy"] == text.accuracy(record["test_accuracy"])
        assert facts["time"] == text.seconds(record["seconds"])
        assert facts["retained"] == text.count(record["retained"])
        numbers = [v for k, v in record.items() if isinstance(v, (int, float)) and k != "request"]
        assert len(facts) == len(numbers)


def test_of_a_refused_request_it_says_that_the_rows_are_still_there(refused, tmp_path):
    kinds = [record["outcome"] for record in ledger(refused)]
    assert "refused" in kinds
    for section, record in zip(sections(page_of(refused, tmp_path / "out")), ledger(refused), strict=True):
        still = "asked to leave, and are still in the model" in words(section)
        assert still == (record["outcome"] == "refused")
        assert not record["reason"] or record["reason"] in words(section)


def test_texts_are_shown_by_their_beginnings_and_as_text(texts, tmp_path):
    first, second = sections(html := page_of(texts, tmp_path / "out"))
    quoted = [unescape(one) for one in re.findall(r"<blockquote>(.*?)</blockquote>", first)]
    assert quoted[0] == EVIL
    assert quoted[1] == " ".join(["word"] * 56) + " …"  # of 280 characters the whole words
    assert re.findall(r"<blockquote>(.*?)</blockquote>", second) == [TEXTS[0]]
    assert "rows (6 id 6, 7 id 7)" in words(first)
    assert "data:image" not in html
    assert "<script>window" not in html


def test_of_a_table_rows_are_named_and_nothing_is_shown(base, tmp_path):
    lines = [f"person{i},{i % 7},{i % 2}" for i in range(40)]
    (base / "people.csv").write_text("\n".join(["id,age,kind", *lines]))
    asked = ("dataset=table", "dataset.label=kind", f"dataset.file={base / 'people.csv'}")
    more = ("removal=ids", "removal.ids=[person3,person8]", "figures=false", "threads=1")
    run = cli.completed(*asked, *more, folder=base / "table")
    html = page_of(run, tmp_path / "out")
    assert "1 row (3 id person3)" in words(html)
    assert not re.search(r"<img|<blockquote|not shown\.</p>", html)


def test_some_requests_are_chosen(images, tmp_path):
    html = page_of(images, tmp_path / "out", "--requests", "27, 2-3")
    assert re.findall(r'<section id="request-(\d+)"', html) == ["2", "3", "27"]
    assert "24 more requests are not on this page" in words(html)


numbers = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), min_size=1, max_size=5)


@settings(deadline=None)
@given(numbers)
def test_numbers_and_ranges_are_read(parts):
    given_ = ",".join(f"{low}-{low + more}" if more else f"{low}" for low, more in parts)
    wanted = sorted({n for low, more in parts for n in range(low, low + more + 1)})
    if wanted[-1] > 40:
        with pytest.raises(InvalidValue, match="from 1 to 40"):
            chosen(given_, 40)
    else:
        assert chosen(given_, 40) == wanted


@pytest.mark.parametrize("given_", ["", "0", "x", "3-1", "-2", "1-", "41", "1-999999999", "1,,2", "²", "1e1"])
def test_what_is_no_number_of_a_request_is_refused(given_):
    with pytest.raises(InvalidValue, match="--requests"):
        chosen(given_, 40)


def test_no_more_than_a_page_holds():
    assert chosen(None, 10_000) == list(range(1, MOST + 1))
    assert chosen("901-1000", 1000) == list(range(901, 1001))
    for many in ("1-101", "1-60,100-160"):
        with pytest.raises(InvalidValue, match="at most 100"):
            chosen(many, 1000)


def test_a_large_image_is_made_smaller_and_any_range_of_values_is_seen():
    kind, _, packed = pictures.address(np.full((300, 200, 3), [255, 0, 0], np.uint8)).partition(",")
    image = Image.open(io.BytesIO(b64decode(packed)))
    assert (kind, image.size) == ("data:image/jpeg;base64", (75, 112))
    np.testing.assert_allclose(np.asarray(image)[50, 30], [255, 0, 0], atol=3)
    of_16 = pictures.address(np.array([[0, 4], [16, 17]], np.uint8), 16.0).partition(",")[2]
    assert np.asarray(Image.open(io.BytesIO(b64decode(of_16)))).tolist() == [[0, 64], [255, 255]]
    wide = np.linspace(-3.0, 5.0, 16).reshape(4, 4)
    packed = pictures.address(wide).partition(",")[2]
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(b64decode(packed)))), np.round(255 * (wide + 3) / 8)
    )


# -- privacy ---------------------------------------------------------------------------------------


def test_it_is_its_owners_alone_and_nothing_else_holds_an_image(images, tmp_path):
    before = cli.every(images)
    page_of(images, tmp_path / "out", "--requests", "1")
    assert stat.S_IMODE((tmp_path / "out" / "forgotten.html").stat().st_mode) == 0o600
    assert cli.every(images) == before
    report = write_report([images], tmp_path / "report").read_text(encoding="utf-8")
    assert "data:image" not in report
    assert "forgotten.html" not in report


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["gone", "changed", "unknown", "row", "empty", "study", "absent"])
def test_what_cannot_be_shown_is_one_line_and_nothing_is_written(texts, tmp_path, capsys, broken):
    run = shutil.copytree(texts, tmp_path / "run")
    data = shutil.copytree(texts.parent / "data", tmp_path / "data")
    for sums in run.rglob("*.sha256"):  # of files that are changed here
        sums.unlink()
    file = data / "clauses.jsonl"
    wanted = {"changed": "training inputs", "row": "got row 900"}.get(broken, "")
    if broken == "gone":
        file.unlink()
        wanted = "clauses.jsonl"
    elif broken == "changed":
        file.write_text(file.read_text().replace("law and law", "awe and awe"))
    elif broken == "unknown":
        summary = json.loads((run / "summary.json").read_text())
        del summary["inputs"], summary["columns"]
        (run / "summary.json").write_text(json.dumps(summary))
        wanted = "no digest of the training inputs"
    elif broken == "row":
        ledger_ = run / "removals.jsonl"
        ledger_.write_text(ledger_.read_text().replace("[6, 7]", "[6, 900]"))
        summary = json.loads((run / "summary.json").read_text())
        del summary["n_train"]
        (run / "summary.json").write_text(json.dumps(summary))
    elif broken == "empty":
        run, wanted = make_run(tmp_path / "none", "newton", 0), "without requests"
    elif broken == "study":
        (run / "summary.json").write_text(json.dumps({"study": "speed", "table": [{"n": 1}]}))
        wanted = "a study"
    else:
        run, wanted = tmp_path, "no summary.json"
    out = tmp_path / "out"
    ended = told(capsys, run, "--forgotten", "--out", out, "--data-dir", data)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    assert wanted in ended.err
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [["RUN", "--forgotten"], ["--forgotten", "--out", "x"], ["RUN", "RUN", "--forgotten", "--out", "x"]]
    + [["RUN", "--forgotten", "--out", "x", *more] for more in (["--legend"], ["--watch"], ["--privacy"])]
    + [["RUN", "--requests", "1"], ["RUN", "--data-dir", "x"]]
    + [["RUN", "--forgotten", "--out", "x", "--requests", "3"], ["RUN", "--forgotten", "--out", "FILE"]],
    ids=" ".join,
)
def test_options_that_do_not_go_together(texts, tmp_path, capsys, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("kept")
    ended = told(capsys, *(texts if one == "RUN" else one for one in arguments))
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]


# -- Chromium --------------------------------------------------------------------------------------


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_and_is_read_without_eyes(browser, images, tmp_path, width, scheme):  # noqa: F811
    page_of(images, tmp_path / "out", "--requests", "1-3")
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.ask(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
    )
    browser.open(f"{(url := (tmp_path / 'out' / 'forgotten.html').resolve().as_uri())}#request-3")
    assert browser.value("document.documentElement.scrollWidth <= window.innerWidth") is True
    at = "document.querySelector('#request-3').getBoundingClientRect()"
    assert browser.value(f"{at}.top < window.innerHeight && {at}.bottom > 0") is True
    assert browser.value("document.querySelectorAll('nav a').length") == 3
    each = "Array.from(document.images, one => [one.alt, one.naturalWidth, one.complete])"
    shown = browser.value(each)
    assert len(shown) == 3 * OF_A_REQUEST
    assert all(re.fullmatch(r"Row \d+: image of class [38], 28 × 28 pixels", alt) for alt, *_ in shown)
    assert {tuple(rest) for _, *rest in shown} == {(28, True)}
    paper = {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]
    assert browser.value("getComputedStyle(document.body).backgroundColor") == paper
    found = [(event["method"], event["params"]) for event in browser.events]
    asked = [of["request"]["url"] for name, of in found if name == "Network.requestWillBeSent"]
    assert {one for one in asked if not one.startswith("data:")} == {url}
    assert [of for name, of in found if name in ("Log.entryAdded", "Runtime.exceptionThrown")] == []
