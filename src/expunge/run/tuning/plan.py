"""What the group ``tuning`` asks for, and of which methods."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from expunge.core.checks import require_choice, require_count, require_probability, require_seed
from expunge.core.errors import InvalidValue, UserError

GROUP = "tuning"
TRIAL, CHOSEN = "trial", "chosen"
"""Keys of the group that a trial has, and a run whose settings have been chosen."""
RULES = ("tow",)
_UNTUNED = {"rule": None}


@dataclass(frozen=True)
class Plan:
    """How settings are chosen.

    Attributes:
        rule: One of ``RULES``.
        trials: For every method, the settings of its YAML the first.
        originals: Networks that each trial is tried on.
        seed: Of held-out rows and sample, and of the first network and its requests. The model that trials
            are measured against is retrained with the next one; further networks have two seeds more each.
        validation: Share of the training rows that is held out.
    """

    rule: str
    trials: int
    originals: int
    seed: int
    validation: float

    @classmethod
    def of(cls, settings: Any) -> Plan:
        """Return what the group's settings say; a trial's are of one, on one network.

        Raises:
            InvalidValue: A value is not allowed.
            UserError: A key is missing, or unknown.
        """
        known = tuple(cls.__dataclass_fields__)
        given = dict(settings)
        if given.pop(TRIAL, None) is not None:
            given |= {"trials": 1, "originals": 1}
        if {*given} != {*known}:
            raise UserError(
                f"{GROUP}: got the keys {', '.join(map(str, given))}, allowed: {', '.join(known)}"
            )
        return cls(
            require_choice(f"{GROUP}.rule", given["rule"], RULES),
            require_count(f"{GROUP}.trials", given["trials"], most=10_000),
            require_count(f"{GROUP}.originals", given["originals"], most=1_000),
            require_seed(f"{GROUP}.seed", given["seed"]),
            require_probability(f"{GROUP}.validation", given["validation"]),
        )

    @property
    def seeds(self) -> list[tuple[int, int]]:
        """Of each network that trials are tried on: its own, and that of the retrained model beside it."""
        return [(self.seed + 2 * k, self.seed + 2 * k + 1) for k in range(self.originals)]

    @property
    def sentence(self) -> str:
        """The rule, in words."""
        mean, against = "ToW", f"one model retrained with seed {self.seed + 1}"
        if self.originals > 1:
            mean = f"mean ToW of {self.originals} networks"
            against = "each against one model retrained with the seed after its own"
        return (
            f"of {self.trials} settings, those of the YAML and {self.trials - 1} of the search space, the "
            f"earliest with the highest {mean} on the removed, the retained and the held-out rows, "
            f"{against}; held out are {self.validation:g} of the training rows, drawn by seed {self.seed}"
        )


def drop_untuned(config: DictConfig) -> None:
    """Take the group out of a configuration that tunes nothing: it is what it would be without the group.

    ``config`` must be open to it.
    """
    if config.get(GROUP) is not None and OmegaConf.to_container(config[GROUP], resolve=False) == _UNTUNED:
        config.pop(GROUP)


def plan_of(config: DictConfig) -> Plan | None:
    """Return what is to be tuned before a run; None where nothing is, or it has been.

    Raises:
        UserError: A key is missing, unknown, or has a value that is not allowed.
    """
    settings = config.get(GROUP)
    if settings is None:
        return None
    plain = OmegaConf.to_container(settings, resolve=True) if OmegaConf.is_config(settings) else settings
    if not isinstance(plain, Mapping):
        raise InvalidValue(GROUP, plain, "none or equal")
    if TRIAL in plain or CHOSEN in plain:
        return None
    if config.get("study") is not None:
        raise InvalidValue(GROUP, "equal", "none for a study, which has no unlearner")
    plan = Plan.of(plain)
    last = plan.seeds[-1][1]
    if config.get("seed") in range(plan.seed, last + 1):
        allowed = "seeds that no run has: settings must not be chosen by what they are then judged by"
        seeds = f"{plan.seed} ({'and' if plan.originals == 1 else 'to'} {last}) beside seed={config.seed}"
        raise InvalidValue(f"{GROUP}.seed", seeds, allowed)
    return plan


def space_of(
    method: Any, choice: str, of_the_model: Collection[str], typed: Collection[str]
) -> dict[str, Any]:
    """Return what of a method is to be tuned: setting -> ``Range`` or values. Empty: it runs as it is.

    Args:
        method: The class.
        choice: What its group calls it.
        of_the_model: Settings that are the model's, whoever is given them.
        typed: Dotted keys that the command line gives.

    Raises:
        InvalidValue: It does not say what is to be tuned, or names what must not be.
    """
    from expunge.unlearners import Method

    kinds = [kind for kind in getattr(method, "__mro__", (method,)) if kind is not Method]
    own = str(getattr(method, "__module__", "")).startswith("expunge.")
    role = getattr(method, "role", "heuristic")
    if not own and role == "heuristic" and not any("search_space" in vars(kind) for kind in kinds):
        allowed = "a method that declares its search_space ({} for none), or tuning=none"
        raise InvalidValue("unlearner", f"{choice} with tuning=equal", allowed)
    fixed = getattr(method, "exact", False) or (own and role == "certified")  # noisy_finetune has a space
    space = {} if fixed else dict(getattr(method, "search_space", {}))
    if space and role == "certified":
        allowed = "tuning=none: the settings of a certified method carry its guarantee, and stay as they are"
        raise InvalidValue("unlearner", f"{choice}, with {', '.join(space)} to be tuned", allowed)
    if others := [key for key in space if key in of_the_model]:
        allowed = "settings of the removal: those of the model change what it is measured against"
        raise InvalidValue("unlearner", f"{choice}, with {', '.join(others)} to be tuned", allowed)
    if given := [key for key in space if f"unlearner.{key}" in typed]:
        allowed = "nothing beside tuning=equal, which chooses it (tuning=none keeps what is given)"
        raise InvalidValue(f"unlearner.{given[0]}", "a value", allowed)
    return space
