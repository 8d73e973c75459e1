"""``python -m experiments.truth``: 3,000 random problems against the truth; see README.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.truth.check import WIDE, Found, check
from experiments.truth.problems import STRUCTURES, draw
from experiments.truth.runs import check_run, is_for_a_run

PAGE = Path(__file__).parent / "README.md"
COMMAND = "by the command line"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def main(arguments: list[str] | None = None) -> int:
    """Check the problems, print the table, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m experiments.truth", description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="how many problems (default 3000)")
    parser.add_argument("--seed", type=int, default=0, help="of the problems (default 0)")
    parser.add_argument("--runs", type=int, default=25, help="one in so many is a run too (25; 0: none)")
    parser.add_argument("--only", type=int, help="the problem of this number alone")
    parser.add_argument("--write", action="store_true", help="replace the results in README.md")
    asked = parser.parse_args(arguments)
    if not WIDE:
        sys.stderr.write("this machine's long double has no mantissa of 64 bits: nothing to compare with\n")
        return 1
    numbers = range(asked.count) if asked.only is None else [asked.only]
    every: dict[str, list[Found]] = defaultdict(list)
    for number in tqdm(numbers, unit="problem", disable=None):
        problem = draw(number, asked.seed)
        founds = [check(problem)]
        every[problem.structure] += founds
        if asked.runs and number % asked.runs == 0 and is_for_a_run(problem):
            with tempfile.TemporaryDirectory() as folder:
                founds.append(check_run(problem, Path(folder)))
            every[COMMAND].append(founds[-1])
        for line in chain(*(found.wrong for found in founds)):
            sys.stderr.write(f"problem {number} (seed {asked.seed}): {line}\n")
    table = as_table(every, asked.seed)
    sys.stdout.write(table)
    if asked.write:
        before, after = PAGE.read_text().split(BEGIN)[0], PAGE.read_text().split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{after}")
    return int(any(found.wrong for of in every.values() for found in of))


def as_table(every: dict[str, list[Found]], seed: int) -> str:
    """A row for each structure, and all together."""
    names = ("removed", "retrained", "refused", "bad", "untrained")
    heads = ("rows", "problems", "compared", *names, "wrong", "residual / bound", "error / rounding")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    groups = {name: every[name] for name in (*STRUCTURES, COMMAND) if name in every}
    for name, of in {**groups, "all": list(chain(*groups.values()))}.items():
        counts = sum((one.outcomes for one in of), Counter[str]())
        values = chain(*(one.ratios for one in of)), chain(*(one.shares for one in of))
        most = [f"{max(found, default=0):.5f}" for found in values]
        looked, wrong = sum(one.looked for one in of), sum(len(one.wrong) for one in of)
        cells = (name, len(of), looked, *(counts[key] for key in names), wrong, *most)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + f"\n\nSeed {seed}, numpy {np.__version__}.\n"


if __name__ == "__main__":
    sys.exit(main())
