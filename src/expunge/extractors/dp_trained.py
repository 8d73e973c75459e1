"""What extractors share whose layers are trained with differential privacy and not updated on a removal."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from expunge.certificate.composition import Upstream
from expunge.core.checks import (
    LARGEST,
    LARGEST_SINGLE,
    require_choice,
    require_count,
    require_positive,
    require_probability,
    require_seed,
)
from expunge.core.columns import Column, Plot
from expunge.core.cores import available_cores
from expunge.core.errors import BrokenInvariant, InvalidValue, UserError
from expunge.core.signatures import every_setting
from expunge.core.versions import version_of
from expunge.datasets import Dataset
from expunge.extractors.accounting import ACCOUNTANTS, Accounting
from expunge.extractors.dp_recipe import DpRecipe
from expunge.extractors.features import extracted
from expunge.extractors.labelled import Labelled
from expunge.extractors.private import Network, accuracy, train
from expunge.extractors.scaling import SCALINGS, cost
from expunge.linear.operations import RowOperations
from expunge.training.cache import Cache
from expunge.training.compute import device_named, torch_threads
from expunge.training.history import Trained

log = logging.getLogger(__name__)

_NOT_COVERED = {
    "private": (
        "extractor mode=private is as published and no guarantee: the head learns from raw gradients, which "
        "carry a row into every other row's gradient"
    ),
    "none": "the extractor was trained on the rows to be removed without differential privacy",
}


OWN_HEAD = {
    "extractor_test_accuracy": Column(
        "own head",
        "↑",
        "share of test rows that the network behind the features classifies correctly with its own last "
        "layer; removals do not change it",
        "accuracy",
        sub="end to end",
        plot=Plot("extractors", "features", "own head, end to end"),
    )
}


class Layers(Protocol):
    """What is trained."""

    __dataclass_fields__: ClassVar[dict[str, Any]]  # which are JSON values

    def build(self, shape: tuple[int, ...], classes: int, seed: int) -> tuple[nn.Sequential, nn.Linear, int]:
        """Return extractor (m, *shape) -> (m, dim), head (m, dim) -> (m, classes), and dim."""


class DpTrained:
    """Layers trained on the training rows; what their head would get are the features.

    With ``mode=full_private`` the training is (epsilon, delta)-differentially private, and leaving the head
    away afterwards costs nothing. Source: Guo et al., ICML 2020, sections 3.4 and 4.3. A subclass says which
    layers they are, ``architecture``, and what they get, ``labelled``.

    Args:
        mode, optimizer, lr, momentum, epochs, batch_size, max_batches, clip, sampling: As in ``DpRecipe``;
            epsilon is that of the steps taken.
        noise_multiplier: Standard deviation of the noise, in clips; None where ``target_epsilon`` is given.
        target_epsilon: Choose the noise for this epsilon.
        delta: Of the guarantee.
        accountant: As in ``Accounting``.
        scaling: Of the features: one of ``extractors.scaling.SCALINGS``.
        seed: Of the weights, the batches and the noise; to be kept secret.
        network: Whether the model is a network, which takes images and no features.
        device: ``cpu``, ``cuda``, or ``auto``.
        cache: Folder of trained extractors and of features; None keeps neither.
        progress: Show bars (on a terminal only).
        threads: Of torch on the CPU (None: every core). The last digits depend on it.
        constant: As in ``extractors.scaling.scaled``.

    Raises:
        InvalidValue: A value is not allowed; the message names the key.
        UserError: ``network`` is true.
    """

    name: str
    architecture: Layers

    COLUMNS = OWN_HEAD

    def __init__(
        self,
        mode: str = "full_private",
        optimizer: str = "adam",
        lr: float = 1e-3,
        momentum: float = 0.9,
        epochs: int = 20,
        batch_size: int = 500,
        max_batches: int | None = None,
        clip: float = 4.0,
        noise_multiplier: float | None = 6.0,
        target_epsilon: float | None = None,
        delta: float = 1e-5,
        accountant: str = "rdp",
        sampling: str = "poisson",
        scaling: str = "row",
        seed: int = 0,
        network: bool = False,
        device: str = "auto",
        cache: Path | None = None,
        progress: bool = True,
        threads: int | None = None,
        constant: float = 0.0,
    ) -> None:
        if network:  # no InvalidValue: its name would get the group's in front
            raise UserError(f"extractor: got {self.name!r}, allowed: none with a network as model")
        self.recipe = DpRecipe(
            mode, optimizer, lr, momentum, epochs, batch_size, max_batches, clip, 0.0, sampling
        )
        self.noise_multiplier, self.target_epsilon = _noise(mode, noise_multiplier, target_epsilon)
        self.delta = require_probability("delta", delta)
        self.accountant = require_choice("accountant", accountant, ACCOUNTANTS)
        self.constant = constant
        self.scaling = require_choice("scaling", scaling, SCALINGS)
        self.seed = require_seed("seed", seed)
        self.device = device_named(device)
        self.cache = None if cache is None else Path(cache)
        self.progress = progress
        self.threads = available_cores() if threads is None else require_count("threads", threads)
        self._found: tuple[Upstream, dict[str, Any]] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__signature__ = every_setting(cls)  # type: ignore[attr-defined]

    def extract(self, dataset: Dataset) -> tuple[RowOperations, RowOperations]:
        """Train the extractor, or take it from the cache, and return training and test features.

        Raises:
            InvalidValue: ``dataset``: rows of features, or fewer than two classes. ``batch_size``, a key of
                the layers: too many for the rows, or for what the layers get. ``lr``: the training diverges.
                ``target_epsilon``, ``accountant``: the accountant has no answer.
            DataError: A label is not that of a class, or an image or a feature is not finite.
        """
        data = self.labelled(dataset)
        rows = len(data.x_train)
        with torch_threads(self.threads):
            features, head, dim = self.architecture.build(data.x_train.shape, data.classes, self.seed)
            steps = self.recipe.epochs * self.recipe.steps_per_epoch(rows)
            recipe, epsilon = self._priced(rows, steps)
            ingredients = self._ingredients(recipe, data)
            network = Network(features, head).to(self.device)
            said = self._said(recipe, steps, epsilon)
            log.info("the extractor will be %s", said)
            trained = self._trained(network, data, recipe, ingredients)
            log.info("the extractor is %s", said)
            facts = {
                "extractor_mode": recipe.mode,
                "extractor_epsilon": epsilon,
                "extractor_delta": None if epsilon is None else self.delta if steps else 0.0,
                "extractor_noise_multiplier": recipe.noise_multiplier or None,
                "extractor_steps": steps,
                **trained.facts,
                "extractor_seconds": trained.seconds,
                "extractor_features": dim,
            }
            self._found = self._upstream(recipe, steps, epsilon), facts
            return extracted(
                network.features,
                data.x_train,
                data.x_test,
                identity=ingredients,
                cache=self.cache,
                device=self.device,
                scaling=self.scaling,
                constant=self.constant,
                progress=self.progress,
                what=f"dataset {dataset.name}",
            )

    def labelled(self, dataset: Dataset) -> Labelled:
        """What the layers are trained on, and make features of."""
        return Labelled.of(dataset)

    def upstream(self) -> Upstream:
        """What the features have cost the training rows; asked for after ``extract``."""
        return self._result()[0]

    def facts(self) -> dict[str, Any]:
        """What was trained, and how good its own head is; asked for after ``extract``."""
        return self._result()[1]

    def _result(self) -> tuple[Upstream, dict[str, Any]]:
        if self._found is None:
            raise RuntimeError("extract() comes first")
        return self._found

    def _priced(self, rows: int, steps: int) -> tuple[DpRecipe, float | None]:
        """The recipe with its noise, and what this many steps cost: epsilon, where there is one."""
        recipe, noise = self.recipe, self.noise_multiplier
        if recipe.mode == "none":
            return recipe, None
        accounting = Accounting(rows, recipe.batch_size, self.delta, recipe.sampling, self.accountant)
        if self.target_epsilon is not None:
            noise = accounting.noise_multiplier(self.target_epsilon, steps)
        recipe = replace(recipe, noise_multiplier=noise or 0.0)
        if recipe.mode == "private":
            return recipe, None
        epsilon = accounting.epsilon(recipe.noise_multiplier, steps)
        if not isfinite(epsilon):
            raise InvalidValue("noise_multiplier", recipe.noise_multiplier, "more noise: epsilon is infinite")
        if self.target_epsilon is not None and not epsilon <= self.target_epsilon:
            must = f"at most target_epsilon, which is {self.target_epsilon!r}"
            raise BrokenInvariant("extractor_epsilon", epsilon, must)
        return recipe, epsilon

    def _said(self, recipe: DpRecipe, steps: int, epsilon: float | None) -> str:
        if epsilon is None:
            published = ", as published" if recipe.mode == "private" else ""
            return f"trained without a guarantee (mode={recipe.mode}{published})"
        cost = f"({epsilon:.4g}, {self.delta:g})-differentially private"
        return f"{cost}: {steps} steps with noise multiplier {recipe.noise_multiplier:.4g}"

    def _upstream(self, recipe: DpRecipe, steps: int, epsilon: float | None) -> Upstream:
        scaled = cost(self.scaling)
        if not steps or (epsilon is not None and scaled.not_covered):  # random weights have seen nothing
            return scaled
        if epsilon is None:
            return Upstream(not_covered=_NOT_COVERED[recipe.mode])
        return Upstream(epsilon, self.delta)

    def _ingredients(self, recipe: DpRecipe, data: Labelled) -> dict[str, Any]:
        """All that the trained extractor depends on, as JSON values."""
        return {
            "architecture": asdict(self.architecture),
            "recipe": asdict(recipe),
            "seed": self.seed,
            "data": data.digests(),
            "versions": {name: version_of(name) for name in ("expunge", "torch", "opacus")},
            "device": self.device.type,
            "threads": torch.get_num_threads(),
        }

    def _trained(
        self, network: Network, data: Labelled, recipe: DpRecipe, ingredients: dict[str, Any]
    ) -> Trained:
        """Train ``network``, or give it the weights of one trained like this before."""

        def make(checkpoint: Path | None) -> Trained:
            own = data.train(self.device)
            done = train(network, own, recipe, self.seed, ingredients, checkpoint, self.progress)
            right = {"train": accuracy(network, own), "test": accuracy(network, data.test(self.device))}
            facts = {f"extractor_{part}_accuracy": share for part, share in right.items()}
            return Trained(network, None, tuple(done.losses), done.seconds, facts=facts)

        return make(None) if self.cache is None else Cache(self.cache).through(ingredients, network, make)


def _noise(mode: str, multiplier: Any, target: Any) -> tuple[float | None, float | None]:
    """Noise multiplier and target epsilon, one of which is None; without privacy both are."""
    if multiplier is not None:
        multiplier = require_positive("noise_multiplier", multiplier, most=LARGEST_SINGLE)
    if target is not None:
        target = require_positive("target_epsilon", target, most=LARGEST)
    if multiplier is not None and target is not None:
        raise InvalidValue("noise_multiplier", multiplier, "null with target_epsilon")
    if mode == "none":
        return None, None
    if multiplier is None and target is None:
        raise InvalidValue("noise_multiplier", None, "a number > 0, or null with a target_epsilon")
    return multiplier, target
