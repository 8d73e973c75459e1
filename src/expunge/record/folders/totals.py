"""What a run promises of extractor and model together, and why it promises nothing."""

from __future__ import annotations

from expunge.core import text
from expunge.record.folders import guarantees
from expunge.record.folders.runs import Run

PUBLISHED = "private"  # the extractor's mode that is trained as published, which is not private
TOGETHER = "guarantee of extractor and model together"
_NOT_PRIVATE = "none"
_REASON = "the extractor was trained as published, which is not private"


def mode(run: Run) -> str:
    """Return how the extractor was trained; empty where there is none, or none that is trained."""
    value = run.summary.get("extractor_mode")
    if isinstance(value, str):
        return text.plain(value)
    return PUBLISHED if run.setting("extractor.mode") == PUBLISHED else ""


def not_covered(run: Run) -> str:
    """Return why there is no guarantee of extractor and model together; empty where there is, or none is due.

    It is due where the unlearner has a certificate. An extractor that was trained on the rows and is not
    private is said of any run: training the model again does not take a row out of the extractor.
    """
    how, reason = mode(run), run.summary.get("not_covered")
    if how == PUBLISHED and not isinstance(reason, str):
        return _REASON
    there = run.number("epsilon_total") is not None  # with something besides that it does not cover
    due = not there and (run.certified or how in (PUBLISHED, _NOT_PRIVATE))
    return text.plain(reason) if due and isinstance(reason, str) else ""


def total(run: Run) -> tuple[float | None, float | None]:
    """Return ε and δ of extractor and model together; None where they, or one of them, guarantee nothing."""
    if run.empirical or not_covered(run):
        return None, None
    return run.number("epsilon_total"), run.number("delta_total")


def worded(run: Run) -> tuple[str, str] | None:
    """Return the total in two parts, as a headline has them; None where it says no more than the model's own.

    Without a guarantee the parts are ``none`` and the reason.
    """
    if reason := guarantees.besides(run, not_covered(run)):
        return "none", reason
    epsilon, delta = total(run)
    if epsilon is None or epsilon == run.number("epsilon"):
        return None
    return f"ε {text.number(epsilon)}", f"δ {text.number(delta)}"
