"""The summary of a run, computed from its records."""

from __future__ import annotations

import sys
from dataclasses import astuple
from typing import Any

import numpy as np

from expunge.certificate.composition import Claim, Total
from expunge.core.columns import Columns
from expunge.core.versions import version_of
from expunge.record.account import require_counts
from expunge.record.columns import as_json
from expunge.record.ledger import KEYS
from expunge.unlearners.base import OUTCOMES

_RESIDUAL = ("residual_bound", "residual_measured", "budget")
NUMBERS = (
    *("seed", "n_train", "n_test", "requests", *OUTCOMES, "removals_supported", "test_accuracy_before"),
    *("test_accuracy_after", *_RESIDUAL, "epsilon", "delta", "epsilon_total", "delta_total", "releases"),
    *("std", "sensitivity", "grid", "ratio", "released", "epsilon_spent", "seconds_fit"),
    *("seconds_removal_median", "seconds_removal_p95", "peak_memory_mb"),
)
"""What of a summary may be a number, whatever metrics and methods add."""
_PACKAGES = ("expunge", "numpy", "scipy", "numba", "torch", "scikit-learn", "hydra-core")


def summarise(
    records: list[dict[str, Any]], facts: dict[str, Any], columns: Columns | None = None
) -> dict[str, Any]:
    """Return what ``summary.json`` holds.

    Args:
        records: The ledger, one record per request.
        facts: ``dataset extractor model unlearner seed n_train n_test epsilon delta seconds_fit
            test_accuracy_before test_accuracy_after``, and where they are known ``role``, ``claim`` (what the
            method says of its guarantee), ``noise`` (at release: ``releases`` that it covers, ``std``,
            ``sensitivity`` that it hides, which ``noise``, the ``grid`` of its lattice (0: none), the largest
            ``ratio`` of sensitivity and std that one release may have, how many were ``released``, their
            ``epsilon_spent``), ``not_measured`` (metric -> why), ``total`` (the guarantee of extractor and
            unlearner together), ``extracted`` (what the extractor has to say) and ``inputs`` (digests).
        columns: What is declared of the records' numbers; of those beyond the ledger's ``KEYS`` the summary
            has what ``Column.over_run`` says.

    Raises:
        BrokenInvariant: A record has an outcome that is none.
    """
    counts = {outcome: sum(r["outcome"] == outcome for r in records) for outcome in OUTCOMES}
    require_counts({"requests": len(records)}, counts)
    supported = next((k for k, r in enumerate(records) if r["outcome"] != "removed"), len(records))
    seconds = [r["seconds"] for r in records]
    last = records[-1] if records else dict.fromkeys(_RESIDUAL)
    total: Total | None = facts.get("total")
    together = ("epsilon_total", "delta_total", "not_covered")
    claim: Claim = facts.get("claim") or Claim()
    summary = {
        **{key: facts[key] for key in ("dataset", "extractor", "model", "unlearner")},
        **{key: facts[key] for key in ("seed", "n_train", "n_test")},
        "requests": len(records),
        **counts,
        "removals_supported": supported,
        "budget_exhausted": supported < len(records),
        **{key: facts.get(key) for key in ("test_accuracy_before", "test_accuracy_after")},
        **{key: last[key] for key in _RESIDUAL},
        **{key: facts.get(key) for key in ("epsilon", "delta")},
        **(dict(zip(together, astuple(total), strict=True)) if total else {}),
        **facts.get("noise", {}),
        "seconds_fit": facts["seconds_fit"],
        "seconds_removal_median": float(np.median(seconds)) if seconds else None,
        "seconds_removal_p95": float(np.percentile(seconds, 95)) if seconds else None,
        "peak_memory_mb": peak_memory_mb(),
        **facts.get("extracted", {}),
    }
    known = columns or {}
    added = dict.fromkeys(key for record in records for key in record if key not in KEYS)
    for key in (key for key in added if key not in summary):
        summary[key] = _over_run(records, key, known[key].over_run if key in known else "served")
    said = {key: facts[key] for key in ("role", "not_measured", "inputs") if facts.get(key)}
    said |= {"guarantee": claim.guarantee} if claim.guarantee else {}
    described = {"columns": as_json(known)} if known else {}
    return {**summary, **said, **described, "versions": versions()}


def _over_run(records: list[dict[str, Any]], key: str, how: str) -> float | None:
    """What the summary has of the records' values; see ``Column.over_run``."""
    if how == "last":  # evaluated after the last request, whatever it is evaluated at besides
        return records[-1].get(key) if records else None
    of = [r for r in records if how == "mean" or r["outcome"] != "refused"]
    values = [record[key] for record in of if record.get(key) is not None]
    if not values:
        return None
    return float(np.mean(values)) if how == "mean" else values[-1]


def peak_memory_mb() -> float | None:
    """Largest resident set of this process so far, in MiB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    known = {package: version_of(package) for package in _PACKAGES}
    return found | {package: number for package, number in known.items() if number is not None}
