"""What the numbers do not promise: whom the limits of a certificate are about, and those of having none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from expunge.certificate.composition import group
from expunge.core import text
from expunge.core.columns import RETRAINED
from expunge.core.groups import grouped
from expunge.record.columns import merged
from expunge.record.folders import guarantees
from expunge.report.read import names
from expunge.report.read.measured import lasting
from expunge.report.tables.table_rows import Row

_MANY = 12  # more methods than this are counted, not named
_ROWS = 10  # of one person: an example
_RELEASED = guarantees.SCHEMES.index(guarantees.FIGURES)  # up to it there is noise at release
_NONE = "the unlearner gives no certificate"


def certified(lines: Sequence[Row]) -> dict[str, Any] | None:
    """Return whom the limits of a certificate are about; None where nobody has one.

    Args:
        lines: The rows of the runs, called as their methods.
    """
    every = [row for row in lines if row.of.certified]
    private = [row for row in every if None not in (row.extractor_epsilon, row.epsilon_total)]
    own = min([(row.extractor_epsilon or 0.0, row.extractor_delta or 0.0) for row in private] or [(0.0, 0.0)])
    about = {
        "every": every,
        "released": [row for row in every if guarantees.rank(row.of) <= _RELEASED],
        "figures": [row for row in every if guarantees.scheme(row.of) == guarantees.FIGURES],
        "published": [row for row in every if guarantees.scheme(row.of) == guarantees.PUBLISHED],
        "private": private,
        **{"one": own, "many": group(*own, _ROWS), "many_rows": _ROWS},
    }
    return about if every else None


def uncertified(lines: Sequence[Row]) -> dict[str, Any] | None:
    """Return the same of removal without a certificate; None where there is no such run.

    Retraining needs no certificate, and doing nothing claims none.
    """
    every = [row for row in lines if row.of.empirical]
    refused = Counter[str]()
    for row in every:
        refused[row.unlearner] += row.refused or 0
    measured = {
        (key, column.caveat.removesuffix(".")): [row for row in every if lasting(row.of, key) is not None]
        for key, column in merged(row.of.columns for row in every).items()
    }
    besides = grouped((_own_words(row), row) for row in every)
    about = {
        "every": every,
        "besides": {words: some for words, some in besides.items() if words},
        "guesses": [row for row in every if _guesses(row)],
        "compared": [(caveat, able) for (_, caveat), able in measured.items() if caveat and able],
        "retrained": any(key.startswith(RETRAINED) and able for (key, _), able in measured.items()),
        "refused": {name: count for name, count in refused.items() if count},
    }
    return about if every else None


def called(lines: Sequence[Row]) -> str:
    """Return the names of methods, each once, or of many their number."""
    found = list(dict.fromkeys(str(row.unlearner) for row in lines))
    return ", ".join(found) if len(found) <= _MANY else f"{len(found)} of the methods"


def _own_words(row: Row) -> str:
    """Return what a run without a certificate says that it does not cover, besides that it has none."""
    return text.capital(guarantees.beyond(row.of).removeprefix(_NONE).removeprefix("; "))


def _guesses(row: Row) -> bool:
    """Return whether the run's steps use ``fd``; plain ascent uses no curvature, whatever is set."""
    return names.told(row.of, "curvature") == "fd" and names.told(row.of, "mode") != "ascent"
