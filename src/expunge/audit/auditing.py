"""One method, audited: both worlds are drawn, every attack is judged, and a verdict is put into words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.audit.judging import Found, judged, strongest
from expunge.audit.noisy_world import NoisyWorld
from expunge.audit.published_world import PublishedWorld
from expunge.audit.released_world import ReleasedWorld
from expunge.audit.worlds import Data, Effort, Unknown, World
from expunge.certificate.empirical import CONFIDENCE, Needed
from expunge.core.errors import InvalidValue
from expunge.predictors.linear import LinearModel
from expunge.record.folders.findings import BELOW, KNOWN, NOTHING, REFUTED, UNTRIED
from expunge.unlearners.newton import Newton
from expunge.unlearners.noisy_finetune import NoisyFinetune


def world_of(method: Any, data: Data, rng: np.random.Generator) -> World:
    """The worlds of a method, by what kind of method it is."""
    if isinstance(method, NoisyFinetune):
        return NoisyWorld(method, data, rng)
    if not (isinstance(method, Newton) and isinstance(method.predictor, LinearModel)):
        return Unknown(method, data, rng)
    if method.predictor.subsample_ratio < 1:
        got = method.predictor.subsample_ratio
        allowed = "1 in an audit: which rows a class uses is drawn with every training, and unknown to it"
        raise InvalidValue("subsample_ratio", got, allowed)
    if method.predictor.weighted:
        allowed = "none in an audit, whose own exact retraining lets all rows count alike"
        raise InvalidValue("weights", "weights of classes or rows", allowed)
    return ReleasedWorld(method, data, rng) if method.keeps_secret else PublishedWorld(method, data, rng)


@dataclass(frozen=True)
class Audited:
    """What an audit of one method found."""

    world: World
    found: tuple[Found, ...]
    attacks: int
    seconds: float

    @property
    def best(self) -> Found | None:
        """The attack that found most."""
        return strongest(self.found)

    @property
    def verdict(self) -> str:
        """One of ``VERDICTS``."""
        if self.best is None:
            return UNTRIED
        epsilon, excused = self.world.claimed[0], self.world.excused
        over = [one for one in self.found if float(one.epsilon.low) > epsilon]
        claim = self.world.claim
        if not claim.holds:
            return KNOWN if over else NOTHING
        if any(one.attack not in excused for one in over):
            return REFUTED
        return KNOWN if over else BELOW

    def record(self, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All of it, as JSON has it; infinity is null."""
        world, best, claim = self.world, self.best, self.world.claim
        epsilon, delta = world.claimed
        return {
            "name": name,
            "data": world.data.name,
            "claim": claim.guarantee,
            "not_covered": claim.not_covered,
            "holds": claim.holds and not world.excused,
            "epsilon": epsilon,
            "delta": delta,
            "releases": world.releases,
            "confidence": CONFIDENCE,
            "attacks_tried": self.attacks,
            "pairs": world.drawn,
            "noise_pairs": world.bulk,
            "outcomes": dict(world.outcomes),
            "audited": None if best is None else _limits(best.epsilon),
            "delta_needed": None if best is None else _largest([one.delta for one in self.found]),
            "by": None if best is None else best.attack,
            "verdict": self.verdict,
            "attacks": [_attack(one) for one in self.found],
            "not_tried": world.not_tried,
            "unlearner": dict(settings),
            "seconds": round(self.seconds, 3),
        }


def audit(method: Any, data: Data, effort: Effort, seed: int) -> Audited:
    """Draw both worlds of ``method`` on ``data`` and judge every attack.

    ``method`` is any certified unlearner, not yet fitted; ``seed`` is of all that the audit draws itself, and
    of the seeds that it gives to a method whose noise comes from one.

    Raises:
        UserError: The method cannot work on these data, or makes no claim in numbers.
        BrokenInvariant: It does not do what it is there for.
    """
    begun = time.perf_counter()
    world = world_of(method, data, np.random.default_rng(seed))
    scores = world.scores(effort)
    found = judged(scores, *world.claimed)
    return Audited(world, found, len(scores), time.perf_counter() - begun)


def _limits(needed: Needed) -> dict[str, float | None]:
    values = {key: float(getattr(needed, key)) for key in ("estimate", "low", "high")}
    return {key: value if np.isfinite(value) else None for key, value in values.items()}


def _largest(needed: list[Needed]) -> dict[str, float | None]:
    return {key: max(float(getattr(one, key)) for one in needed) for key in ("estimate", "low", "high")}


def _attack(one: Found) -> dict[str, Any]:
    sides = {"removed": one.removed, "retrained": one.retrained}
    counts = {"removed": (one.seen.first, one.seen.first_draws)}
    counts["retrained"] = (one.seen.second, one.seen.second_draws)
    return {
        "attack": one.attack,
        "event": one.event,
        **{
            world: {
                "seen": int(counts[world][0]),
                "out_of": counts[world][1],
                **dict(zip(("estimate", "low", "high"), sides[world], strict=True)),
            }
            for world in sides
        },
        "epsilon": _limits(one.epsilon),
        "delta": _limits(one.delta),
    }
