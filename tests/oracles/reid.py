"""Verification and re-identification straight from their definitions: plain Python, one pair at a time."""

from __future__ import annotations

from itertools import combinations
from math import sqrt


def ranking(distances, person, camera, ids, cameras):
    """Whether each picture that counts is a match, in the order of one query's ranking."""
    order = sorted(range(len(ids)), key=lambda j: distances[j])  # sorted() keeps the order of ties
    found = []
    for j in order:
        junk = ids[j] == -1
        own = ids[j] == person and cameras[j] == camera and camera != -1
        if not junk and not own:
            found.append(ids[j] == person and person > 0)
    return found


def trapezoid(matches):
    """Area under precision over recall, from (0, 1), a straight line from each rank to the next."""
    area, recall, precision, hits = 0.0, 0.0, 1.0, 0
    for rank, match in enumerate(matches, start=1):
        hits += match
        new_recall, new_precision = hits / sum(matches), hits / rank
        area += (new_recall - recall) * (precision + new_precision) / 2
        recall, precision = new_recall, new_precision
    return area


def mean_precision(matches):
    """Mean over the matches of the precision at their ranks."""
    ranks = [rank for rank, match in enumerate(matches, start=1) if match]
    return sum(k / rank for k, rank in enumerate(ranks, start=1)) / len(ranks)


def evaluate(distances, query, gallery, average_precision):
    """(average precision, rank of the first match) of each query; None where it has no match.

    Args:
        distances: A list of q lists of g.
        query: (ids, cameras).
        gallery: (ids, cameras).
        average_precision: A function of a ranking.
    """
    found = []
    for row, person, camera in zip(distances, *query, strict=True):
        matches = ranking(row, person, camera, *gallery)
        found.append((average_precision(matches), matches.index(True) + 1) if any(matches) else None)
    return found


def cosine(a, b):
    """Cosine of two vectors; 0 where one is zero."""
    lengths = sqrt(sum(v * v for v in a)) * sqrt(sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / lengths if lengths else 0.0


def verification_auc(embeddings, labels, persons=None):
    """Share of (same pair, different pair) in which the same pair is nearer; equal counts one half."""
    pairs = [
        (i, j)
        for i, j in combinations(range(len(labels)), 2)
        if persons is None or labels[i] in persons or labels[j] in persons
    ]
    scores = {pair: round(cosine(embeddings[pair[0]], embeddings[pair[1]]), 12) for pair in pairs}
    same = [scores[i, j] for i, j in pairs if labels[i] == labels[j]]
    different = [scores[i, j] for i, j in pairs if labels[i] != labels[j]]
    if not same or not different:
        return None
    wins = sum((s > d) + 0.5 * (s == d) for s in same for d in different)
    return wins / (len(same) * len(different))
