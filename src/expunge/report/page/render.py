"""The templates, and what they may call: HTML is made in them alone, and text of a file stays text."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge import __version__
from expunge.core import text
from expunge.record import chance
from expunge.record.folders import guarantees, totals
from expunge.report.page import figures, promises
from expunge.report.tables import many, studies, table, variance
from expunge.report.tables.columns import formatted

if TYPE_CHECKING:
    from jinja2 import Environment

_WORDS = ("capital", "count", "number", "seconds", "setting", "times", "unbroken")


def rendered(template: str, **values: Any) -> str:
    """Return a template of ``templates/`` with these values."""
    return _environment().get_template(f"{template}.html").render(values)


def asset(name: str) -> str:
    """Return a file of the page that is in it as it stands: its style, or a script."""
    return files("expunge.report.page").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        """Return text without what would steer a reader's screen; HTML of ours as it is."""
        return text.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    found = Environment(
        loader=PackageLoader("expunge.report.page"),
        extensions=["jinja2.ext.do"],
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    found.filters |= {name: getattr(text, name) for name in _WORDS}
    found.filters |= {
        "inline": figures.inline,
        "live": figures.live,
        "called": promises.called,
        "drawn": chance.told,
    }
    found.filters |= {"digest": _digest, "base64": _base64, "value": _value, "formatted": _formatted}
    found.filters["marked"] = guarantees.marked
    found.globals |= {
        "table": table,
        "studies": studies,
        "variance": variance,
        "many": many,
        "guarantees": guarantees,
        "totals": totals,
    }
    found.globals |= {
        "is_narrow": figures.is_narrow,
        "version": __version__,
        "css": Markup(asset("page.css")),
    }
    return found


def _formatted(value: float | None, how: str) -> str:
    return formatted(how, value)


def _digest(script: str) -> str:
    return b64encode(sha256(script.encode()).digest()).decode()


def _base64(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()


def _value(found: Any) -> str:
    """Return a value that was checked, of any kind, as it is shown; empty for none."""
    if found is None or isinstance(found, str):
        return found or ""
    return f"{found:.4g}" if isinstance(found, float) else json.dumps(found)
