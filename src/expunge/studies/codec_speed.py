"""How long FOCI takes on binary attributes, with ties broken at random (CODEC) and by noise (L-CODEC)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expunge.codec import foci
from expunge.codec.attributes import binary_attributes, markov_blanket_of, neighbours_of
from expunge.core.checks import require_count
from expunge.core.errors import DataError, InvalidValue
from expunge.core.memory_rise import peak_mib
from expunge.core.seeds import stream
from expunge.datasets.arrays import locate
from expunge.datasets.celeba_attributes import KINDS, read_celeba_attributes
from expunge.studies.checks import require_names

TIES: dict[str, Literal["random", "noise"]] = {"codec": "random", "lcodec": "noise"}
PUBLISHED = {"codec": (1100.0, 2170.0), "lcodec": (30.0, 510.0)}
"""Seconds an attribute, read off the slides of Mehta et al. (CVPR 2022); n = 20,000, their machine."""
_HEADINGS = (
    *("method", "attributes", "median s", "min s", "max s", "published s (n = 20,000)"),
    *("selected", "neighbours found", "in blanket", "same selection"),
)
_DATA, _CELL = 0, 1
_REHEARSAL = 2000  # rows of the first selection by a method, which is not timed


class CodecSpeed:
    """One FOCI for each target attribute and method, over all other attributes; only the selection is timed.

    Args:
        n: Samples; of a file the first this many (None: all).
        p: Attributes; of a file the first this many.
        path: A ``list_attr_celeba.txt``, or that as ``.xz``, under the current directory or else in
            ``data_dir``; None draws the table from a random network, whose truth is known.
        attributes: Targets: None (all), how many (evenly spread), or a list of names.
        methods: Of ``codec`` and ``lcodec``.
        data_dir: Where ``path`` is looked for as well; given by the run.
        seed: Of the table; given by the run.
        threads: For the selection (None: every core); given by the run.

    Raises:
        InvalidValue: A value is not allowed.
        DataError: The file cannot be used.
    """

    name = "codec_speed"

    def __init__(
        self,
        n: int | None = 20_000,
        p: int = 40,
        path: str | None = None,
        attributes: int | list[str] | None = None,
        methods: Sequence[str] = tuple(TIES),
        data_dir: Any = ".",
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        require_count("p", p, least=2)
        if n is not None or path is None:
            require_count("n", n, least=10)
        self.methods = require_names("methods", methods, list(TIES))
        self.threads = threads
        self._rehearsed: set[str] = set()
        self.table_, self.names, self.parents = _load(n, p, path, data_dir, seed)
        self.targets = _targets(attributes, self.names)
        for j in map(self.names.index, self.targets):
            if self.table_[:, j].min() == self.table_[:, j].max():
                allowed = f"more samples: {self.names[j]} is the same in all {len(self.table_)}"
                raise InvalidValue("n", n, allowed)

    def cells(self) -> list[dict[str, Any]]:
        """Each target by each method, so that a study cut short compares like with like."""
        return [{"attribute": name, "method": method} for name in self.targets for method in self.methods]

    def run_cell(self, cell: dict[str, Any], seed: int) -> dict[str, Any]:
        """Select for one target by one method.

        Returns:
            ``selected`` (names in order of choice) and their ``scores``; ``neighbours`` and ``blanket``, the
            truth (None for a file); ``seconds`` of the selection; ``peak_memory_mb``, the process's highest
            so far.
        """
        j, ties = self.names.index(cell["attribute"]), TIES[cell["method"]]
        others = [k for k in range(len(self.names)) if k != j]
        x, y = self.table_[:, others].astype(np.float64), self.table_[:, j].astype(np.float64)
        rng = stream(seed, "study", _CELL, j, list(TIES).index(cell["method"]))
        if ties not in self._rehearsed:  # compiling the kernels is not selecting
            foci(x[:_REHEARSAL], y[:_REHEARSAL], ties=ties, rng=0, threads=self.threads)
            self._rehearsed.add(ties)
        started = time.perf_counter()
        selection = foci(x, y, ties=ties, rng=rng, threads=self.threads)
        seconds = time.perf_counter() - started
        return {
            "seconds": seconds,
            "selected": [self.names[others[k]] for k in selection.columns.tolist()],
            "scores": [s if np.isfinite(s) else None for s in selection.scores.tolist()],
            "neighbours": self._named(neighbours_of, j),
            "blanket": self._named(markov_blanket_of, j),
            "peak_memory_mb": peak_mib(),
        }

    def table(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A row for each method, and one for the two together."""
        numbers = self.summary(records)
        rows: list[dict[str, Any]] = []
        for method, own in numbers["methods"].items():
            published = "{:,.0f}-{:,.0f}".format(*PUBLISHED[method])
            *times, selected, found, inside = own.values()
            row = (method, *times, published, selected, found, inside, None)
            rows.append(dict(zip(_HEADINGS, row, strict=True)))
        if numbers["seconds_ratio"] is not None:
            both = {"median s": numbers["seconds_ratio"], "same selection": numbers["jaccard_mean"]}
            rows.append({"method": "codec / lcodec", **both})
        return rows

    def summary(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Times of each method, how much of the truth it found, and how far the two agree.

        Returns:
            ``methods``: for each ``attributes seconds_median seconds_min seconds_max selected_mean
            neighbours_found`` (share of all direct links that were selected) and ``selected_in_blanket``
            (share of the selected that belong to the target's Markov blanket), both None for a file;
            ``seconds_ratio`` of the medians, codec over lcodec, and ``jaccard_mean``, the mean overlap of the
            two selections of an attribute (both None with one method).
        """
        by_method = {m: [r for r in records if r["method"] == m] for m in self.methods}
        methods = {method: _of_method(own) for method, own in by_method.items()}
        ratio = overlap = None
        if set(methods) == set(TIES):
            ratio = methods["codec"]["seconds_median"] / methods["lcodec"]["seconds_median"]
            pairs = zip(by_method["codec"], by_method["lcodec"], strict=True)
            overlap = fmean(jaccard(a["selected"], b["selected"]) for a, b in pairs)
        return {"methods": methods, "seconds_ratio": ratio, "jaccard_mean": overlap}

    def figures(self, records: list[dict[str, Any]], folder: Path) -> None:
        """Write ``codec_speed.png`` and ``.svg``."""
        from expunge.studies.codec_speed_figure import draw

        draw(records, PUBLISHED, len(self.table_)).save(folder)

    def _named(self, truth: Any, j: int) -> list[str] | None:
        return None if self.parents is None else [self.names[k] for k in truth(self.parents, j)]


def jaccard(a: Sequence[str], b: Sequence[str]) -> float:
    """Size of the intersection over size of the union; 1 for two empty selections."""
    union = set(a) | set(b)
    return len(set(a) & set(b)) / len(union) if union else 1.0


def _load(
    n: int | None, p: int, path: str | None, data_dir: Any, seed: int
) -> tuple[NDArray[np.uint8], list[str], list[list[int]] | None]:
    if path is None:
        assert n is not None
        table, parents = binary_attributes(n, p, stream(seed, "study", _DATA))
        return table, [f"a{j:02d}" for j in range(p)], parents
    table, names = read_celeba_attributes(locate("path", path, data_dir, f"{KINDS}; or null"), n)
    if len(table) < 10:
        raise DataError(f"{path} has {len(table)} images, allowed: at least 10", "path")
    if p > len(names):
        raise InvalidValue("p", p, f"at most the {len(names)} attributes of {path}")
    return table[:, :p], names[:p], None


def _targets(attributes: Any, names: list[str]) -> list[str]:
    if attributes is None:
        return names
    if isinstance(attributes, list):
        return require_names("attributes", attributes, names)
    allowed = f"null, a list of names, or a count from 1 to {len(names)}"
    if isinstance(attributes, bool) or not isinstance(attributes, int) or not 1 <= attributes <= len(names):
        raise InvalidValue("attributes", attributes, allowed)
    return [names[j] for j in np.linspace(0, len(names) - 1, attributes).round().astype(int)]


def _of_method(records: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [record["seconds"] for record in records]
    known = [record for record in records if record["neighbours"] is not None]

    def share(of: str, among: str) -> float | None:
        total = sum(len(record[of]) for record in known)
        return sum(len(set(record[of]) & set(record[among])) for record in known) / total if total else None

    return {
        "attributes": len(records),
        "seconds_median": median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "selected_mean": fmean(len(record["selected"]) for record in records),
        "neighbours_found": share("neighbours", "selected"),
        "selected_in_blanket": share("selected", "blanket"),
    }
