"""How long one removal takes from a certified head of ten classes, whose rows are the features of a network.

See README.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from math import hypot, inf
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.harness import (
    WHOLE,
    Benchmark,
    Part,
    in_turns,
    positive,
    ratio,
    spread,
    threads_option,
)
from experiments.benchmarks.head import tables
from expunge.core.errors import InvalidValue
from expunge.linear import shared_passes
from expunge.linear.rows import Rows
from expunge.predictors.linear import LinearModel
from expunge.unlearners.newton import Newton

SETTING = {"lam": 1e-4, "epsilon": 1.0, "delta": 1e-5, "releases": 5001}
SEED = 0
HIDDEN = 128  # numbers that the features of a row are made of, beside noise of their own
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time, "own": time.thread_time}
"""Seconds by the clock, of all threads, and of the one that serves and waits for the others."""

Seconds = dict[str, float]


def measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Time every way on features that are made here."""
    rows, y = features(options.rows, options.features, options.classes)
    return compare(rows, y, options.removals, options.batch, options.repeats)


def features(n: int, d: int, classes: int) -> tuple[Rows, NDArray[np.int64]]:
    """Rows of norm 1 in float32, no entry of which is below 0, as a network leaves them, and labels (n,)."""
    rng = np.random.default_rng(SEED)
    y = rng.integers(0, classes, n)
    y[:classes] = np.arange(classes)
    means, mixed = rng.normal(size=(classes, HIDDEN)), rng.normal(size=(HIDDEN, d)) / HIDDEN**0.5
    raw = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, 4096):
        part = slice(start, start + 4096)
        hidden = 0.6 * means[y[part]] + rng.normal(size=(len(y[part]), HIDDEN))
        noise = rng.normal(size=(len(hidden), d))
        raw[part] = np.maximum(0.9 * hidden @ mixed + 0.35 * noise - 0.2, 0)
    return Rows.normalised(raw), y


class Way:
    """A model that serves requests.

    Attributes:
        key: Letter in the tables.
        what: Description in the tables.
        batch: Rows of a request.
        count: Requests in each repeat.
    """

    def __init__(self, key: str, what: str, model: Newton, least: float, batch: int, count: int) -> None:
        self.key, self.what, self.batch, self.count = key, what, batch, count
        self._model, self._least, self._served = model, least, 0

    def serve(self, stream: Sequence[int]) -> Seconds:
        """Remove the next rows of the stream in one release; what that took by each clock."""
        first = self._served * self.batch
        asked = stream[first : first + self.batch]
        self._served += 1
        with patch.object(shared_passes, "LEAST_NUMBERS", self._least):
            before = [clock() for clock in CLOCKS.values()]
            self._model.remove(asked)
            after = [clock() for clock in CLOCKS.values()]
        return dict(zip(CLOCKS, np.subtract(after, before).tolist(), strict=True))

    def turn(self, stream: Sequence[int], repeat: int) -> list[Seconds]:
        """The requests of a repeat."""
        return [self.serve(stream) for _ in range(self.count)]

    def facts(self) -> dict[str, Any]:
        """The bound that stands, what it may be, and the residual by other passes, one a class."""
        norms = [float(np.linalg.norm(one.problem.gradient(one.w))) for one in self._model.columns]
        account = self._model.account
        return {
            "served": self._served,
            "bound": hypot(*(column.account.beta for column in self._model.columns)),
            "budget": account.budget,
            "residual": hypot(*norms),
        }


def compare(rows: Rows, y: NDArray[np.int64], removals: int, batch: int, repeats: int) -> dict[str, Any]:
    """Time every way on the same stream of rows, in turns; the first request of each warms up.

    Args:
        rows: Training rows.
        y: (n,) labels of more than two classes.
        removals: Requests of a row in each repeat; there is one of a batch.
        batch: Rows of that.
        repeats: Interleaved repeats.

    Raises:
        InvalidValue: There are too few rows for so many requests.
    """
    least = 1 + max(removals * repeats + 1, batch * (repeats + 1))
    if len(rows) < least:
        raise InvalidValue("rows", len(rows), f"at least {least} for so many requests")
    stream = np.random.default_rng([SEED, 1]).permutation(len(rows)).tolist()
    model = _trained(rows, y)
    known = {id(rows.raw): rows.raw}  # the one table of all copies
    ways = [
        Way(key, what, deepcopy(model, dict(known)), least, size, count)
        for key, what, least, size, count in (
            ("a", "one row, one class after the other", inf, 1, removals),
            ("b", "one row, a pass for all classes", 0, 1, removals),
            ("c", f"{batch:,} rows, one class after the other", inf, batch, 1),
            ("d", f"{batch:,} rows, a pass for all classes", 0, batch, 1),
        )
    ]
    for way in ways:
        way.serve(stream)
    turns = {way.key: partial(way.turn, stream) for way in ways}
    return {
        "repeats": repeats,
        "removals": removals,
        "setting": {**SETTING, "n": len(rows), "d": rows.dim, "classes": len(np.unique(y))},
        "removal": _summed_up(ways, in_turns(turns, repeats)),
    }


def _trained(rows: Rows, y: NDArray[np.int64]) -> Newton:
    own = {key: value for key, value in SETTING.items() if key != "lam"}
    model = Newton(
        LinearModel(lam=SETTING["lam"], std=0.0),
        perturbation="release",
        certificate="measured",
        update="corrected",
        at_limit="refuse",
        **own,  # type: ignore[arg-type]
    )
    model.fit(rows, y, SEED)
    return model


def _summed_up(ways: Sequence[Way], taken: dict[str, list[list[Seconds]]]) -> list[dict[str, Any]]:
    def of(key: str, clock: str) -> list[list[float]]:
        return [[one[clock] for one in repeat] for repeat in taken[key]]

    base = dict(zip("abcd", "aacc", strict=True))
    return [
        {
            "key": way.key,
            "method": way.what,
            "batch": way.batch,
            "ms": {clock: spread(np.concatenate(of(way.key, clock))) for clock in CLOCKS},
            **{f"faster_{clock}": ratio(of(base[way.key], clock), of(way.key, clock)) for clock in CLOCKS},
            **way.facts(),
        }
        for way in ways
    ]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--removals", type=positive, default=12, help="requests in each repeat (default 12)")
    parser.add_argument("--batch", type=positive, default=1000, help="rows of a large request (default 1000)")
    parser.add_argument("--rows", type=positive, default=40_000, help="training rows (default 40000)")
    parser.add_argument("--features", type=positive, default=1280, help="features (default 1280)")
    parser.add_argument("--classes", type=positive, default=10, help="classes (default 10)")
    threads_option(parser)


BENCHMARK = Benchmark(
    folder=Path(__file__).parent,
    description=__doc__,
    parts={WHOLE: Part(measure, tables.lines)},
    arguments=_arguments,
)
