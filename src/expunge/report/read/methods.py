"""Runs by method: what has one line, one row and one colour wherever it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from expunge.report.read.run_settings import alike, labels
from expunge.report.read.runs import Run

COLOURS = 8
"""As many as can be told apart."""


@dataclass(frozen=True)
class Method:
    """Runs that differ in nothing but their seed.

    Attributes:
        label: The name of the unlearner, and what tells it from the others.
        runs: In the order given, at least one.
        colour: From 0 to ``COLOURS`` - 1, the same in every figure.
        panel: Title of the facet it is drawn in; empty where all are in one.
        name: What it is called in its facet.
    """

    label: str
    runs: list[Run]
    colour: int
    panel: str
    name: str


def methods(runs: Sequence[Run]) -> list[Method]:
    """Return the methods of the runs, in the order of these, each with its colour and its facet.

    Up to ``COLOURS`` methods are in one facet. Of more, those of one unlearner have one colour, and what else
    tells them apart is their facet; where even the unlearners are more, a facet holds ``COLOURS`` of them.
    """
    groups = alike(runs)
    names = labels(groups)
    if len(groups) <= COLOURS:
        return [
            Method(name, group, i, "", name)
            for i, (group, name) in enumerate(zip(groups, names, strict=True))
        ]
    parts = [(head, tail.removesuffix(")")) for head, _, tail in (name.partition(" (") for name in names)]
    heads = list(dict.fromkeys(head for head, _ in parts))
    found = []
    for group, name, (head, tail) in zip(groups, names, parts, strict=True):
        place = heads.index(head)
        chunk = place // COLOURS
        facets = [tail] if tail else []
        if len(heads) > COLOURS:
            first, last = heads[chunk * COLOURS], heads[min((chunk + 1) * COLOURS, len(heads)) - 1]
            facets.insert(0, first if first == last else f"{first} to {last}")
        found.append(Method(name, group, place % COLOURS, ": ".join(facets), head))
    return found


def placed(groups: Sequence[list[Run]], without: Collection[str], runs: Sequence[Run]) -> list[Method]:
    """Return runs that differ in the settings ``without`` too as methods, in the colours of ``methods``.

    Args:
        groups: As ``alike`` gives them.
        without: The settings that do not tell them apart.
        runs: All runs, which decide on the colours; where two groups share one, all have facets.
    """
    names = labels(groups, without)
    colours = {id(run): method.colour for method in methods(runs) for run in method.runs}
    own = [colours[id(group[0])] for group in groups]
    if len(set(own)) == len(own):
        return [Method(*of, "", of[0]) for of in zip(names, groups, own, strict=True)]
    parts = [(head, tail.removesuffix(")")) for head, _, tail in (name.partition(" (") for name in names)]
    held = Counter((tail, colour) for (_, tail), colour in zip(parts, own, strict=True))
    return [
        Method(name, group, colour, tail if held[tail, colour] == 1 else name, head)
        for name, group, colour, (head, tail) in zip(names, groups, own, parts, strict=True)
    ]
