"""Features from a network that was trained with differential privacy, and so needs no update on a removal."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from expunge.certificate.composition import Upstream
from expunge.core.checks import require_choice, require_count, require_positive, require_probability
from expunge.core.cores import available_cores
from expunge.core.errors import InvalidValue, UserError
from expunge.core.hashing import sha256_of_settings
from expunge.datasets import Dataset
from expunge.extractors.accounting import ACCOUNTANTS, Accounting
from expunge.extractors.cnn import ConvNet
from expunge.extractors.dp_recipe import DpRecipe, refuse_mixing
from expunge.extractors.features import extracted
from expunge.extractors.labelled import Labelled
from expunge.extractors.private import Network, accuracy, train
from expunge.extractors.scaling import SCALINGS, cost
from expunge.extractors.trained import TrainedExtractor
from expunge.linear.rows import Rows
from expunge.training.cache import Cache
from expunge.training.compute import device_named, torch_threads

log = logging.getLogger(__name__)

_NOT_COVERED = {
    "private": (
        "extractor mode=private is as published and no guarantee: the head learns from raw gradients, which "
        "carry a row into every other row's gradient"
    ),
    "none": "the extractor was trained on the rows to be removed without differential privacy",
}


class Dp:
    """A convolutional network trained on the training rows; what its head would get are the features.

    With ``mode=full_private`` the training is (epsilon, delta)-differentially private, and leaving the head
    away afterwards costs nothing. Source: Guo et al., ICML 2020, sections 3.4 and 4.3.

    Args:
        mode: ``full_private``, ``private`` (as published: no guarantee) or ``none``.
        filters: As in ``ConvNet``, like ``kernel``, ``norm`` and ``activation``.
        kernel: Side of every convolution.
        norm: Not ``batch`` in a private mode.
        activation: ``relu`` or ``tanh``.
        optimizer: As in ``DpRecipe``, like the following keys.
        lr: Learning rate.
        momentum: Of SGD; beta_1 of Adam.
        epochs: Passes over the rows; 0 leaves the random weights.
        batch_size: Rows of a step, with Poisson sampling on average.
        max_batches: Stop each epoch after this many steps (None: never); epsilon is that of the steps taken.
        clip: Largest L2 norm of a row's gradient.
        noise_multiplier: Standard deviation of the noise, in clips; None where ``target_epsilon`` is given.
        target_epsilon: Choose the noise for this epsilon.
        delta: Of the guarantee.
        accountant: As in ``Accounting``, like ``sampling``.
        sampling: ``poisson`` or ``fixed``.
        scaling: Of the features: one of ``extractors.scaling.SCALINGS``.
        seed: Of the weights, the batches and the noise; to be kept secret.
        network: Whether the model is a network, which takes images and no features.
        device: ``cpu``, ``cuda``, or ``auto``.
        cache: Folder of trained extractors and of features; None keeps neither.
        progress: Show bars (on a terminal only).
        threads: Of torch on the CPU (None: every core). The last digits depend on it.

    Raises:
        InvalidValue: A value is not allowed; the message names the key.
        UserError: ``network`` is true.
    """

    name = "dp"

    def __init__(
        self,
        mode: str = "full_private",
        filters: Sequence[int] = (64, 64),
        kernel: int = 5,
        norm: str = "none",
        activation: str = "relu",
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
    ) -> None:
        if network:  # no InvalidValue: its name would get the group's in front
            raise UserError("extractor: got 'dp', allowed: none with a network as model")
        self.architecture = ConvNet(filters, kernel, norm, activation)
        self.recipe = DpRecipe(
            mode, optimizer, lr, momentum, epochs, batch_size, max_batches, clip, 0.0, sampling
        )
        refuse_mixing(mode, norm)
        self.noise_multiplier, self.target_epsilon = _noise(mode, noise_multiplier, target_epsilon)
        self.delta = require_probability("delta", delta)
        self.accountant = require_choice("accountant", accountant, ACCOUNTANTS)
        self.scaling = require_choice("scaling", scaling, SCALINGS)
        self.seed = require_count("seed", seed, least=0)
        self.device = device_named(device)
        self.cache = None if cache is None else Path(cache)
        self.progress = progress
        self.threads = available_cores() if threads is None else require_count("threads", threads)
        self._found: _Extracted | None = None

    def extract(self, dataset: Dataset) -> tuple[Rows, Rows]:
        """Train the extractor, or take it from the cache, and return training and test features.

        Raises:
            InvalidValue: ``dataset``: rows of features, or fewer than two classes. ``filters``,
                ``batch_size``: too many for the images or the rows. ``lr``: the training diverges.
                ``target_epsilon``, ``accountant``: the accountant has no answer.
            DataError: A label is not that of a class, or an image or a feature is not finite.
        """
        data = Labelled.of(dataset)
        rows = len(data.x_train)
        with torch_threads(self.threads):
            features, head, dim = self.architecture.build(data.x_train.shape, data.classes, self.seed)
            recipe = self._with_noise(rows)
            planned = recipe.epochs * recipe.steps_per_epoch(rows)
            self._cost(recipe, rows, planned, "will be")
            ingredients = self._ingredients(recipe, data)
            network = Network(features, head).to(self.device)
            trained = self._trained(network, data, recipe, planned, ingredients)
            epsilon = self._cost(recipe, rows, trained.steps, "is")
            self._found = _Extracted(recipe, trained, epsilon, dim)
            return extracted(
                network.features,
                data.x_train,
                data.x_test,
                identity=ingredients,
                cache=self.cache,
                device=self.device,
                scaling=self.scaling,
                progress=self.progress,
                what=f"dataset {dataset.name}",
            )

    def upstream(self) -> Upstream:
        """What the features have cost the training rows; asked for after ``extract``."""
        found = self._result()
        if not found.trained.steps:  # random weights have seen nothing
            return cost(self.scaling)
        if found.epsilon is None:
            return Upstream(not_covered=_NOT_COVERED[found.recipe.mode])
        scaled = cost(self.scaling)
        return scaled if scaled.not_covered else Upstream(found.epsilon, self.delta)

    def facts(self) -> dict[str, Any]:
        """What was trained, and how good its own head is; asked for after ``extract``."""
        found = self._result()
        return {
            "extractor_mode": found.recipe.mode,
            "extractor_epsilon": found.epsilon,
            "extractor_delta": None if found.epsilon is None else self.delta if found.trained.steps else 0.0,
            "extractor_noise_multiplier": found.recipe.noise_multiplier or None,
            "extractor_steps": found.trained.steps,
            "extractor_train_accuracy": found.trained.train_accuracy,
            "extractor_test_accuracy": found.trained.test_accuracy,
            "extractor_seconds": found.trained.seconds,
            "extractor_features": found.features,
        }

    def _result(self) -> _Extracted:
        if self._found is None:
            raise RuntimeError("extract() comes first")
        return self._found

    def _accounting(self, rows: int) -> Accounting:
        recipe = self.recipe
        return Accounting(rows, recipe.batch_size, self.delta, recipe.sampling, self.accountant)

    def _with_noise(self, rows: int) -> DpRecipe:
        """The recipe for this many rows."""
        recipe, noise = self.recipe, self.noise_multiplier
        if self.target_epsilon is not None:
            steps = recipe.epochs * recipe.steps_per_epoch(rows)
            noise = self._accounting(rows).noise_multiplier(self.target_epsilon, steps)
        return replace(recipe, noise_multiplier=noise or 0.0)

    def _cost(self, recipe: DpRecipe, rows: int, steps: int, verb: str) -> float | None:
        """Say what this many steps cost, and return epsilon where there is one."""
        if recipe.mode != "full_private":
            published = ", as published" if recipe.mode == "private" else ""
            log.info("the extractor %s trained without a guarantee (mode=%s%s)", verb, recipe.mode, published)
            return None
        epsilon = _epsilon(self._accounting(rows), recipe.noise_multiplier, steps)
        if not isfinite(epsilon):
            raise InvalidValue("noise_multiplier", recipe.noise_multiplier, "more noise: epsilon is infinite")
        log.info(
            "the extractor %s (%.4g, %g)-differentially private: %d steps with noise multiplier %.4g",
            *(verb, epsilon, self.delta, steps, recipe.noise_multiplier),
        )
        return epsilon

    def _ingredients(self, recipe: DpRecipe, data: Labelled) -> dict[str, Any]:
        """All that the trained extractor depends on, as JSON values."""
        return {
            "architecture": asdict(self.architecture),
            "recipe": asdict(recipe),
            "seed": self.seed,
            "data": data.digests(),
            "versions": {name: version(name) for name in ("expunge", "torch", "opacus")},
            "device": self.device.type,
            "threads": torch.get_num_threads(),
        }

    def _trained(
        self, network: Network, data: Labelled, recipe: DpRecipe, steps: int, ingredients: dict[str, Any]
    ) -> TrainedExtractor:
        """Train ``network``, or give it the weights of one trained like this before."""
        if self.cache is None:
            return self._train(network, data, recipe, ingredients, None)
        key, store = sha256_of_settings(ingredients), Cache(self.cache)
        with store.making(key):
            found = TrainedExtractor.read(store.path(key), network, steps)
            if found is None:
                part = store.part(key)
                found = self._train(network, data, recipe, ingredients, part)
                if part is not None:  # the folder can be written to
                    found.write(store.path(key), network, ingredients)
        return found

    def _train(
        self,
        network: Network,
        data: Labelled,
        recipe: DpRecipe,
        ingredients: dict[str, Any],
        part: Path | None,
    ) -> TrainedExtractor:
        own = data.train(self.device)
        try:
            done = train(network, own, recipe, self.seed, ingredients, part, self.progress)
        except InvalidValue:
            if part is not None:  # there is nothing in it to go on from
                part.unlink(missing_ok=True)
            raise
        right = accuracy(network, own), accuracy(network, data.test(self.device))
        return TrainedExtractor(tuple(done.losses), done.seconds, done.steps, *right)


@dataclass(frozen=True)
class _Extracted:
    """What ``extract`` leaves behind."""

    recipe: DpRecipe
    trained: TrainedExtractor
    epsilon: float | None
    features: int


@lru_cache(maxsize=8)  # asked for before and after the training, and PRV takes its time
def _epsilon(accounting: Accounting, noise_multiplier: float, steps: int) -> float:
    return accounting.epsilon(noise_multiplier, steps)


def _noise(mode: str, multiplier: Any, target: Any) -> tuple[float | None, float | None]:
    """Noise multiplier and target epsilon, one of which is None; without privacy both are."""
    if multiplier is not None:
        multiplier = require_positive("noise_multiplier", multiplier)
    if target is not None:
        target = require_positive("target_epsilon", target)
    if multiplier is not None and target is not None:
        raise InvalidValue("noise_multiplier", multiplier, "null with target_epsilon")
    if mode == "none":
        return None, None
    if multiplier is None and target is None:
        raise InvalidValue("noise_multiplier", None, "a number > 0, or null with a target_epsilon")
    return multiplier, target
