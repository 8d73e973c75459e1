"""What the numbers of a run are called and mean: declared where they are made, kept in the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from expunge.core.text import plain

FORMATS = ("number", "accuracy", "share", "count", "seconds", "times")
KINDS = ("line", "smoothed", "stem", "pair", "removed", "rest", "bounded", "features")
OVER_RUN = ("last", "mean", "most", "served", "")

RETRAINED = "retrain_"
"""What the name of a number of the retrained model begins with."""

AIM = "the aim is the retrained model's value"


@dataclass(frozen=True)
class Plot:
    """Where and how a number is drawn along the requests, or after the last.

    Attributes:
        figure: Name of the figure; numbers that name the same figure are its panels.
        kind: One of ``KINDS``: ``line`` along the requests; ``smoothed``, with its running mean; ``stem`` and
            ``pair``, the last value alone, a pair with that of ``against``; ``removed`` and ``rest``, the two
            curves of a panel along the removed rows; ``bounded``, beside its bound ``against`` and the
            budget; ``features``, what the features of an extractor are worth, by extractor.
        title: Of the panel.
        unit: Of the values, the label of their axis.
        against: Key of the number that it is drawn with: that before, the retrained model's, the bound; of
            ``removed`` and ``rest``, the share that is left of the value before any removal.
        heading: Of the whole figure; one number of a figure says it, and the caption.
        caption: What the figure shows, in a sentence without its full stop.
        joins: Whether it is drawn only where another number has the figure already.
    """

    figure: str
    kind: str = "line"
    title: str = ""
    unit: str = ""
    against: str = ""
    heading: str = ""
    caption: str = ""
    joins: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:  # it would be drawn nowhere, without a word
            raise ValueError(f"Plot {self.figure!r}: kind {self.kind!r} is none of {KINDS}")


@dataclass(frozen=True)
class Column:
    """One number that a metric or a method adds to the records: its heading, what it means, how it is shown.

    Attributes:
        head: Its heading.
        arrow: ``↑`` more is better, ``↓`` less is better; empty where neither is, or the aim is a value.
        definition: What it means, in a sentence without its full stop.
        format: One of ``FORMATS``.
        beside: Key of a second number that stands in the same cell.
        over_run: What the summary has: the ``last`` value, the ``mean`` over the requests where there is one
            or the ``most`` of any, the last of a request that was ``served`` (a refused one's describes an
            update that was taken back), or nothing (empty).
        sub: The heading's second line, what the two numbers of a cell are.
        cell: How the two stand in a cell.
        shown: Whether it has a column of the table; it is in the files anyway.
        only: The role of a method that the table must hold for this column to be shown; empty: any.
        main: Whether runs are compared by this number: the pictures of sweeps, differences paired by seed.
        plot: How it is drawn; None: in no figure.
        headline: What it is called at the head of the page, where it then stands; of a number that is not
            ``main``, where no run is certified.
        headline_of: What stands after it there; ``{beside}`` is the second number.
        caveat: What it compares and does not show, in full sentences.
    """

    head: str
    arrow: str = ""
    definition: str = ""
    format: str = "number"
    beside: str = ""
    over_run: str = "last"
    sub: str = ""
    cell: str = "{value} / {beside}"
    shown: bool = True
    only: str = ""
    main: bool = False
    plot: Plot | None = field(default=None)
    headline: str = ""
    headline_of: str = ""
    caveat: str = ""

    def __post_init__(self) -> None:
        for name, allowed in (("format", FORMATS), ("over_run", OVER_RUN), ("arrow", ("↑", "↓", ""))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"Column {self.head!r}: {name} {getattr(self, name)!r} is none of {allowed}")

    def as_json(self) -> dict[str, Any]:
        """Return what ``summary.json`` holds of it: what differs from the defaults, and the heading."""
        said = {name: value for name, value in asdict(self).items() if value != _DEFAULTS.get(name)}
        if self.plot:
            plot = {name: value for name, value in asdict(self.plot).items() if value != _PLAIN.get(name)}
            said["plot"] = plot
        return said

    @classmethod
    def of(cls, key: str, said: Mapping[str, Any]) -> Column:
        """Return the column that ``summary.json`` describes; what it does not say is as by default.

        Its words steer no screen, whoever wrote the file.
        """
        known = {name: value for name, value in said.items() if name in cls.__dataclass_fields__}
        plot = known.pop("plot", None)
        return cls(**_plain({"head": key, **known}), plot=Plot(**_plain(plot)) if plot else None)


def _plain(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) if isinstance(value, str) else value for name, value in said.items()}


_PLAIN = {name: f.default for name, f in Plot.__dataclass_fields__.items()}
_DEFAULTS = {name: f.default for name, f in Column.__dataclass_fields__.items() if name != "head"}

Columns = Mapping[str, Column]
"""Key in ledger and summary -> what is declared of it."""


def with_references(columns: Columns) -> dict[str, Column]:
    """Give each column its reference: ``retrain_`` and its name, the retrained model's, in the same cell."""
    return beside_references(columns) | references(columns)


def beside_references(columns: Columns) -> dict[str, Column]:
    """Return the columns alone, each with the key of its reference beside it."""
    return {
        key: replace(
            column,
            beside=RETRAINED + key,
            sub=f"{column.sub}, unlearned / retrained" if column.sub else "unlearned / retrained",
        )
        for key, column in columns.items()
    }


def references(columns: Columns) -> dict[str, Column]:
    """Return the retrained model's columns alone, which have no column of the table of their own."""
    return {
        RETRAINED + key: Column(
            f"{column.head}, retrained",
            definition=f"{key} of the retrained model, as a reference",
            format=column.format,
            over_run=column.over_run,
            shown=False,
        )
        for key, column in columns.items()
    }
