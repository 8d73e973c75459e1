"""Every certified method that a configuration offers, and the settings and data that it is audited with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from expunge.core.errors import InvalidValue
from expunge.run.declared import located

_NEEDED = ("model", "training", "unlearner", "threads", "progress", "device", "cache_dir")
_TWO, _THREE, _DIGITS, _IMAGES = "two", "three", "digits", "images"

# Of the published mechanism: settings with which its decision tells most. Where it retrains, that is where it
# does so once in ten times or so, for the event has probability p in one world and p^2 in the other; where it
# refuses, where it does so half of the time. With measured residuals it does neither, whatever the settings.
_RETRAIN: dict[str, dict[str, float]] = {
    "worst_case": {"lam": 0.2, "std": 3.45},
    "data_dependent": {"lam": 5e-3, "std": 2.0},
    "third_order": {"lam": 1e-3, "std": 0.55},
    "measured": {"lam": 2e-4, "std": 30.0},
}
_REFUSE: dict[str, dict[str, float]] = {
    "worst_case": {"lam": 0.2, "std": 3.0},
    "data_dependent": {"lam": 5e-3, "std": 10.0},
    "third_order": {"lam": 1e-3, "std": 10.0},
    "measured": {"lam": 2e-4, "std": 30.0},
}
_PURE_RETRAIN = {"data_dependent": 0.5, "third_order": 1.35, "measured": 1.0}
_PURE_REFUSE = {"data_dependent": 10.0, "third_order": 10.0, "measured": 10.0}
_UPDATES = ("fresh", "frozen", "corrected")
_PURE = {"perturbation": "pure_eps", "delta": 0.0}
_NETWORK = ("dataset=digits_3v8", "model=softmax", "device=cpu", "threads=1", "training.epochs=3")
_PLAIN = {"lam": 5e-3, "releases": 4}


@dataclass(frozen=True)
class Entry:
    """One method to be audited.

    Attributes:
        name: What it is called, and what ``--only`` takes.
        choice: The config group's choice that it is.
        settings: The parts of the configuration that an unlearner is built from, resolved.
        data: Name of the data, see ``expunge.audit.problems``.
        given: The settings that are not the choice's own.
    """

    name: str
    choice: str
    settings: dict[str, Any]
    data: str
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Of the pairs that are asked for, and of the time.

        Few are enough but where the published method retrains, and the event is rare in both worlds; those
        with the settings of its paper have the most.
        """
        if self.given.get("at_limit") != "retrain" or self.given.get("certificate") == "measured":
            return 0.25
        published = self.given["update"] == "fresh" and self.given["certificate"] == "data_dependent"
        return 2.0 if published and "perturbation" not in self.given else 1.0


def entries(folder: Path, only: list[str] | None = None) -> list[Entry]:
    """All certified choices of ``folder/unlearner``, each with the settings that matter.

    With ``only`` those alone whose name begins with one of these.

    Raises:
        InvalidValue: One is no beginning of any name.
    """
    choices = sorted(path.stem for path in (folder / "unlearner").glob("*.yaml"))
    if only is None:
        return _of_choices(folder, choices)
    asked = [choice for choice in choices if any(_may_begin(choice, name) for name in only)]
    found = _of_choices(folder, asked)
    for name in only:
        if not any(entry.name.startswith(name) for entry in found):
            allowed = ", ".join(dict.fromkeys(entry.choice for entry in _of_choices(folder, choices)))
            raise InvalidValue("--only", name, f"what a name in the table begins with: {allowed}")
    return [entry for entry in found if any(entry.name.startswith(name) for name in only)]


def _may_begin(choice: str, name: str) -> bool:
    return choice.startswith(name) or f"{choice}:".startswith(name.partition(":")[0] + ":")


def _of_choices(folder: Path, choices: list[str]) -> list[Entry]:
    found: list[Entry] = []
    with initialize_config_dir(version_base="1.3", config_dir=str(folder)):
        for choice in choices:
            config = compose("config", overrides=[f"unlearner={choice}", "dataset=digits_3v8"])
            if _is_for_networks(config):
                config = compose("config", overrides=[f"unlearner={choice}", *_NETWORK])
            if _is_certified(config):
                found += [_entry(choice, config, *one) for one in _variants(choice, config)]
    return found


def _is_for_networks(config: DictConfig) -> bool:
    path = config.unlearner.get("_target_")
    supports = () if path is None else getattr(located("unlearner", path), "supports", ())
    return "network" in supports and "logistic" not in supports


def _is_certified(config: DictConfig) -> bool:
    path = config.unlearner.get("_target_")
    return path is not None and getattr(located("unlearner", path), "role", None) == "certified"


_Variant = tuple[str, str, dict[str, Any]]  # what is said after the choice, data, settings


def _variants(choice: str, config: DictConfig) -> Iterator[_Variant]:
    """The choice as it is, on real digits, and by what its settings say that it is, on small problems."""
    how = config.unlearner
    if how.get("perturbation") == "release":
        yield from _releases()
    elif _is_for_networks(config):
        for noise in ("lattice", "float"):
            yield noise, _IMAGES, {"noise": noise}
    else:
        yield "", _DIGITS, {}
    if choice == "newton":
        yield from _published()


def _releases() -> Iterator[_Variant]:
    for noise in ("lattice", "float"):
        yield noise, _DIGITS, {"noise": noise}
        yield f"{noise}, small", _TWO, {"noise": noise, **_PLAIN}
        yield f"{noise}, std 1", _DIGITS, {"noise": noise, "std": 1.0}
        yield f"{noise}, three classes", _THREE, {"noise": noise, **_PLAIN}


def _published() -> Iterator[_Variant]:
    """Every update with every certificate and either policy; both laws of b; more than two classes."""
    policies = {"retrain": _RETRAIN, "refuse": _REFUSE}
    for update in _UPDATES:
        for certificate in _RETRAIN:
            for policy, where in policies.items():
                how = {"update": update, "certificate": certificate, "at_limit": policy}
                yield f"{update}, {certificate}, {policy}", _TWO, {**where[certificate], **how}
    for update, certificate in zip(_UPDATES, _PURE_RETRAIN, strict=True):
        for policy, stds in {"retrain": _PURE_RETRAIN, "refuse": _PURE_REFUSE}.items():
            how = {"update": update, "certificate": certificate, "at_limit": policy}
            given = {"lam": 1e-3, "std": stds[certificate], **how, **_PURE}
            yield f"pure_eps, {update}, {certificate}, {policy}", _TWO, given
    for update, certificate in (("fresh", "data_dependent"), ("corrected", "measured")):
        how = {"update": update, "certificate": certificate}
        yield f"{update}, {certificate}, three classes", _THREE, {**how, "lam": 5e-3, "std": 3.0}


def _entry(choice: str, config: DictConfig, said: str, data: str, given: dict[str, Any]) -> Entry:
    config = OmegaConf.masked_copy(config, list(_NEEDED))
    for key, value in given.items():
        OmegaConf.update(config, f"unlearner.{key}", value)
    settings = OmegaConf.to_container(config, resolve=True)
    assert isinstance(settings, dict)
    name = f"{choice}: {said}" if said else choice
    return Entry(name, choice, {str(k): v for k, v in settings.items()}, data, given)
