"""A request that is likely to take longer than training again: said before it begins, once a run."""

from __future__ import annotations

from typing import Any

from expunge.core import text
from expunge.record.requests import Request

_WORTH = 10.0  # seconds; of what is shorter nobody needs to be told


def told(unlearner: Any, request: Request, fit: float | None, last: float | None) -> str | None:
    """Return one line with both times, and what would be cheaper; None where there is no need for it.

    Training again is taken to last as long as the fit did. A request is taken to last as long as the last
    removal of the run; before there was one, as long as its share of the work of training, where the method
    counts that (``Method.share_of_retraining``), says.

    Args:
        unlearner: The method.
        request: What is asked next.
        fit: Seconds of the fit; None where there was none.
        last: Seconds of the last removal; None where there was none.
    """
    if not fit or getattr(unlearner, "role", "") == "reference":
        return None
    expected, how = last, "as long as the one before"
    if expected is None:
        share = getattr(unlearner, "share_of_retraining", lambda rows: None)(request.rows)
        if share is None:
            return None
        expected, how = share * fit, "by its multiply-adds"
    if expected < _WORTH or expected <= fit:
        return None
    many = f"{len(request.rows):,} rows" if len(request.rows) > 1 else "1 row"
    took = f"may take {text.seconds(expected)} ({how}), training again {text.seconds(fit)} (as the fit)"
    ways = getattr(unlearner, "cheaper", lambda rows: "")(request.rows)
    return f"request {request.number} ({many}) {took}" + (f"; cheaper: {ways}" if ways else "")
