"""``python -m experiments.truth.sensitivity``: ||w~ - w*|| against its bound, w* to 60 digits."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf, sqrt

from tqdm import tqdm

from experiments.truth.check import TOO_SMALL
from experiments.truth.exact import Exact, Fixed, fixed, fixed_rows, square_norm
from experiments.truth.problems import STRUCTURES, Problem, of_release
from expunge import CertifiedLogisticRegression
from expunge.certificate.release import sensitivity
from expunge.core.errors import InvalidValue
from expunge.linear.certified_column import CertifiedColumn
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rounding import radius
from expunge.linear.solver import train

_NEAR = 1e-3  # from where Newton's steps lead to the minimiser at once


@dataclass
class Found:
    """What models came to.

    Attributes:
        models: How many were compared.
        distances: ``||w~ - w*||`` over its bound.
        residuals: Norm of a column's true gradient over its beta.
        wrong: What does not hold, in words.
    """

    models: int = 0
    distances: list[float] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Take over what others came to."""
        self.models += other.models
        for name in ("distances", "residuals", "wrong"):
            getattr(self, name).extend(getattr(other, name))


@one_blas_thread()
def compare(columns: Sequence[CertifiedColumn], x: Fixed, planned: float) -> Found:
    """Compare the columns of one model with the exact minimisers of their losses.

    Args:
        columns: w~, one a binary problem, each with its bound beta; the loss has no b.
        x: (n, d) all rows as they are stored, those that have left too.
        planned: The sensitivity that the noise was planned with.
    """
    found = Found(1)
    total, lam = Fraction(0), columns[0].problem.lam
    for k, column in enumerate(columns):
        used, w = column.problem.rows.scale != 0, fixed(column.w)
        exact = Exact(x[used], column.problem.y[used], lam)
        true, beta = square_norm(exact.gradient(w)), Fraction(column.account.beta)
        far = column.account.beta > _NEAR * lam * column.problem.n
        minimiser = exact.minimiser(train(column.problem, tol=1e-9).w if far else column.w)
        total += square_norm(w - minimiser)
        found.residuals.append(_over(true, beta))
        if not true <= beta**2:
            found.wrong.append(f"column {k}: ||grad|| is {sqrt(true)!r}, its bound {float(beta)!r}")
        if not square_norm(minimiser) <= Fraction(radius(lam)) ** 2:
            found.wrong.append(
                f"column {k}: ||w*|| is {sqrt(square_norm(minimiser))!r}, above {radius(lam)!r}"
            )
    counts = [column.problem.n for column in columns]
    bound = sensitivity([column.account.beta for column in columns], lam, counts)
    found.distances.append(_over(total, Fraction(bound)))
    if not total <= Fraction(bound) ** 2 <= Fraction(planned) ** 2:
        found.wrong.append(f"||w~ - w*|| is {sqrt(total)!r}, its bound {bound!r}, planned were {planned!r}")
    return found


def _over(square: Fraction, bound: Fraction) -> float:
    return sqrt(square / bound**2) if bound else (inf if square else 0.0)


def check(problem: Problem, every: bool = True) -> Found:
    """Serve a problem with noise at release; compare the models inside: all, or the first and last."""
    found = Found()
    try:
        model = CertifiedLogisticRegression(**problem.settings).fit(problem.x, problem.y)
    except InvalidValue as error:
        if error.name not in TOO_SMALL:
            found.wrong.append(f"fit: {error}")
        return found
    x = fixed_rows(model._engine_.predictor.x)
    planned = model.certificate_.guarantee.sensitivity
    found.add(compare(model._engine_.columns, x, planned))
    requests = problem.possible()
    for rows in requests:
        if model.remove(rows).outcome == "removed" and (every or rows is requests[-1]):
            found.add(compare(model._engine_.columns, x, planned))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Check the problems, print a line for each structure, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m experiments.truth.sensitivity", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="how many problems (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the problems (default 0)")
    asked = parser.parse_args(arguments)
    logging.getLogger("expunge").setLevel(
        logging.ERROR
    )  # not of trainings that stop where rounding makes them
    every = {name: Found() for name in STRUCTURES}
    for number in tqdm(range(asked.count), unit="problem", disable=None):
        problem = of_release(number, asked.seed)
        found = check(problem)
        every[problem.structure].add(found)
        for line in found.wrong:
            sys.stderr.write(f"problem {number} (seed {asked.seed}): {line}\n")
    sys.stdout.write(as_table(every))
    return int(any(found.wrong for found in every.values()))


def as_table(every: dict[str, Found]) -> str:
    """A row for each structure, and all together."""
    together = Found()
    lines = ["| rows | models | wrong | distance / bound | residual / bound |", "|---|---|---|---|---|"]
    for found in every.values():
        together.add(found)
    for name, found in {**every, "all": together}.items():
        most = (f"{max(ratios, default=0):.5f}" for ratios in (found.distances, found.residuals))
        cells = (name, found.models, len(found.wrong), *most)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
