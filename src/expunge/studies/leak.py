"""What an observer of a released model learns of whether it was updated or trained again: delta, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from expunge.certificate import Guarantee
from expunge.certificate.empirical import CONFIDENCE, Curve, Needed, Seen, delta_needed
from expunge.certificate.guarantee import gaussian_profile
from expunge.core import text
from expunge.core.checks import LARGEST, require_count, require_positive, require_seed
from expunge.core.errors import InvalidValue
from expunge.core.seeds import stream
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rows import Array
from expunge.studies import leak_laws
from expunge.studies.leak_worlds import Published, Released, Small, ask_published, ask_released

_HOW: dict[str, dict[str, Any]] = {
    "published": {"certificate": "data_dependent", "update": "fresh"},
    "corrected": {"certificate": "measured", "update": "corrected"},
}
TITLES = {
    "retrain": "published, retrains at the limit: would it have?",
    "refuse": "published, refuses at the limit: would it have?",
    "corrected": "published, corrected updates: would it have retrained?",
    "constant": "published, residual at the budget: constant",
    "rounded": "published, residual at the budget: b - round(b)",
    "away": "published, residual at the budget: -sign(b)",
    "replay": "noise at release: would the published have retrained?",
    "one": "noise at release: likelihood ratio of a release",
    "all": "noise at release: likelihood ratio of all releases",
    "edge": "noise at release, w~ at the edge: likelihood ratio of all",
}
LAWS = ("constant", "rounded", "away")
RELEASE = ("replay", "one", "all", "edge")
_SINGLE = ("replay", "one")  # of them, what looks at one release alone
_BLOCK = 500
_AT, _STEPS = 10, 20  # of the curves: where the claimed epsilon is, and where they end, twice as far


class Leak:
    """Paired draws of a model after a removal and of one trained without the row, and attacks on them.

    On a small problem the published mechanism, with b in the objective, is replayed with the b that a model
    gives away: would it have retrained, or refused? Noise at release is asked the same, and the best question
    there is: the likelihood ratio with the internal model known, of one release and of all. Beside them what
    a bound on the residual alone does not exclude, exactly (``leak_laws``).

    Args:
        n: Rows.
        dim: Features.
        problem: Seed of the rows and labels.
        lam: Regularisation per example.
        std: Standard deviation of b, and of the noise at release.
        epsilon: Claimed.
        delta: Claimed.
        releases: Models that one observer of the noise at release sees: after training, and after each of the
            removals of the first rows, one by one.
        draws: Pairs, for each mechanism.

    Raises:
        InvalidValue: A value is not allowed.
    """

    name = "leak"

    def __init__(
        self,
        n: int = 40,
        dim: int = 2,
        problem: int = 14,
        lam: float = 5e-3,
        std: float = 3.0,
        epsilon: float = 1.0,
        delta: float = 1e-4,
        releases: int = 4,
        draws: int = 10_000,
    ) -> None:
        self.lam = require_positive("lam", lam, most=LARGEST)
        self.std = require_positive("std", std, most=LARGEST)
        require_count("n", n, least=2)
        self.releases = require_count("releases", releases, least=2, most=n - 1)
        self.draws = require_count("draws", draws)
        drawn = n, require_count("dim", dim), require_seed("problem", problem)
        self.small = Small.drawn(*drawn)
        if len(np.unique(self.small.y[self.releases - 1 :])) < 2:
            raise InvalidValue("problem", problem, "a seed with rows of both classes left after all removals")
        self.guarantee = Guarantee(epsilon, delta, self.std, dim)
        self.claim: dict[str, Any] = {"epsilon": self.guarantee.epsilon, "delta": self.guarantee.delta}
        self.epsilons = self.guarantee.epsilon * np.arange(_STEPS + 1) / _AT

    def cells(self) -> list[dict[str, Any]]:
        """Blocks of draws of each mechanism, and the laws."""
        blocks = range(-(-self.draws // _BLOCK))
        drawn = [{"mechanism": name, "block": block} for name in (*_HOW, "release") for block in blocks]
        return [*drawn, {"mechanism": "laws", "block": 0}]

    @one_blas_thread()
    def run_cell(self, cell: dict[str, Any], seed: int) -> dict[str, Any]:
        """Draw a block of pairs of one mechanism.

        Returns:
            ``seen``: for each attack its events as [seen, out of, seen in retraining, out of], numbers or
            lists over the curve's epsilons. Of ``release`` also ``ratio``, sensitivity over std of a release.
            Of ``laws`` the fields of ``leak_laws.Law`` for each.
        """
        mechanism, block = cell["mechanism"], cell["block"]
        if mechanism == "laws":
            return {"laws": self._laws()}
        draws = min(_BLOCK, self.draws - block * _BLOCK)
        rng = stream(seed, "study", [*_HOW, "release"].index(mechanism), block)
        common = self.small, self.lam, self.std, self.claim
        if mechanism in _HOW:
            seen = ask_published(Published(*common, _HOW[mechanism], rng), draws)
            seen = seen if mechanism == "published" else {"corrected": seen["retrain"]}
            return {"seen": _plain(seen)}
        world = Released(*common, self.releases, rng)
        seen = ask_released(world, Published(*common, _HOW["published"], rng), draws, self.epsilons)
        return {"ratio": world.method.guarantee.ratio, "seen": _plain(seen)}

    def _laws(self) -> dict[str, Any]:
        shift = self.guarantee.budget / self.std
        laws = {
            "constant": leak_laws.constant(self.epsilons, self.guarantee.epsilon, shift),
            "rounded": leak_laws.rounded(self.epsilons),
            "away": leak_laws.away(self.epsilons, shift),
        }
        return {name: {**vars(law), "delta": law.delta.tolist()} for name, law in laws.items()}

    def table(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A row for each attack, at the claimed epsilon."""
        rows = []
        for name, own in self.summary(records)["attacks"].items():
            limits = None if name in LAWS else f"{text.number(own['low'])} to {text.number(own['high'])}"
            rows.append(
                {
                    "mechanism: attack": TITLES[name],
                    "P(event), removed": own["removed"],
                    "P(event), retrained": own["retrained"],
                    "delta needed": own["delta_needed"],
                    "99% limits": limits,
                    "claimed": own["claimed"],
                    "verdict": _verdict(name, own),
                }
            )
        return rows

    def summary(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Each attack at the claimed epsilon.

        Returns:
            ``epsilon``, ``delta``, ``draws``, ``releases``, ``confidence``; ``attacks``: for each ``removed``
            and ``retrained``, P(event) in either world (of a likelihood ratio: that it is above e^epsilon);
            ``delta_needed`` with the limits ``low`` and ``high`` (of a law all three are exact), ``claimed``;
            ``excess``, by how much ``low`` is above what is claimed at any epsilon of the curve.
        """
        attacks = {
            name: {
                "removed": curve.removed,
                "retrained": curve.retrained,
                "delta_needed": float(curve.needed.estimate[_AT]),
                "low": float(curve.needed.low[_AT]),
                "high": float(curve.needed.high[_AT]),
                "claimed": float(curve.claimed[_AT]),
                "excess": float((curve.needed.low - curve.claimed).max()),
            }
            for name, curve in self.curves(records).items()
        }
        shown = {**self.claim, "draws": self.draws, "releases": self.releases, "confidence": CONFIDENCE}
        return {**shown, "attacks": attacks}

    def figures(self, records: list[dict[str, Any]], folder: Path) -> None:
        """Write ``leak.png`` and ``.svg``."""
        from expunge.studies.leak_figure import draw

        draw(self.curves(records), self.epsilons, self.claim, self.draws).save(folder)

    def curves(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
        """Attack -> what all its records come to, in the order of ``TITLES``.

        Raises:
            InvalidValue: ``std`` is so small that no removal was served.
        """
        parts: dict[str, list[Any]] = {}
        found: dict[str, Curve] = {}
        for record in records:
            for name, events in record.get("seen", {}).items():
                parts.setdefault(name, []).append(events)
            for name, law in record.get("laws", {}).items():
                delta = np.array(law["delta"])
                needed = Needed(delta, delta, delta)
                found[name] = Curve(needed, self._published(), law["removed"], law["retrained"])
        (ratio,) = {record["ratio"] for record in records if "ratio" in record}
        for name, blocks in parts.items():
            ours = name in RELEASE
            shift = ratio * (1 if name in _SINGLE else sqrt(self.releases))
            claimed = [gaussian_profile(epsilon, shift) for epsilon in self.epsilons]
            found[name] = self._seen(blocks, np.array(claimed) if ours else self._published())
        return {name: found[name] for name in TITLES}

    def _published(self) -> Array:
        """The delta that the published budget claims at each epsilon: ``budget = std epsilon / c(delta)``."""
        c = self.guarantee.c * self.epsilons / self.guarantee.epsilon
        return np.minimum(1.0, 1.5 * np.exp(-c * c / 2))

    def _seen(self, blocks: Sequence[Any], claimed: Array) -> Curve:
        counts = [
            [sum(map(np.asarray, part)) for part in zip(*event, strict=True)]
            for event in zip(*blocks, strict=True)
        ]
        events = [Seen(one, int(of), other, int(other_of)) for one, of, other, other_of in counts]
        if not all(event.first_draws for event in events):
            raise InvalidValue("study.std", self.std, "a larger value: no removal was served")
        shares = events[0].first / events[0].first_draws, events[0].second / events[0].second_draws
        at = [float(np.broadcast_to(share, self.epsilons.shape)[_AT]) for share in shares]
        return Curve(delta_needed(self.epsilons, events), claimed, *at)


def _plain(seen: Mapping[str, Sequence[Seen]]) -> dict[str, Any]:
    """Events as JSON values."""
    return {
        name: [[np.asarray(value).tolist() for value in vars(event).values()] for event in events]
        for name, events in seen.items()
    }


def _verdict(name: str, own: Mapping[str, float]) -> str:
    if own["low"] <= own["claimed"]:
        return "as claimed" if name in LAWS else "no more than claimed seen"
    least = text.number(own["low"])
    return f"not covered by a bound: {least}" if name in LAWS else f"does not hold: at least {least}"
