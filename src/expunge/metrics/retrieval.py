"""Re-identification as Market-1501 evaluates it: find a person of one camera in the pictures of the others.

Zheng et al. 2015, "Scalable Person Re-identification: A Benchmark", and the evaluation published with it
(``compute_AP.m`` and the script that calls it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_choice

Array = NDArray[np.float64]

DISTANCES = ("cosine", "euclidean")
AVERAGE_PRECISIONS = ("trapezoid", "matches")
JUNK = -1
UNKNOWN_CAMERA = -1

_BLOCK = 2**20  # distances at a time: six arrays of this size are held, 40 MB together
_DIGITS = 12


class People(NamedTuple):
    """Who is in some pictures, and which camera took them.

    Attributes:
        ids: (n,) persons, > 0; in the gallery also 0 for a distractor and -1 for junk.
        cameras: (n,); -1 where the camera is not known: it is then no other picture's camera.
    """

    ids: NDArray[np.int64]
    cameras: NDArray[np.int64]

    def part(self, rows: slice) -> People:
        """Return some of them."""
        return People(self.ids[rows], self.cameras[rows])


@dataclass(frozen=True)
class Ranking:
    """How well each query found its matches; a query without any is skipped: it counts in no mean.

    Attributes:
        average_precision: (q,), between 0 and 1; NaN for a skipped query.
        first_match: (q,), rank of the nearest match, from 1; 0 for a skipped query.
    """

    average_precision: Array
    first_match: NDArray[np.int64]

    @property
    def skipped(self) -> int:
        """Queries without a match in the gallery."""
        return int(np.sum(self.first_match == 0))

    @property
    def mean_average_precision(self) -> float | None:
        """Mean over the queries that have a match (mAP); None where none has. Larger is better."""
        found = self.average_precision[self.first_match > 0]
        return float(found.mean()) if len(found) else None

    def cmc(self, rank: int) -> float | None:
        """Share of the queries with a match that have one at this rank or before; None where none has any."""
        found = self.first_match[self.first_match > 0]
        return float(np.mean(found <= rank)) if len(found) else None


def evaluate(
    distances: Array, query: People, gallery: People, average_precision: str = "trapezoid"
) -> Ranking:
    """Rank the gallery for each query and judge the rankings by the protocol of Market-1501.

    Left out of a query's ranking, as if they were not there: junk, and pictures of the query's own person by
    the query's own camera. Its **matches** are the other pictures of its person. Everything else is wrong,
    distractors included, and so is a query that is itself a distractor or junk: it has no match. Equal
    distances keep the gallery's order, as the benchmark's stable sort does.

    With matches k = 1..m at ranks r_k of such a ranking, the precision there is ``P_k = k / r_k``, and
    ``Q_k = (k - 1) / (r_k - 1)`` one rank before (1 where r_k = 1). Average precision is

    - ``trapezoid``: ``1/m sum_k (Q_k + P_k) / 2``, the benchmark's own: the area under the curve of precision
      over recall, a straight line from each rank to the next;
    - ``matches``: ``1/m sum_k P_k``, as scikit-learn and later re-identification libraries have it. The
      larger of the two.

    Args:
        distances: (q, g), finite.
        query: Of q pictures.
        gallery: Of g pictures.
        average_precision: One of ``AVERAGE_PRECISIONS``.

    Raises:
        InvalidValue: The kind of average precision is not known.
    """
    require_choice("average_precision", average_precision, AVERAGE_PRECISIONS)
    trapezoid = average_precision == "trapezoid"
    blocks = _blocks(len(query.ids), len(gallery.ids))
    return _together([_judge(distances[rows], query.part(rows), gallery, trapezoid) for rows in blocks])


def retrieve(
    query: Array,
    gallery: Array,
    asked: People,
    offered: People,
    distance: str = "cosine",
    average_precision: str = "trapezoid",
) -> Ranking:
    """``evaluate`` of the distances between embeddings, of which only a few are held at a time.

    Args:
        query: (q, d) float64, finite.
        gallery: (g, d).
        asked: Who is in the q pictures.
        offered: Who is in the g pictures.
        distance: One of ``DISTANCES``; see ``distances``.
        average_precision: One of ``AVERAGE_PRECISIONS``.

    Raises:
        InvalidValue: The distance or the kind of average precision is not known.
    """
    require_choice("distance", distance, DISTANCES)
    if distance == "cosine":
        query, gallery = unit_rows(query), unit_rows(gallery)
    return _together(
        [
            evaluate(_apart(query[rows], gallery, distance), asked.part(rows), offered, average_precision)
            for rows in _blocks(len(query), len(gallery))
        ]
    )


def unit_rows(embeddings: Array) -> Array:
    """Rows of length 1; a row of zeros stays one, so that its cosine with every other is 0."""
    peaks = np.abs(embeddings).max(axis=1, keepdims=True, initial=0.0)
    embeddings = np.ldexp(embeddings, -np.frexp(peaks)[1])  # exact; squares neither overflow nor vanish
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.where(lengths > 0, lengths, 1.0))


def rounded(cosines: Array) -> Array:
    """Cosines to 12 decimals: those of equal pictures, or of a collapsed network, differ by less."""
    return np.round(cosines, _DIGITS)


def _apart(query: Array, gallery: Array, distance: str) -> Array:
    """``1 - cos`` of rows of length 1, or ``||a - b||_2``, (q, g)."""
    if distance == "cosine":
        return 1.0 - rounded(query @ gallery.T)
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(query, gallery))  # of differences: equal pictures are equally far


def _blocks(queries: int, gallery: int) -> Iterator[slice]:
    step = max(1, _BLOCK // max(gallery, 1))
    return (slice(start, start + step) for start in range(0, queries, step))


def _together(parts: list[Ranking]) -> Ranking:
    precision = [np.empty(0), *(part.average_precision for part in parts)]
    first = [np.empty(0, dtype=np.int64), *(part.first_match for part in parts)]
    return Ranking(np.concatenate(precision), np.concatenate(first))


def _judge(distances: Array, query: People, gallery: People, trapezoid: bool) -> Ranking:
    """``evaluate`` of a few queries."""
    person, camera = query.ids[:, None] == gallery.ids, query.cameras[:, None] == gallery.cameras
    own = person & camera & (gallery.cameras != UNKNOWN_CAMERA)
    match, counts = person & ~own & (gallery.ids > 0), ~own & (gallery.ids != JUNK)
    order = np.argsort(distances, axis=1, kind="stable")
    ranks = np.cumsum(np.take_along_axis(counts, order, axis=1), axis=1)
    rows, places = np.nonzero(np.take_along_axis(match, order, axis=1))  # row by row, nearest first
    rank, matches = ranks[rows, places], np.bincount(rows, minlength=len(distances))
    number = np.arange(len(rows)) - (np.cumsum(matches) - matches)[rows]  # 0 for a query's nearest match
    precision = (number + 1) / rank
    if trapezoid:
        precision = (precision + np.where(rank > 1, number / np.maximum(rank - 1, 1), 1.0)) / 2
    total = np.bincount(rows, weights=precision, minlength=len(distances))
    average = np.where(matches > 0, total / np.maximum(matches, 1), np.nan)
    first = np.zeros(len(distances), dtype=np.int64)
    first[rows[number == 0]] = rank[number == 0]
    return Ranking(average, first)
