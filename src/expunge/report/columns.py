"""The columns of the side-by-side table, in their order."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.report import text
from expunge.report.column import Column
from expunge.report.measured_columns import empirical, forgetting, persons
from expunge.report.row import Row
from expunge.report.rows import OWN_FIT


def columns(table: Sequence[Row] = ()) -> list[Column]:
    """Return the columns that say something of a row of ``table``; all but those of extractors without rows.

    What says how well a removal without a certificate did is shown where there is a run of that kind or one
    whose forgetting was measured, the total of extractor and model where it is not the model's own
    everywhere. The definitions are what the legend and the page's tooltips say.
    """
    measured = empirical() if not table or any(row.empirical or row.attacked for row in table) else []
    own = persons() if not table or any(row.of_persons for row in table) else []
    features = _features() if table else []
    together = _together() if any(row.total_differs for row in table) else []
    every = [
        *(*_outcome(), *features, *_service(), *measured, *forgetting(), *own),
        *(*_certificate(), *together, *_time()),
    ]
    return [c for c in every if not table or any(c.cell(row) != text.NONE for row in table)]


def _outcome() -> list[Column]:
    return [
        Column(
            "unlearner",
            "unlearner",
            "",
            "",
            "The method, with the settings that tell the rows apart.",
            several=lambda r: r.unlearner,
        ),
        Column(
            "test_accuracy_after",
            "test accuracy",
            "before → after",
            "↑",
            "Share of test rows classified rightly, before the first request and after the last.",
            text.accuracy,
            _test_accuracy,
        ),
    ]


def _features() -> list[Column]:
    return [
        Column(
            "extractor_test_accuracy",
            "own head",
            "end to end",
            "↑",
            "Share of test rows that the network behind the features classifies rightly with its own last "
            "layer; removals do not change it.",
            text.accuracy,
        ),
        Column(
            "linear_probe_accuracy",
            "linear probe",
            "",
            "↑",
            "Share of test rows classified rightly by an ordinary linear classifier on the same features, "
            "trained on rows that nobody asked to remove: what the features are worth without unlearning.",
            text.accuracy,
        ),
    ]


def _service() -> list[Column]:
    return [
        Column(
            "removals_supported",
            "supported",
            "of N requests",
            "↑",
            "Removal requests that a method with a budget served before its first retrain or refusal; "
            "'all' if neither ever came.",
            several=_supported,
        ),
        Column("retrained", "retrained", "", "↓", "Requests answered by training again.", text.count),
        Column("refused", "refused", "", "↓", "Requests not carried out.", text.count),
    ]


def _certificate() -> list[Column]:
    return [
        Column(
            "residual_measured",
            "residual",
            "measured, last",
            "↓",
            "Norm of the perturbed loss's gradient at the last released model; 0 is an exact retrain.",
        ),
        Column(
            "used",
            "budget used",
            "bound, last",
            "↓",
            "The residual's certified bound at the last release, as a share of the budget std·ε/c.",
            text.share,
        ),
        Column(
            "epsilon_spent",
            "ε spent",
            "of ε",
            "↓",
            "c·bound/std at the last release: the ε of (ε, δ) that the bound has used.",
            several=_epsilon,
        ),
    ]


def _together() -> list[Column]:
    return [
        Column(
            "epsilon_total",
            "ε total",
            "ε, δ",
            "↓",
            "Guarantee of extractor and model together, for each removed row taken alone: the two ε summed, "
            "the two δ summed; 'none': there is no guarantee, and a warning says why.",
            several=_total,
        )
    ]


def _time() -> list[Column]:
    return [
        Column(
            "seconds_removal_median",
            "time / removal",
            "median, p95",
            "↓",
            "Wall time of one removal alone, without evaluation: the median, and what 95% stay below.",
            text.seconds,
            _removal,
        ),
        Column(
            "seconds_retrain",
            "retrain time",
            "",
            "",
            "Median of a retrain run on the same data; '(fit)': none is here, so this run's own first fit.",
            text.seconds,
            lambda r: text.seconds(r.seconds_retrain) + (" (fit)" if r.retrain_from == OWN_FIT else ""),
        ),
        Column("speed_up", "speed-up", "", "↑", "Retrain time over median time of a removal.", text.times),
    ]


def _supported(row: Row) -> str:
    if row.budget_exhausted is None:
        return text.NONE
    served, asked = text.count(row.removals_supported), text.count(row.requests)
    return f"{served} of {asked}" if row.budget_exhausted else f"all {asked}"


def _test_accuracy(row: Row) -> str:
    before, after = text.accuracy(row.test_accuracy_before), text.accuracy(row.test_accuracy_after)
    return text.NONE if before == after == text.NONE else f"{before} → {after}"


def _epsilon(row: Row) -> str:
    spent = text.number(row.epsilon_spent)
    return (
        spent
        if row.epsilon is None or row.epsilon_spent is None
        else f"{spent} of {text.setting(row.epsilon)}"
    )


def _total(row: Row) -> str:
    if row.not_covered:
        return "none"
    if row.epsilon_total is None:
        return text.NONE
    return f"{text.number(row.epsilon_total)}, {text.number(row.delta_total)}"


def _removal(row: Row) -> str:
    if row.seconds_removal_median is None:
        return text.NONE
    return f"{text.seconds(row.seconds_removal_median)}, {text.seconds(row.seconds_removal_p95)}"
