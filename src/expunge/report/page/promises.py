"""What the numbers do not promise: the limits of a certificate, and of runs that carry none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from expunge.certificate.composition import group
from expunge.core.columns import RETRAINED
from expunge.record.columns import merged
from expunge.report.page.render import rendered
from expunge.report.read import guarantees, text
from expunge.report.read.runs import Run
from expunge.report.tables.table_rows import Row, lasting

_MANY = 12  # more methods than this are counted, not named
_ROWS = 10  # of one person: an example
_RELEASED = guarantees.SCHEMES.index(guarantees.FIGURES)  # up to it there is noise at release
_NONE = "the unlearner gives no certificate"


def promises(lines: Sequence[Row]) -> list[Markup]:
    """Return what is not promised: with a certificate, and without one, as far as there are such runs.

    Retraining needs no certificate, and doing nothing claims none.

    Args:
        lines: The rows of the runs, called as their methods.
    """
    others = [line for line in lines if line.of.empirical]
    certified = [line for line in lines if line.of.certified]
    parts = [rendered("certificate", **_certificate(certified))] if certified else []
    return [*parts, rendered("no_certificate", **_without_certificate(others))] if others else parts


def _certificate(lines: Sequence[Row]) -> dict[str, Any]:
    """Return who the certificates are of, by what they are; None where there is none of a kind."""
    private = [row for row in lines if None not in (row.extractor_epsilon, row.epsilon_total)]
    own = min([(row.extractor_epsilon or 0.0, row.extractor_delta or 0.0) for row in private] or [(0.0, 0.0)])
    one, many = (f"({text.number(e)}, {text.number(d)})" for e, d in (own, group(*own, _ROWS)))
    return {
        "figures": _which((r for r in lines if guarantees.scheme(r.of) == guarantees.FIGURES), lines),
        "released": _which((r for r in lines if guarantees.rank(r.of) <= _RELEASED), lines),
        "published": _which((r for r in lines if guarantees.scheme(r.of) == guarantees.PUBLISHED), lines),
        "private": _which(private, lines),
        **{"one": one, "many": many, "many_rows": _ROWS},
    }


def _without_certificate(lines: Sequence[Row]) -> dict[str, Any]:
    refused = Counter[str]()
    for line in lines:
        refused[line.unlearner] += line.refused or 0
    besides = guarantees.grouped((_own_words(row), row.unlearner) for row in lines if _own_words(row))
    compared, again = [], False
    for key, column in merged(line.of.columns for line in lines).items():
        able = [line for line in lines if lasting(line.of, key) is not None]
        again |= key.startswith(RETRAINED) and bool(able)
        if column.caveat and able:
            compared.append((column.caveat.removesuffix("."), _which(able, lines)))
    return {
        "about": ", ".join(_names(lines)),
        "not_covered": [
            (said, ", ".join(dict.fromkeys(names)) if len(names) < len(lines) else "")
            for said, names in besides.items()
        ],
        "guesses": _which((line for line in lines if _guesses(line.of)), lines),
        "compared": compared,
        "retrained": again,
        "refused": ", ".join(f"{name}: {text.count(count)}" for name, count in refused.items() if count),
    }


def _own_words(row: Row) -> str:
    """Return what a run without a certificate says that it does not cover, besides that it has none."""
    return text.capital(guarantees.beyond(row.of).removeprefix(_NONE).removeprefix("; "))


def _guesses(run: Run) -> bool:
    """Return whether the run's steps use ``fd``; plain ascent uses no curvature, whatever is set."""
    return text.told(run, "curvature") == "fd" and text.told(run, "mode") != "ascent"


def _which(some: Iterable[Row], every: Sequence[Row]) -> str | None:
    """Return whom a point is about: None for nobody, nothing where it is about all."""
    able = list(some)
    if len(able) in (0, len(every)):
        return "" if able else None
    names = _names(able)
    return ", ".join(names) if len(names) <= _MANY else f"{len(names)} of the methods"


def _names(lines: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(line.unlearner for line in lines))
