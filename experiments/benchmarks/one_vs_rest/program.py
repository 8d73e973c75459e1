"""How long one removal from ten one-vs-rest classes takes, and what classes that do not use the row save.

See README.md.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.harness import WHOLE, Benchmark, Part, positive, ratio, spread, threads_option
from experiments.benchmarks.one_vs_rest import tables
from experiments.benchmarks.removal.contenders import Contender, Ours, Published, take_turns, trained
from expunge.core.errors import InvalidValue
from expunge.datasets import mnist
from expunge.extractors.pixels import Pixels
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Array, Rows
from expunge.predictors.linear import LinearModel
from expunge.unlearners.newton import Newton

SETTING = {"lam": 1e-3, "std": 10.0, "epsilon": 1.0, "delta": 1e-4}
BATCH = 50
BATCH_SHARE = 10  # a request of 50 rows is served once for so many of one row
SUBSAMPLE = 0.1
SEED = 0

Seconds = list[list[float]]  # per removed row of every request, repeat by repeat


def measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Time every method on MNIST."""
    rows, y = load(options.data_dir, options.rows)
    return compare(rows, y, options.removals, options.published, options.repeats)


def load(data_dir: str, count: int | None = None) -> tuple[Rows, NDArray[np.int64]]:
    """Rows (8-bit, norm 1) and labels of MNIST: the first ``count``, or all."""
    dataset = mnist.load(data_dir, train_rows=count)
    rows, _ = Pixels().extract(dataset)
    assert isinstance(rows, Rows)
    return rows, dataset.y_train


class PartlyUsed(LinearModel):
    """One-vs-rest whose classes use the rows that they are told to.

    Args:
        used: (n, K), which class uses which row.
        how: Settings of ``LinearModel``.
    """

    def __init__(self, used: NDArray[np.bool_], **how: Any) -> None:
        super().__init__(**how)
        self._used = used

    def problems(self, b: Array | None = None) -> list[LogisticProblem]:
        """The columns' losses over the rows that they use."""
        problems = super().problems(b)
        return [replace(p, rows=p.rows.only(used)) for p, used in zip(problems, self._used.T, strict=True)]


def compare(rows: Rows, y: NDArray[np.int64], removals: int, published: int, repeats: int) -> dict[str, Any]:
    """Time every method on the same stream of rows.

    Args:
        rows: Training rows.
        y: (n,) labels of more than two classes.
        removals: Requests of a fast method in each repeat.
        published: Requests of the published recipe in each repeat.
        repeats: Interleaved repeats.

    Raises:
        InvalidValue: There are too few rows for so many requests.
    """
    few = max(2, removals // BATCH_SHARE)
    least = 1 + max(removals * repeats, BATCH * (1 + few * repeats))
    if len(rows) < least:
        raise InvalidValue("rows", len(rows), f"at least {least} for so many requests")
    stream = np.random.default_rng([SEED, 1]).permutation(len(rows))
    timed = stream[1 : 1 + removals * repeats]  # by the methods with a row a request; the first warms up
    ours = _ours(rows, y, timed, removals, few)
    first = ours[0].model
    uses = {c.key: _uses(c.model, timed).reshape(repeats, removals) for c in ours if c.batch == 1}
    baseline = Published(
        [column.problem for column in first.columns],
        first.predictor.weights,
        first.guarantee.budget,
        published,
    )
    contenders: list[Contender] = [baseline, *ours]
    seconds = take_turns(contenders, stream.tolist(), repeats)
    return {
        "repeats": repeats,
        "removals": removals,
        "published": published,
        "setting": {
            **SETTING,
            "budget": first.guarantee.budget,
            "n": len(rows),
            "d": rows.dim,
            "classes": first.predictor.width,
        },
        "removal": [
            {
                "key": c.key,
                "method": c.what,
                "batch": c.batch,
                "ms": spread(np.concatenate(seconds[c.key])),
                **ratio(seconds["a"], seconds[c.key]),
                **c.facts(),
            }
            for c in contenders
        ],
        "uses": [
            row
            for key in "bde"
            for row in by_uses(key, seconds[key], uses[key], seconds["b"], first.predictor.width)
        ],
    }


def _ours(rows: Rows, y: NDArray[np.int64], timed: NDArray[np.int64], removals: int, few: int) -> list[Ours]:
    """The methods (b) to (f), trained; ``timed`` are the rows they will be asked for."""
    how: dict[str, Any] = {"update": "corrected", "certificate": "measured", "progress": True}
    model = partial(trained, rows, y, SETTING, SEED, **how)
    partly = partial(PartlyUsed, _own_class_alone(y, timed[::2]))
    frozen = model(update="frozen", certificate="third_order")
    return [
        Ours("b", "corrected, residual measured at every release", model(), removals),
        Ours("c", "frozen Hessians, third_order", frozen, removals),
        Ours("d", f"as (b), subsample_ratio {SUBSAMPLE}", model(subsample_ratio=SUBSAMPLE), removals),
        Ours("e", "as (b), every second row used by its own class alone", model(kind=partly), removals),
        Ours("f", f"as (b), {BATCH} rows share a release", model(), few, BATCH),
    ]


def _own_class_alone(y: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Who uses what, (n, K), where all classes use every row but ``rows``."""
    classes = np.unique(y)
    used = np.ones((len(y), len(classes)), dtype=bool)
    used[rows] = y[rows][:, None] == classes
    return used


def _uses(model: Newton, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many classes use each of ``rows``."""
    return np.sum([column.problem.rows.scale[rows] != 0 for column in model.columns], axis=0)


def by_uses(
    key: str, seconds: Seconds, uses: NDArray[np.int64], base: Seconds, width: int
) -> list[dict[str, Any]]:
    """Summarise requests by how many classes use their row.

    Args:
        key: Of the method.
        seconds: Of the method's requests.
        uses: (repeats, requests), how many classes use the row of each.
        base: Those of the method where all classes use all rows.
        width: Number of classes.

    Returns:
        For each number of classes that occurs: ``of_base`` is the share of the time of ``base``; ``of_all``
        that of the same method's requests whose row all classes use, None where it had none.
    """
    groups = {
        int(count): [
            [s for s, used in zip(*repeat, strict=True) if used == count]
            for repeat in zip(seconds, uses, strict=True)
        ]
        for count in np.unique(uses)
    }
    return [
        {
            "key": key,
            "classes": count,
            "ms": spread(np.concatenate(group)),
            "of_base": ratio(group, base),
            "of_all": ratio(group, groups[width]) if width in groups else None,
        }
        for count, group in groups.items()
    ]


def _arguments(parser: argparse.ArgumentParser) -> None:
    data_dir = os.environ.get("EXPUNGE_DATA")
    parser.add_argument("--removals", type=positive, default=30, help="requests in each repeat (default 30)")
    parser.add_argument(
        "--published", type=positive, default=2, help="those of the published recipe (default 2)"
    )
    threads_option(parser)
    parser.add_argument("--rows", type=positive, help="only the first so many training rows (default all)")
    parser.add_argument(
        "--data-dir",
        default=data_dir,
        required=data_dir is None,
        help="holds, or shall hold, MNIST/raw (default $EXPUNGE_DATA)",
    )


BENCHMARK = Benchmark(
    folder=Path(__file__).parent,
    description=__doc__,
    parts={WHOLE: Part(measure, tables.lines)},
    arguments=_arguments,
)
