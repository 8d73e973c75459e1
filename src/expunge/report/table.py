"""The side-by-side table: one row a run, as aligned text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from expunge.report import text
from expunge.report.rows import OWN_FIT, Row, without_guarantee


@dataclass(frozen=True)
class Column:
    """A column: heading, what its two or more values are, which way is better, what it means, its cells."""

    head: str
    sub: str
    arrow: str
    definition: str
    cell: Callable[[Row], str]

    @property
    def title(self) -> str:
        """The heading with its arrow."""
        return f"{self.head} {self.arrow}".strip()


def columns(table: Sequence[Row] = ()) -> list[Column]:
    """Return the columns that say something of a row of ``table``; all but those of extractors without rows.

    What says how well a removal without a certificate did is shown where there is a run of that kind, the
    total of extractor and model where it is not the model's own everywhere. The definitions are what the
    legend and the page's tooltips say.
    """
    measured = _empirical() if not table or any(row.empirical for row in table) else []
    features = _features() if table else []
    together = _together() if any(row.total_differs for row in table) else []
    every = [*_outcome(), *features, *_service(), *measured, *_certificate(), *together, *_time()]
    return [c for c in every if not table or any(c.cell(row) != text.NONE for row in table)]


def _outcome() -> list[Column]:
    return [
        Column(
            "unlearner",
            "",
            "",
            "The method, with the settings that tell the rows apart.",
            lambda r: r.unlearner,
        ),
        Column(
            "test accuracy",
            "before → after",
            "↑",
            "Share of test rows classified rightly, before the first request and after the last.",
            _test_accuracy,
        ),
    ]


def _features() -> list[Column]:
    return [
        Column(
            "own head",
            "end to end",
            "↑",
            "Share of test rows that the network behind the features classifies rightly with its own last "
            "layer; removals do not change it.",
            lambda r: text.accuracy(r.extractor_test_accuracy),
        ),
        Column(
            "linear probe",
            "",
            "↑",
            "Share of test rows classified rightly by an ordinary linear classifier on the same features, "
            "trained on rows that nobody asked to remove: what the features are worth without unlearning.",
            lambda r: text.accuracy(r.linear_probe_accuracy),
        ),
    ]


def _service() -> list[Column]:
    return [
        Column(
            "supported",
            "of N requests",
            "↑",
            "Removal requests that a method with a budget served before its first retrain or refusal; "
            "'all' if neither ever came.",
            _supported,
        ),
        Column(
            "retrained", "", "↓", "Requests answered by training again.", lambda r: text.count(r.retrained)
        ),
        Column("refused", "", "↓", "Requests not carried out.", lambda r: text.count(r.refused)),
    ]


def _empirical() -> list[Column]:
    return [
        Column(
            "forget accuracy",
            "last",
            "",
            "Share of the rows asked to be removed that the last model classifies rightly; the aim is what a "
            "model that never saw them reaches, not 0.",
            lambda r: text.accuracy(r.forget_accuracy),
        ),
        Column(
            "retain accuracy",
            "last",
            "↑",
            "Share of the training rows never asked to be removed that the last model classifies rightly.",
            lambda r: text.accuracy(r.retain_accuracy),
        ),
        Column(
            "sample gradient",
            "before → after, mean",
            "",
            "2-norm of the gradient of the removed rows' mean loss, at the model before and after their "
            "request; mean over the requests.",
            _sample_gradient,
        ),
        Column(
            "from retrained",
            "weights, predictions",
            "↓",
            "How far the last model is from one trained from scratch without all requested rows: distance of "
            "the weights over the norm of its weights; share of test rows classified differently.",
            _from_retrained,
        ),
    ]


def _certificate() -> list[Column]:
    return [
        Column(
            "residual",
            "measured, last",
            "↓",
            "Norm of the perturbed loss's gradient at the last released model; 0 is an exact retrain.",
            lambda r: text.number(r.residual_measured),
        ),
        Column(
            "budget used",
            "bound, last",
            "↓",
            "The residual's certified bound at the last release, as a share of the budget std·ε/c.",
            lambda r: text.share(r.used),
        ),
        Column(
            "ε spent",
            "of ε",
            "↓",
            "c·bound/std at the last release: the ε of (ε, δ) that the bound has used.",
            _epsilon,
        ),
    ]


def _together() -> list[Column]:
    return [
        Column(
            "ε total",
            "ε, δ",
            "↓",
            "Guarantee of extractor and model together, for each removed row taken alone: the two ε summed, "
            "the two δ summed; 'none': there is no guarantee, and a warning says why.",
            _total,
        )
    ]


def _time() -> list[Column]:
    return [
        Column(
            "time / removal",
            "median, p95",
            "↓",
            "Wall time of one removal alone, without evaluation: the median, and what 95% stay below.",
            _removal,
        ),
        Column(
            "retrain time",
            "",
            "",
            "Median of a retrain run on the same data; '(fit)': none is here, so this run's own first fit.",
            lambda r: text.seconds(r.seconds_retrain) + (" (fit)" if r.retrain_from == OWN_FIT else ""),
        ),
        Column(
            "speed-up",
            "",
            "↑",
            "Retrain time over median time of a removal.",
            lambda r: text.times(r.speed_up),
        ),
    ]


def as_text(table: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """Return an aligned table of plain text, with all warnings and the legend below.

    Args:
        table: The rows.
        notes: Warnings beyond those that the rows themselves give.
    """
    head = columns(table)
    lines = [[c.title for c in head], [c.sub for c in head], *([c.cell(row) for c in head] for row in table)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    laid = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    laid.insert(2, "  ".join("-" * w for w in widths))
    below = [*notes, *without_guarantee(table)]
    return "\n".join(line.rstrip() for line in [*laid, *below]) + "\n\n" + legend(head) + "\n"


def legend(head: Sequence[Column]) -> str:
    """Return the columns' definitions, one a line."""
    width = max(len(c.title) for c in head)
    lines = [f"{c.title.ljust(width)}  {c.definition}" for c in head]
    return "\n".join(
        [*lines, f"(↑ more is better, ↓ less is better, {text.NONE} not measured or does not apply)"]
    )


def as_markdown(table: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """Return the table in Markdown, with all warnings and the legend below; arguments as in ``as_text``."""
    head = columns(table)
    titles = [f"{c.title} ({c.sub})" if c.sub else c.title for c in head]
    lines = [titles, ["---", *("---:" for _ in head[1:])], *([c.cell(row) for c in head] for row in table)]
    body = "\n".join("| " + " | ".join(_markdown(cell) for cell in line) + " |" for line in lines)
    terms = "\n".join(f"- **{c.title}**: {c.definition}" for c in head)
    return "\n\n".join([body, *notes, *map(_markdown, without_guarantee(table)), terms]) + "\n"


def as_csv(table: Sequence[Row]) -> str:
    """Return the table's values unrounded; what is not known is an empty cell."""
    out = io.StringIO()
    names = [f.name for f in fields(Row)]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([["" if (v := getattr(row, n)) is None else v for n in names] for row in table])
    return out.getvalue()


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


def _sample_gradient(row: Row) -> str:
    before, after = text.number(row.sample_gradient_before), text.number(row.sample_gradient_after)
    return text.NONE if before == after == text.NONE else f"{before} → {after}"


def _from_retrained(row: Row) -> str:
    weights, share = text.number(row.retrain_weight_distance, 2), text.share(row.retrain_disagreement)
    return text.NONE if weights == share == text.NONE else f"{weights}, {share}"


def _removal(row: Row) -> str:
    if row.seconds_removal_median is None:
        return text.NONE
    return f"{text.seconds(row.seconds_removal_median)}, {text.seconds(row.seconds_removal_p95)}"


def _markdown(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
