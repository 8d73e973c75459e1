"""Runs by method: what has one line, one row and one colour wherever it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

from expunge.charts.style import COLOURS
from expunge.record.columns import colour_of
from expunge.record.folders.runs import Run
from expunge.report.read.names import alike, label, notes_of_groups

_FEWEST = 3  # methods that a facet has on average; facets of fewer show less than they take room


@dataclass(frozen=True)
class Method:
    """Runs that differ in nothing but their seed.

    Attributes:
        label: The name of the unlearner, and what tells it from the others.
        runs: In the order given, at least one.
        colour: From 0 to ``COLOURS`` - 1, the same in every figure, and where it is free in every report.
        panel: Title of the facet it is drawn in; empty where all are in one.
        name: What it is called in its facet: no two of one facet are called the same, or have one colour.
    """

    label: str
    runs: list[Run]
    colour: int
    panel: str
    name: str


def methods(runs: Sequence[Run]) -> list[Method]:
    """Return the methods of the runs, in the order of these, each with its colour and its facet.

    Up to ``COLOURS`` methods are in one facet. Of more, a facet is what some settings have in common, and the
    same name has the same colour in all of them: the unlearners, if these are few and facets of several of
    them come about; or what one unlearner was run with; else what the remaining settings say. Where none of
    these is so, a facet holds the next ``COLOURS``.
    """
    groups = alike(runs)
    notes = _told_apart(notes_of_groups(groups))
    names = [label(*note) for note in notes]
    parts = [("", name) for name in names]
    if len(groups) > COLOURS:
        parts = next(filter(_readable, _common(notes)), _next_ones(names))
    heads = {name: head for (_, name), (head, *_) in zip(parts, notes, strict=True)}
    hues: dict[str, int] = {}
    for first in range(0, len(heads), COLOURS):  # only where a facet has so many, none of which is in another
        own = dict(list(heads.items())[first : first + COLOURS])
        hues |= dict(zip(own, _colours(list(own.values())), strict=True))
    return [
        Method(said, group, hues[name], panel, name)
        for said, group, (panel, name) in zip(names, groups, parts, strict=True)
    ]


def _colours(heads: Sequence[str]) -> list[int]:
    """Return the colours of methods of these unlearners, different ones as far as there are enough.

    The first of each has its unlearner's, the package's own before others; one whose is taken, what is left.
    """
    own = [colour_of(head) for head in heads]
    wanted = [
        crc32(head.encode()) % COLOURS if known is None else known
        for head, known in zip(heads, own, strict=True)
    ]
    order = sorted(range(len(heads)), key=lambda i: (heads[i] in heads[:i], own[i] is None))
    found: dict[int, int] = {}
    for i in order:
        if wanted[i] not in found.values():
            found[i] = wanted[i]
    for i in order:
        every = [(wanted[i] + more) % COLOURS for more in range(COLOURS)]
        found.setdefault(i, next((colour for colour in every if colour not in found.values()), wanted[i]))
    return [found[i] for i in range(len(heads))]


def _told_apart(notes: Sequence[list[str]]) -> list[list[str]]:
    """Return notes of which no two are the same."""
    found: list[list[str]] = []
    for note in notes:
        again = 2
        while note in found:
            note, again = [*note, f"·{again}"], again + 1
        found.append(note)
    return found


def _common(notes: Sequence[Sequence[str]]) -> Iterator[list[tuple[str, str]]]:
    """Yield facet and name of each method: settings and unlearner, the other way round, or some of them."""
    yield [(", ".join(settings), head) for head, *settings in notes]
    if all(len(note) > 1 for note in notes):
        yield [(head, ", ".join(settings)) for head, *settings in notes]
    for first in range(2, max(map(len, notes))):
        yield [(", ".join(own[1:first]), label(own[0], *own[first:])) for own in notes]


def _readable(parts: Sequence[tuple[str, str]]) -> bool:
    """Whether the facets have several methods each, and a colour stands for one name."""
    facets, names = (set(column) for column in zip(*parts, strict=True))
    few = len(names) <= COLOURS
    return few and len(parts) >= _FEWEST * len(facets) and len(set(parts)) == len(parts)


def _next_ones(names: Sequence[str]) -> list[tuple[str, str]]:
    many = len(names)
    panels = [f"methods {i + 1} to {min(i + COLOURS, many)} of {many}" for i in range(0, many, COLOURS)]
    return [(panels[i // COLOURS], name) for i, name in enumerate(names)]


def placed(groups: Sequence[list[Run]], without: Collection[str], runs: Sequence[Run]) -> list[Method]:
    """Return runs that differ in the settings ``without`` too as methods, in the colours of their unlearners.

    Args:
        groups: As ``alike`` gives them.
        without: The settings that do not tell them apart.
        runs: All runs, whose unlearners decide on the colours. Where two groups share one, all have facets.
    """
    notes = notes_of_groups(groups, without)
    heads = list(dict.fromkeys(run.unlearner for run in runs))
    hues = dict(zip(heads, _colours(heads), strict=True))
    own = [hues[group[0].unlearner] for group in groups]
    names = [label(*note) for note in notes]
    if len(set(own)) == len(own):
        return [Method(*of, "", of[0]) for of in zip(names, groups, own, strict=True)]
    panels = [", ".join(settings) for _, *settings in notes]
    held = Counter(zip(panels, own, strict=True))
    return [
        Method(name, group, colour, panel if held[panel, colour] == 1 else name, head)
        for name, group, colour, panel, (head, *_) in zip(names, groups, own, panels, notes, strict=True)
    ]
