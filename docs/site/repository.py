"""A hook of mkdocs: the README is the first page, and records that pages link to are pages, too.

Links are written as they hold in the repository, where ``docs/`` is one folder among others; the site has its
pages at the top. A link to what is in neither is an error.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the pages of ``docs/`` that the navigation does not name to its last section."""
    (more,) = config.nav[-1].values()
    named = set(_names(config.nav))
    more += sorted(page.name for page in (ROOT / "docs").glob("*.md") if page.name not in named)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the pages lead to, from page to page."""
    pages = sorted((ROOT / "docs").glob("*.md"))
    found = {ROOT / "README.md", ROOT / "CHANGELOG.md", *pages}
    waiting = list(found)
    while waiting:
        path = waiting.pop()
        if path not in pages:  # which mkdocs has found itself
            files.append(File.generated(config, in_site(path), abs_src_path=str(path)))
        new = set(links(path) if path.suffix == ".md" else ()) - found
        found |= new
        waiting += sorted(new)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page into those between pages of the site."""
    if page.file.abs_src_path is None:  # written by another hook
        return markdown
    source = Path(page.file.abs_src_path)

    def between(match: re.Match[str]) -> str:
        target = in_site((source.parent / match[1]).resolve())
        if target.endswith(".ipynb"):  # as notebooks.py shows it
            target = target.removesuffix("ipynb") + "md"
        return posixpath.relpath(target, posixpath.dirname(page.file.src_uri)) + (match[2] or "")

    return LINK.sub(between, markdown)


def links(path: Path) -> list[Path]:
    """Return the files that a page of the repository leads to.

    Raises:
        PluginError: One of them is not there.
    """
    text = _CODE.sub("", path.read_text(encoding="utf-8"))
    found = [(path.parent / match[1]).resolve() for match in LINK.finditer(text)]
    for target in found:
        if not target.is_file():
            raise PluginError(f"{path.relative_to(ROOT)}: a link to {os.path.relpath(target, ROOT)}: no file")
    return found


def in_site(path: Path) -> str:
    """Return what a file of the repository is called in the site."""
    name = path.relative_to(ROOT).as_posix()
    return "index.md" if name == "README.md" else name.removeprefix("docs/")


def _names(nav: list) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [name for entry in (nav.values() if isinstance(nav, dict) else nav) for name in _names(entry)]
