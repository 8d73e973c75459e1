"""What a run guarantees, in its own words: noise at release, figures only, or as published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from expunge.core import text
from expunge.record.folders.runs import Run

RELEASE, FIGURES, PUBLISHED = "release", "figures only", "as published"
SCHEMES = (RELEASE, FIGURES, PUBLISHED)
"""What the words begin with, the one that holds for most first."""
MARK = "†"
"""Of an ε that protects nobody, or not as it stands: what is said below belongs to it."""
_MANY = 8  # more runs than this are counted, not named
_OLD = f"{PUBLISHED}: by a version without noise at release; what does not hold of it: docs/certificate.md"


def words(run: Run) -> str:
    """Return what the run says of its guarantee; empty for a method that has none.

    Certified runs that say nothing are older than noise at release, and so as published.
    """
    said = run.summary.get("guarantee")
    if isinstance(said, str):
        return text.plain(said)
    return _OLD if run.certified and noise(run, "releases") is None else ""


def scheme(run: Run) -> str:
    """Return which of ``SCHEMES`` the run's guarantee is; empty where it is none of them."""
    return next((name for name in SCHEMES if words(run).startswith(name)), "")


def rank(run: Run) -> int:
    """Return the place of the run's scheme in ``SCHEMES``; the last for a guarantee of its own."""
    return SCHEMES.index(scheme(run)) if scheme(run) else len(SCHEMES)


def noise(run: Run, key: str) -> float | None:
    """Return what is public of a run's noise at release: ``releases``, ``released``, ``std``, ...

    None where there is no such noise.
    """
    return run.number(key) if run.number("releases") is not None else None


def released(run: Run) -> float | None:
    """Return how many models have left, with noise at release; None where there is none.

    The first is that of the training; each request that was served is one more.
    """
    if noise(run, "releases") is None:
        return None
    said = run.number("released")
    return 1 + sum(record["outcome"] != "refused" for record in run.records) if said is None else said


def besides(run: Run, reason: str) -> str:
    """Return what is left of a reason without the words of the run's own guarantee; empty for nothing."""
    own = words(run)
    return "; ".join(filter(None, (reason.replace(own, "") if own else reason).split("; ")))


def beyond(run: Run) -> str:
    """Return what the run does not cover besides what its guarantee says itself; empty for nothing."""
    said = run.summary.get("not_covered")
    return besides(run, text.plain(said)) if isinstance(said, str) else ""


def marked(run: Run) -> bool:
    """Whether the run's ε is not what it seems, by what its own summary says."""
    said = isinstance(run.summary.get("guarantee"), str)
    partly = bool(beyond(run)) and run.number("epsilon_total") is not None
    return run.certified and (partly or (said and scheme(run) != RELEASE))


def which_std(runs: Iterable[Run]) -> str:
    """Return in sentences what the std of these certified runs is that of; empty where there is none."""
    noisy = {noise(run, "releases") is not None for run in runs if run.certified}
    words = {
        True: "With noise at release, std is that of the noise in each weight of every release.",
        False: "As published, std is that of the perturbation b of the summed loss.",
    }
    return " ".join(words[kind] for kind in (True, False) if kind in noisy) if True in noisy else ""


def named(names: Sequence[str], of: int) -> str:
    """Return names of runs, or of many their number."""
    return ", ".join(names) if len(names) <= _MANY else f"{len(names)} of the {of} runs"
