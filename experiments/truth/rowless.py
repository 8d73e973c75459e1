"""``python -m experiments.truth.rowless``: bounds that are carried without the rows, against the truth.

Every bound of 100,000 requests, most of them chosen to break it, is compared with the gradient over the rows
that stay, at the model inside, in 64-bit mantissas. See README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from tqdm import tqdm

from experiments.truth.__main__ import PAGE
from experiments.truth.check import TOO_SMALL, WIDE, columns_of, residual, rows_of, signs_of
from experiments.truth.rowless_cases import KINDS, ORDERS, Case, Floats, Ints, View, draw
from expunge.core.errors import BrokenInvariant, UserError
from expunge.linear.brought import Brought
from expunge.linear.rows import Rows
from expunge.linear.rows_away import RowsAway, RowsOutOfReach
from expunge.predictors.linear import LinearModel
from expunge.unlearners.base import Outcome
from expunge.unlearners.newton import Newton

BEGIN, END = "<!-- rowless -->", "<!-- end of rowless -->"
UPDATE = "rowless"
REQUESTS = 100_000
TRIED = 5  # requests that ``closest`` tries out, to make the one whose bound is nearest to the truth
DEEP = 100  # requests since the last pass from which a bound has been carried for long
_HEADS = f"cases|requests|rows left|passes|untrained|violations|least|median|median from {DEEP} on"


@dataclass
class Found:
    """What the requests of some cases came to.

    Attributes:
        cases: How many. untrained: Those whose noise would have been below what float64 holds.
        rows: How many left. passes: Over the rows, to measure.
        after_pass: Bound over true residual of every model that was measured.
        carried: The same of every model whose bound was carried.
        depth: How many requests ago each of those was measured.
        wrong: What does not hold, in words.
    """

    cases: int = 1
    untrained: int = 0
    rows: int = 0
    passes: int = 0
    after_pass: list[float] = field(default_factory=list)
    carried: list[float] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Models that were compared."""
        return len(self.after_pass) + len(self.carried)

    def add(self, other: Found) -> None:
        """Count another's too."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def engine_of(case: Case, update: str = UPDATE) -> Newton:
    """The untrained engine of a case."""
    model = LinearModel(std=0.0, **case.model)
    how = {"perturbation": "release", "certificate": "measured", "noise": "float", "update": update}
    return Newton(model, **how, **case.newton)


def follow(case: Case, update: str = UPDATE, away: bool = False) -> Found:
    """Train, serve requests until one row is left or there were enough, and compare every bound.

    With ``away`` the rows are out of reach after training: requests bring theirs along, as long as none needs
    a pass.
    """
    found, engine = Found(), engine_of(case, update)
    rows = Rows.as_given(case.x) if case.kind == "tiny" else Rows.normalised(case.x)
    try:
        engine.fit(rows, case.y, seed=7)
    except UserError as error:
        found.untrained += 1
        if getattr(error, "name", None) not in TOO_SMALL:
            found.wrong.append(f"fit: {error}")
        return found
    follower = Follower(case, engine, rows, found)
    follower.look("fit", passed=True)
    if away:
        follower.send_away(update)
    for number in range(case.most):
        if number in case.loads and not away:
            follower.reload(update)
        if len(follower.view.stay) < 3 or not follower.ask():
            break
    return found


class Follower:
    """Its own account of a case: rows in long doubles, which of them stay, and what the engine has said."""

    def __init__(self, case: Case, engine: Newton, rows: Rows, found: Found) -> None:
        self.case, self.engine, self.given, self.found = case, engine, rows, found
        self.rows, self.signs = rows_of(case.x, case.kind != "tiny"), signs_of(case.y)
        self.used = np.stack([column.problem.rows.scale != 0 for column in engine.columns], axis=1)
        self.kept = np.ones(len(case.y), dtype=bool)
        self.depth = self.passes = 0
        self.away = False
        x, w = rows.dense(), self.inside(engine)
        slopes = 1 / (2 + 2 * np.cosh(np.clip(x @ w[:, 0], -700, 700)))
        ridge = max(case.model["lam"] * len(x), 1e-9)
        inverse = np.linalg.inv((x.T * slopes) @ x + ridge * np.eye(x.shape[1]))
        stay = np.arange(len(x))
        self.view = View(x, self.signs, case.y, self.used, stay, w, w, None, inverse)

    @staticmethod
    def inside(engine: Newton) -> Floats:
        """The weights that releases are drawn around, (d, K)."""
        return np.stack([column.w for column in engine.columns], axis=1)

    def ask(self) -> bool:
        """Make the next request; whether there may be another."""
        index = self.view.chosen(self.case)
        if self.case.order == "closest":
            index = self._closest(index)
        stay = self.kept.copy()
        stay[index] = False
        before, released = self.inside(self.engine), self.engine.released
        brought = Brought(self.given.dense(index), self.case.y[index]) if self.away else None
        try:
            outcome = self.engine.remove(index.tolist(), brought)
        except RowsOutOfReach:
            same = np.array_equal(before, self.inside(self.engine)) and released == self.engine.released
            if not (self.away and same):
                self.found.wrong.append("rows were asked for that are there, or something has changed")
            return False
        except (UserError, BrokenInvariant) as error:
            self.found.wrong.append(f"remove({index.tolist()}): {error}")
            return False
        if len(np.unique(self.case.y[stay])) < 2:
            if outcome.outcome != "refused" or not np.array_equal(before, self.inside(self.engine)):
                self.found.wrong.append(f"{outcome.outcome}, though one class would be left")
            return False
        if outcome.outcome != "removed":
            self.found.wrong.append(f"{outcome.outcome}: {outcome.reason}")
            return False
        self.kept = stay
        self.found.rows += len(index)
        made = self._made(outcome)
        self.view = replace(self.view, stay=np.flatnonzero(stay), last=int(index[-1]))
        self.look(f"request {self.found.requests}", passed=made)
        return True

    def look(self, what: str, passed: bool) -> None:
        """Compare the bounds, of each column and of all, with the gradient over the rows that stay."""
        engine, found = self.engine, self.found
        w, account = self.inside(engine), engine.account
        own = columns_of(self.case.y, self.kept)
        if w.shape[1] != len(own):
            found.wrong.append(f"{what}: {w.shape[1]} columns for {len(own)}")
            return
        self.depth = 0 if passed else self.depth + 1
        self.view = replace(
            self.view, w=w, signs=self.signs[:, own], used=self.used[:, own], start=self._start(w, passed)
        )
        true = self._true(w, own)
        bounds = [column.account.beta for column in engine.columns]
        for k, (one, bound) in enumerate(zip(true, bounds, strict=True)):
            if not one <= bound:
                found.wrong.append(f"{what}: column {k}: residual {one!r} above its bound {bound!r}")
        together = float(np.hypot.reduce(true))
        if not together <= account.beta <= account.budget:
            found.wrong.append(f"{what}: residual {together!r}, bound {account.beta!r} of {account.budget!r}")
        ratio = account.beta / max(together, 1e-300)
        if passed:
            found.after_pass.append(ratio)
        else:
            found.carried.append(ratio)
            found.depth.append(self.depth)

    def send_away(self, update: str) -> None:
        """Go on with what a saved model is loaded as where there are no rows."""
        state, engine = self.engine.state(), engine_of(self.case, update)
        engine.load_state(state, RowsAway(*self.given.raw.shape, len(self.given)), None)
        self.engine, self.away = engine, True
        self.look("load without rows", passed=True)

    def reload(self, update: str) -> None:
        """Go on with what a saved model is loaded as, from the rows and labels of the fit."""
        state, engine = self.engine.state(), engine_of(self.case, update)
        engine.load_state(state, self.given, self.case.y)
        self.engine = engine
        self.look("load", passed=True)

    def _made(self, outcome: Outcome) -> bool:
        """Whether this request took a pass over the rows; all others of the engine's updates do."""
        passes = int(outcome.figures.get("passes", self.passes + 1))
        made, self.passes = passes - self.passes, passes
        self.found.passes += made
        if made < 0:
            self.found.wrong.append(f"{passes} passes, of which {passes - made} had been made before")
        return made > 0

    def _start(self, w: Floats, passed: bool) -> Floats:
        return w if passed or self.view.start.shape != w.shape else self.view.start

    def _true(self, w: Floats, own: Ints) -> list[float]:
        """Norm of the gradient of each column."""
        lam, none = self.case.model["lam"], np.zeros((len(w), 1))
        return [
            residual(
                self.rows, self.signs[:, [k]], (self.used & self.kept[:, None])[:, [k]], lam, w[:, [j]], none
            )
            for j, k in enumerate(own)
        ]

    def _closest(self, first: Ints) -> Ints:
        """Of a few requests the one that leaves the least between truth and bound."""
        if self.away:
            return first
        tries = [first, *(self.view.chosen(self.case) for _ in range(TRIED - 1))]
        ratios = []
        for index in tries:
            trial = deepcopy(self.engine)
            try:
                served = trial.remove(index.tolist()).outcome == "removed"
            except (UserError, BrokenInvariant):
                served = False
            if not served:
                return index  # and let the engine itself do it
            kept, self.kept = self.kept, self.kept.copy()
            self.kept[index] = False
            true = np.hypot.reduce(self._true(self.inside(trial), columns_of(self.case.y, self.kept)))
            self.kept = kept
            ratios.append(trial.account.beta / max(true, 1e-300))
        return tries[int(np.argmin(ratios))]


def table(by: str, every: dict[str, Found], names: tuple[str, ...]) -> list[str]:
    """A row for each name, in Markdown."""
    lines = [f"| {by} | " + " | ".join(_HEADS.split("|")) + " |", "|" + "---|" * (2 + _HEADS.count("|"))]
    for name in (*names, "all"):
        if name in every:
            lines.append("| " + " | ".join([name, *_cells(every[name])]) + " |")
    return [*lines, ""]


def _cells(found: Found) -> list[str]:
    counts = (found.cases, found.requests, found.rows, found.passes, found.untrained, len(found.wrong))
    carried, depth = np.array(found.carried), np.array(found.depth)
    deep = carried[depth >= DEEP]
    least = [f"{np.min(carried):.6f}" if carried.size else "-"]
    medians = [f"{np.median(one):.3g}" if one.size else "-" for one in (carried, deep)]
    return [*map(str, counts), *least, *medians]


def main(arguments: list[str] | None = None) -> int:
    """Serve the requests, print the tables, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m experiments.truth.rowless", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"at least so many ({REQUESTS})")
    parser.add_argument("--seed", type=int, default=0, help="of the cases (default 0)")
    parser.add_argument("--only", type=int, help="the case of this number alone")
    parser.add_argument("--largest", type=int, default=3000, help="rows of a case at most (default 3000)")
    parser.add_argument("--away", action="store_true", help="without the rows: requests bring theirs along")
    parser.add_argument("--write", action="store_true", help="replace the results in README.md")
    asked = parser.parse_args(arguments)
    if not WIDE:
        sys.stderr.write("this machine's long double has no mantissa of 64 bits: nothing to compare with\n")
        return 1
    kinds, orders = defaultdict(lambda: Found(0)), defaultdict(lambda: Found(0))
    with tqdm(total=asked.requests, unit="request", disable=None) as bar:
        for number in count() if asked.only is None else [asked.only]:
            case = draw(number, asked.seed, asked.largest)
            found = follow(case, away=asked.away)
            for line in found.wrong:
                sys.stderr.write(f"case {number} (seed {asked.seed}): {line}\n")
            for of in (kinds[case.kind], kinds["all"], orders[case.order], orders["all"]):
                of.add(found)
            bar.update(found.requests)
            if kinds["all"].requests >= asked.requests:
                break
    lines = [*table("rows", kinds, tuple(KINDS)), *table("order", orders, ORDERS)]
    text = "\n".join([*lines, f"Seed {asked.seed}, numpy {np.__version__}.", ""])
    sys.stdout.write(text)
    if asked.write:
        before, after = PAGE.read_text().split(BEGIN)[0], PAGE.read_text().split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
    return int(bool(kinds["all"].wrong))


if __name__ == "__main__":
    sys.exit(main())
