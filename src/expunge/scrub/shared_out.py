"""How the copies of a request are shared out among its rows: in turn over all of them, or class by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SELECTIONS = ("together", "by_class")
LEAST = 100
"""Copies of a class at the least, where ``n_perturbations`` allows: selections among fewer are chance."""


@dataclass(frozen=True)
class Shares:
    """Of which row each copy is, and of which copies one selection is made.

    Attributes:
        of: Row of the sample that each copy is of, (copies,) int64.
        parts: The copies of each selection, one after the other and all of them.
    """

    of: Tensor
    parts: tuple[slice, ...]


def shares(targets: Tensor, copies: int, selection: str) -> Shares:
    """Share out ``copies`` among rows with ``targets``, (m,).

    ``together``: one selection; the rows are taken in turn, each at least once, so that there are
    ``max(copies, m)``. ``by_class``: a selection in each class, in the order of the class numbers, and so
    many copies in all, shared out evenly, but at least ``min(copies, LEAST)`` in each; a class takes its rows
    in turn, and of more rows than copies so many, evenly spaced in the order of the request. Of one class
    with no more rows than copies, and of targets that are real numbers, both are the same.
    """
    m = len(targets)
    if selection == "together" or targets.is_floating_point():
        return Shares(_in_turn(np.arange(m), max(copies, m)), (slice(None),))
    labels = targets.cpu().numpy()
    classes = np.unique(labels)
    even = [len(part) for part in np.array_split(np.arange(copies), len(classes))]
    counts = [max(count, min(copies, LEAST)) for count in even]
    ends = np.cumsum(counts).tolist()
    rows = [_in_turn(np.flatnonzero(labels == c), k) for c, k in zip(classes, counts, strict=True)]
    return Shares(torch.cat(rows), tuple(map(slice, [0, *ends[:-1]], ends)))


def _in_turn(rows: np.ndarray, copies: int) -> Tensor:
    """Return ``copies`` of the rows, (copies,): in turn, or evenly spaced where there are more rows."""
    m, place = len(rows), np.arange(copies)
    return torch.from_numpy(rows[place * m // copies if m > copies else place % m])
