"""Removals that never touch the rows: how long one takes, and how many there are between two passes.

See README.md.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from experiments.benchmarks.harness import Benchmark, Part, positive
from experiments.benchmarks.rowless import between, figure, timing


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--removals", type=positive, default=40, help="requests in each repeat (default 40)")
    parser.add_argument(
        "--threads", type=positive, default=1, help="for what is timed (default 1); trainings take all cores"
    )
    parser.add_argument(
        "--most", type=positive, default=between.MANY, help=f"rows at most (default {between.MANY:,})"
    )
    parser.add_argument(
        "--ten-million", action="store_true", help="time 10,000,000 rows too, in a temporary file of 3.8 GB"
    )
    parser.add_argument(
        "--all-methods",
        action="store_true",
        help="at 10,000,000 rows too those that pass over them each time",
    )
    parser.add_argument("--processor", action="store_true", help="tell processor time; for a machine in use")
    data_dir = os.environ.get("EXPUNGE_DATA") or str(Path("../shared/data"))
    parser.add_argument("--data-dir", default=data_dir, help="where MNIST is (default $EXPUNGE_DATA)")


BENCHMARK = Benchmark(
    folder=Path(__file__).parent,
    description=__doc__,
    parts={
        "time": Part(timing.part, timing.lines, "Time", figure.TITLE),
        "between": Part(between.part, between.lines, "Removals between two passes", option="between"),
    },
    arguments=_arguments,
    options={"between": "count instead how many removals there are between two passes"},
    draw=figure.draw,
)
