"""The documentation as a site: built without a warning, in time, whole, and read without a network."""

from __future__ import annotations

import json
import logging
import re
import time

import pytest
import yaml

from tests.readme.pages import PAGES, ROOT
from tests.report.test_report_browser import CHROMIUM, browser  # noqa: F401

pytest.importorskip("material", reason="needs mkdocs-material (extra docs)")
build = pytest.importorskip("mkdocs.commands.build", reason="needs mkdocs (extra docs)")
from mkdocs.config import load_config  # noqa: E402
from mkdocs.exceptions import Abort  # noqa: E402

LOADED = re.compile(r"<(?:script|img|iframe)\b[^>]*\bsrc=\"?(\w+:)?//|<link\b[^>]*\bhref=\"?(\w+:)?//")
CONF = ROOT / "conf"


def built(into, **changed):
    """Build it there, and return the warnings that it gave."""
    told = []
    watch = logging.Handler(logging.WARNING)
    watch.emit = lambda record: told.append(record.getMessage())
    logging.getLogger("mkdocs").addHandler(watch)
    try:
        build.build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(into), **changed))
    finally:
        logging.getLogger("mkdocs").removeHandler(watch)
    return told


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    began = time.process_time()  # of this process: others may be at work
    assert built(folder) == []
    assert time.process_time() - began < 60
    return folder


def test_every_page_is_in_the_site_and_in_its_navigation(site):
    first = (site / "index.html").read_text()
    for page in PAGES[1:]:
        assert (site / f"{page.stem}.html").is_file()
        assert f'href="{page.stem}.html" class="md-nav__link"' in first, page


def test_nothing_is_loaded_from_elsewhere(site):
    assert LOADED.search('<script src="https://cdn.example/x.js">')
    assert LOADED.search("<link rel=stylesheet href=//fonts.example>")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    assert [page.name for page in pages if LOADED.search(page.read_text())] == []
    sheets = [path.read_text() for path in site.rglob("*.css")]
    assert not any(re.search(r"url\(\W*(https?:)?//|@import", sheet) for sheet in sheets)


def test_a_link_that_leads_nowhere_ends_the_build(site, tmp_path, monkeypatch):
    (hook,) = [
        hook for name, hook in load_config(str(ROOT / "mkdocs.yml")).hooks.items() if "reposit" in name
    ]
    page = ROOT / "docs" / "audit.md"
    said = hook.on_page_markdown
    monkeypatch.setattr(
        hook,
        "on_page_markdown",
        lambda markdown, page, **given: said(markdown + "\n[gone](certificate.md#gone)\n", page, **given),
    )
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path))
    config.plugins.events["page_markdown"] = [hook.on_page_markdown]
    with pytest.raises(Abort):
        build.build(config)
    assert page.is_file()


# -- the reference -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    """The hook, as mkdocs loads it."""
    return load_config(str(ROOT / "mkdocs.yml")).hooks["docs/site/reference.py"]


def leaves(name, value):
    """The whole names of all that a file sets, read by YAML alone."""
    if not isinstance(value, dict) or not value:
        return {name}
    return {
        leaf for key, inner in value.items() if key != "_target_" for leaf in leaves(f"{name}.{key}", inner)
    }


def test_every_key_has_a_line(reference):
    """A mapping that is written in one line is a value, and has one line for all of it."""
    page = reference.page(CONF)
    files = sorted(CONF.rglob("*.yaml"))
    assert len(files) > 80
    for file in files:
        group = file.parent.relative_to(CONF).as_posix()
        if file == CONF / "study.yaml":  # switches the groups of a run off, and sets nothing
            continue
        text = file.read_text()
        everywhere = group == "." or "# @package _global_" in text
        section = page.split("## Settings of a run\n" if group == "." else f"### {group}={file.stem}\n")[1]
        told = set(re.findall(r"^\| `([^`]+)` \|", re.split(r"^##", section, flags=re.M)[0], re.M))
        read = yaml.safe_load(text)
        for key in set(read) - {"defaults", "reduced", "_target_"}:
            whole = key if everywhere else f"{group.replace('/', '.')}.{key}"
            for leaf in leaves(whole, read[key]):
                parts = leaf.split(".")
                assert told & {".".join(parts[:n]) for n in range(1, len(parts) + 1)}, (file, leaf)


def test_a_comment_is_told_with_its_key(reference, tmp_path):
    (tmp_path / "unlearner").mkdir()
    base = '# What it does,\n# in two lines.\n_target_: a.B\nname: "a # b"  # its name\nk: [1, 2]\n'
    base += "w: {u: 1}  # a | b\n"
    (tmp_path / "unlearner" / "base.yaml").write_text(base)
    (tmp_path / "unlearner" / "more.yaml").write_text("# More.\ndefaults:\n  - base\n  - _self_\nname: c\n")
    (tmp_path / "config.yaml").write_text("seed: 0  # of all\nhydra:\n  run:\n    dir: x  # where\n")
    page = reference.page(tmp_path)
    assert "| `seed` | `0` | of all |" in page
    assert "| `hydra.run.dir` | `x` | where |" in page
    assert "### unlearner=base\n\nWhat it does, in two lines.\n" in page
    assert '| `unlearner.name` | `"a # b"` | its name |' in page
    assert "| `unlearner.k` | `[1, 2]` |  |" in page
    assert "| `unlearner.w` | `{u: 1}` | a \\| b |" in page
    assert "The settings of [`base`](#unlearnerbase), but for:" in page
    assert "| `unlearner.name` | `c` | its name |" in page


# -- the Python API ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api():
    """The hook, as mkdocs loads it."""
    return load_config(str(ROOT / "mkdocs.yml")).hooks["docs/site/api.py"]


def test_all_that_is_public_is_told_with_every_argument(api):
    import expunge
    import expunge.codec

    told = {f"{package}.{name}" for _, package, names in api.SECTIONS.values() for name in names}
    assert told >= {f"{room.__name__}.{name}" for room in (expunge, expunge.codec) for name in room.__all__}
    page = api.page()
    assert " at 0x" not in page
    entries = dict(zip(*[iter(re.split(r"^### (\S+)$", page, flags=re.M)[1:])] * 2, strict=True))
    assert {name.rpartition(".")[2] for name in told} == set(entries)
    for name, text in entries.items():
        head = text.partition("#### ")[0]
        block = re.search(r"```python\n(.*?)```", head, re.S)
        if block and "| argument | |" in head:
            given = re.findall(r"[(\s*]([A-Za-z]\w*)(?=[:=,)])", block[1].partition("->")[0])
            assert {
                *re.findall(
                    r"^\| `\*{0,2}(\w+)` \|", head.partition("| raised")[0].partition("| attribute")[0], re.M
                )
            } <= {*given}, name
    assert page.count("| argument | |") > 15


def test_a_docstring_becomes_a_page(api):
    class Thing:
        """What it ``is``, a_b * c.

            x = y_z

        Args:
            one: First | second,
                over two lines.

        Raises:
            ValueError: Always.
        """

        def __init__(self, one: int, *, two: str = "a") -> None: ...

        def method(self, value: float = 0.5) -> dict[str, float]:
            """Do it.

            Returns:
                All of it.
            """
            return {"value": value}

    Thing.__module__ = "expunge.thing"
    assert (
        api._beside("docstrings").entry("expunge.Thing", Thing)
        == """\
### Thing

`from expunge import Thing`

```python
Thing(one: int, *, two: str = 'a') -> None
```

What it `is`, a_b \\* c.

    x = y_z


| argument | |
|---|---|
| `one` | First \\| second, over two lines. |

| raised | |
|---|---|
| `ValueError` | Always. |

#### method

```python
Thing.method(value: float = 0.5) -> dict[str, float]
```

Do it.


**Returns** All of it.

"""
    )


# -- the notebooks -----------------------------------------------------------------------------------------


def test_notebooks_are_pages_with_what_they_said(site):
    page = (site / "python.html").read_text()
    for path in (ROOT / "examples" / "notebooks").glob("*.ipynb"):
        assert f'href="examples/notebooks/{path.stem}.html"' in page
        text = (site / "examples" / "notebooks" / f"{path.stem}.html").read_text()
        assert (site / "examples" / "notebooks" / path.name).is_file()
        outputs = [o for c in json.loads(path.read_text())["cells"] for o in c.get("outputs", [])]
        assert outputs
        assert text.count('src="data:image/png') == sum("image/png" in o.get("data", {}) for o in outputs)
        assert text.count("<table>") == sum("text/html" in o.get("data", {}) for o in outputs)


def test_a_cell_becomes_a_block_with_its_output():
    page = load_config(str(ROOT / "mkdocs.yml")).hooks["docs/site/notebooks.py"].page
    stream = {"output_type": "stream", "text": ["a ```` b\n"]}
    table = {"data": {"text/html": ["<style>x</style>\n\n<table class='d'>\n"], "text/plain": "t"}}
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "Why."]},
        {"cell_type": "code", "source": ["x = 1\n"], "outputs": [stream, table]},
        {"cell_type": "code", "source": [], "outputs": []},
    ]
    assert page({"cells": cells}, "n.ipynb") == (
        "# Title\n\nAs it was run; the [notebook](n.ipynb) itself.\n\nWhy.\n\n```python\nx = 1\n```\n\n"
        "`````text\na ```` b\n`````\n\n<table>\n"
    )


# -- in a browser ------------------------------------------------------------------------------------------


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_leaderboard_is_sorted_by_a_click(site, browser):  # noqa: F811
    browser.open((site / "leaderboard.html").as_uri())
    table = "document.querySelectorAll('table.board')[2]"  # of a class and 10,000 images
    names = f"[...{table}.tBodies[0].rows].map(r => r.cells[0].textContent)"
    heads = [
        head.rstrip(" ↑↓") for head in browser.value(f"[...{table}.rows[0].cells].map(c => c.textContent)")
    ]
    assert heads[:2] == ["method", "ToW"]
    assert browser.value(names)[:2] == ["retrain", "lcodec"]  # by ToW, as the page came
    assert browser.value(f"{table}.rows[0].cells[1].getAttribute('aria-sort')") == "descending"
    cost = heads.index("time / removal, median")

    def ordered_by(column):
        browser.value(f"{table}.rows[0].cells[{column}].querySelector('button').click()")
        return browser.value(names)

    quickest = ordered_by(cost)
    assert quickest[0] == "gradient_ascent"
    assert set(quickest[-2:]) == {"none", "neggrad_published"}  # refused: no time
    assert ordered_by(cost)[0] == "scrub_kd_published"
    assert ordered_by(0) == sorted(quickest)
    assert ordered_by(1)[0] == "retrain"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_pages_fit_the_screen_and_ask_nobody(site, browser):  # noqa: F811
    """On a wide and on a narrow screen; every second page in a browser that asks for dark ones."""
    pages = ["index", *(page.stem for page in PAGES[1:]), "reference", "api", "experiments/icml2020/RESULTS"]
    pages += [f"examples/notebooks/{path.stem}" for path in (ROOT / "examples" / "notebooks").glob("*.ipynb")]
    for place, page in enumerate(pages):
        wanted, given = (("light", "default"), ("dark", "slate"))[place % 2]
        media = [{"name": "prefers-color-scheme", "value": wanted}]
        browser.ask("Emulation.setEmulatedMedia", features=media)
        browser.open((site / f"{page}.html").as_uri())
        assert browser.value("document.body.getAttribute('data-md-color-scheme')") == given, page
        for width in (1400, 390):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.ask("Emulation.setDeviceMetricsOverride", **size)
            wide = browser.value(
                "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide <= 0, (page, width, wide)
        requests = [event for event in browser.events if event["method"] == "Network.requestWillBeSent"]
        urls = [event["params"]["request"]["url"] for event in requests]
        assert urls
        assert all(url.startswith(("file:", "data:")) for url in urls), urls
        assert not any(event["method"] == "Network.loadingFailed" for event in browser.events), page
        assert browser.value("Array.from(document.images).every(i => i.naturalWidth > 0)"), page
