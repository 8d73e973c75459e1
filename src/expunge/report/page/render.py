"""Templates of the page: every value is text that is escaped, whatever the files of a run hold."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from expunge.report.read import text

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def rendered(template: str, **values: Any) -> Markup:
    """Return a template of ``templates/`` with these values, as HTML that other templates take as it is."""
    from markupsafe import Markup

    return Markup(_environment().get_template(f"{template}.html").render(values))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("expunge.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    found.filters |= {"capital": text.capital, "unbroken": text.unbroken, "count": text.count}
    found.filters["headed"] = lambda title: re.sub(" (?=[↑↓]$)", "\u00a0", title)
    return found


def _shown(value: Any) -> Any:
    """Return text without what would steer a reader's screen; HTML of ours as it is."""
    from markupsafe import Markup

    return text.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
