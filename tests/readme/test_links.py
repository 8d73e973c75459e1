"""Every relative link of the pages, the records and the change log leads to a file, or a heading in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.readme.pages import PAGES, ROOT

FROM = [*PAGES, ROOT / "CHANGELOG.md", *sorted((ROOT / "experiments").rglob("*.md"))]
FENCED = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The names of headings, as a repository's page makes them of their words."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S), re.M
    )
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """The links that lead nowhere."""
    found = []
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        outside = re.match(r"\w+:", link)
        if not outside and not (target.is_file() and (not anchor or anchor in anchors(target))):
            found.append(link)
    return found


@pytest.mark.parametrize("page", FROM, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "there.md").write_text("# Here, `now`\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md#here-now) [b](there.md#then) [c](gone.md) ![d](gone.png) [e](https://x.org)\n"
    )
    assert broken(page) == ["there.md#then", "gone.md", "gone.png"]


def test_the_readme_is_one_screen_and_leads_to_every_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        places = {link.partition("#")[0] for link in LINK.findall(FENCED.sub("", page.read_text()))}
        targets = {
            (page.parent / place).resolve() for place in places if place.endswith(".md") and ":" not in place
        }
        waiting += targets - reached - set(waiting)
    assert set(PAGES) <= reached


def test_the_citation_names_this_version_and_both_papers():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert f'version = "{cited["version"]}"' in (ROOT / "pyproject.toml").read_text()
    text = (ROOT / "README.md").read_text()
    assert [paper["url"] in text for paper in cited["references"]] == [True, True]
