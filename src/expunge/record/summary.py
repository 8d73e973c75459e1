"""The summary of a run, computed from its records."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from typing import Any

from expunge.certificate.composition import Claim, Total
from expunge.core.columns import Columns
from expunge.core.memory_rise import peak_mib
from expunge.core.versions import version_of
from expunge.record.account import require_counts
from expunge.record.columns import STORED, as_json
from expunge.record.continued import KEY as CONTINUED
from expunge.record.tally import Tally
from expunge.record.times import counted, median_and_p95
from expunge.unlearners.base import OUTCOMES

_RESIDUAL = ("residual_bound", "residual_measured", "budget")
NUMBERS = (
    *("seed", "repeat", "evaluation", "n_train", "n_test", "requests", *OUTCOMES, "removals_supported"),
    *("test_accuracy_before",),
    *("test_accuracy_after", *_RESIDUAL, "epsilon", "delta", "epsilon_total", "delta_total", "releases"),
    *("std", "sensitivity", "grid", "ratio", "released", "epsilon_spent", "seconds_fit"),
    *("seconds_removal_median", "seconds_removal_p95", "peak_memory_mb"),
    *("tuning_trials", "tuning_seconds", "tuning_trial", "tuning_score"),
)
"""What of a summary may be a number, whatever metrics and methods add."""
_PACKAGES = ("expunge", "numpy", "scipy", "numba", "torch", "scikit-learn", "hydra-core")


def summarise(
    records: Iterable[Mapping[str, Any]], facts: dict[str, Any], columns: Columns | None = None
) -> dict[str, Any]:
    """Return what ``summary.json`` holds.

    Args:
        records: The ledger, one record per request; they are gone through once, and not kept.
        facts: ``dataset extractor model unlearner seed n_train n_test epsilon delta seconds_fit
            test_accuracy_before test_accuracy_after``, and where they are known ``repeat`` and ``evaluation``
            (of the first of several nothing is said), ``role``, ``claim`` (what the
            method says of its guarantee), ``noise`` (at release: ``releases`` that it covers, ``std``,
            ``sensitivity`` that it hides, which ``noise``, the ``grid`` of its lattice (0: none), the largest
            ``ratio`` of sensitivity and std that one release may have, how many were ``released``, their
            ``epsilon_spent``), ``stored_bytes_row``, ``not_measured`` (metric -> why), ``total`` (the
            guarantee of extractor and unlearner together), ``extracted`` (what the extractor has to say),
            ``tuned`` (how the settings were chosen, where they were) and ``inputs`` (digests).
        columns: What is declared of the records' numbers; of those beyond the ledger's ``KEYS`` the summary
            has what ``Column.over_run`` says.

    Raises:
        BrokenInvariant: A record has an outcome that is none.
    """
    known = columns or {}
    tally = Tally({key: column.over_run for key, column in known.items()}, str(facts.get("role", "")))
    for record in records:
        tally.add(record)
    require_counts({"requests": tally.requests}, tally.counts)
    supported, (middle, p95) = tally.supported, median_and_p95(counted(tally.seconds))
    total: Total | None = facts.get("total")
    together = ("epsilon_total", "delta_total", "not_covered")
    claim: Claim = facts.get("claim") or Claim()
    summary = {
        **{key: facts[key] for key in ("dataset", "extractor", "model", "unlearner")},
        **{key: facts[key] for key in ("seed", "n_train", "n_test")},
        "requests": tally.requests,
        **tally.counts,
        "removals_supported": supported,
        "budget_exhausted": supported < tally.requests,
        **{key: facts.get(key) for key in ("test_accuracy_before", "test_accuracy_after")},
        **{key: tally.last.get(key) for key in _RESIDUAL},
        **{key: facts.get(key) for key in ("epsilon", "delta")},
        **(dict(zip(together, astuple(total), strict=True)) if total else {}),
        **facts.get("noise", {}),
        "seconds_fit": facts["seconds_fit"],
        "seconds_removal_median": middle,
        "seconds_removal_p95": p95,
        "peak_memory_mb": peak_mib(),
        **facts.get("extracted", {}),
        **facts.get("tuned", {}),
    }
    summary |= {key: value for key, value in tally.own().items() if key not in summary}
    said = {key: facts[key] for key in ("role", "not_measured", "inputs", "rows_on") if facts.get(key)}
    said |= {key: facts[key] for key in ("repeat", "evaluation") if facts.get(key)}
    summary |= {STORED: facts[STORED]} if facts.get(STORED) is not None and STORED not in summary else {}
    said |= {"guarantee": claim.guarantee} if claim.guarantee else {}
    said |= {CONTINUED: tally.continued} if tally.continued else {}
    described = {"columns": as_json(known)} if known else {}
    return {**summary, **said, **described, "versions": versions()}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    known = {package: version_of(package) for package in _PACKAGES}
    return found | {package: number for package, number in known.items() if number is not None}
