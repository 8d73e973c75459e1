"""Runs by method: what has one line, one row and one colour wherever it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from expunge.report.read import text
from expunge.report.read.run_settings import alike, labels
from expunge.report.read.runs import Run

COLOURS = 8
"""As many as can be told apart."""
_FEWEST = 3  # methods that a facet has on average; facets of fewer show less than they take room


@dataclass(frozen=True)
class Method:
    """Runs that differ in nothing but their seed.

    Attributes:
        label: The name of the unlearner, and what tells it from the others.
        runs: In the order given, at least one.
        colour: From 0 to ``COLOURS`` - 1, the same in every figure.
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
    same name has the same colour in all of them: the unlearners, if these are few and facets of several
    of them come about; else what the remaining settings say. Where neither is so, a facet holds the next
    ``COLOURS``.
    """
    groups = alike(runs)
    notes = _notes(groups)
    names = [_named(head, settings) for head, *settings in notes]
    if len(groups) <= COLOURS:
        parts = [("", name) for name in names]
    else:
        parts = next(filter(_readable, _common(notes)), _next_ones(names))
    order = {name: i for i, name in enumerate(dict.fromkeys(name for _, name in parts))}
    return [
        Method(label, group, order[name] % COLOURS, panel, name)
        for label, group, (panel, name) in zip(names, groups, parts, strict=True)
    ]


def _notes(groups: Sequence[Sequence[Run]]) -> list[list[str]]:
    """Return the name of each unlearner, and the settings that its label says of it; no two are the same."""
    found: list[list[str]] = []
    for group, label in zip(groups, labels(groups), strict=True):
        head = text.plain(group[0].unlearner)
        notes = [head, *filter(None, label[len(head) + 2 : -1].split(", "))]
        again = 2
        while notes in found:
            notes = [*notes, f"·{again}"]
            again += 1
        found.append(notes)
    return found


def _common(notes: Sequence[Sequence[str]]) -> Iterator[list[tuple[str, str]]]:
    """Yield facet and name of each method: all settings and the unlearner, the first few and the others."""
    yield [(", ".join(settings), head) for head, *settings in notes]
    for first in range(2, max(map(len, notes))):
        yield [(", ".join(own[1:first]), _named(own[0], own[first:])) for own in notes]


def _readable(parts: Sequence[tuple[str, str]]) -> bool:
    """Whether the facets have several methods each, and a colour stands for one name."""
    few = len({name for _, name in parts}) <= COLOURS
    return (
        few and len(parts) >= _FEWEST * len({panel for panel, _ in parts}) and len(set(parts)) == len(parts)
    )


def _next_ones(names: Sequence[str]) -> list[tuple[str, str]]:
    many, firsts = len(names), [i - i % COLOURS for i in range(len(names))]
    return [
        (f"methods {first + 1} to {min(first + COLOURS, many)} of {many}", name)
        for first, name in zip(firsts, names, strict=True)
    ]


def _named(head: str, settings: Sequence[str]) -> str:
    return f"{head} ({', '.join(settings)})" if settings else head


def placed(groups: Sequence[list[Run]], without: Collection[str], runs: Sequence[Run]) -> list[Method]:
    """Return runs that differ in the settings ``without`` too as methods, in the colours of ``methods``.

    Args:
        groups: As ``alike`` gives them.
        without: The settings that do not tell them apart.
        runs: All runs, which decide on the colours; of many methods, where a group has some of several, its
            unlearner does. Where two groups share a colour, all have facets.
    """
    names = labels(groups, without)
    every = methods(runs)
    colours = {id(run): method.colour for method in every for run in method.runs}
    own = [colours[id(group[0])] for group in groups]
    if len(every) > COLOURS and any(len({colours[id(run)] for run in group}) > 1 for group in groups):
        heads = list(dict.fromkeys(group[0].unlearner for group in groups))
        own = [heads.index(group[0].unlearner) % COLOURS for group in groups]
    if len(set(own)) == len(own):
        return [Method(*of, "", of[0]) for of in zip(names, groups, own, strict=True)]
    parts = [(head, tail.removesuffix(")")) for head, _, tail in (name.partition(" (") for name in names)]
    held = Counter((tail, colour) for (_, tail), colour in zip(parts, own, strict=True))
    return [
        Method(name, group, colour, tail if held[tail, colour] == 1 else name, head)
        for name, group, colour, (head, tail) in zip(names, groups, own, parts, strict=True)
    ]
