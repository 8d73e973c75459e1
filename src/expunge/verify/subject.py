"""What is checked: a run folder, the data it is of, and what its configuration says that it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import InvalidValue
from expunge.datasets import Dataset
from expunge.run.again import Features
from expunge.verify import draws
from expunge.verify.exact import number
from expunge.verify.files import CONFIG, RunFiles, matrix
from expunge.verify.gradient import Loss, Tick
from expunge.verify.ledger import Ledger
from expunge.verify.rows import Columns, Table

CERTIFIED = "expunge.unlearners.newton.Newton"
REFERENCES = ("expunge.unlearners.retrain.Retrain", "expunge.unlearners.none.NoOp")
NOISY = "expunge.unlearners.noisy_finetune.NoisyFinetune"
PIXELS = "expunge.extractors.pixels.Pixels"


@dataclass(frozen=True)
class Settings:
    """What the configuration of a run says; null of the unlearner falls back on the model."""

    all: dict[str, Any]

    def of(self, group: str) -> dict[str, Any]:
        """A group's settings; empty where it has none."""
        found = self.all.get(group)
        return found if isinstance(found, dict) else {}

    def get(self, key: str, home: str = "model") -> Any:
        """A setting of the unlearner, or of the group it belongs to."""
        own = self.of("unlearner").get(key)
        return self.of(home).get(key) if own is None else own

    def require(self, key: str, home: str = "model") -> float:
        """The same as a finite number.

        Raises:
            InvalidValue: It is none.
        """
        found = number(value := self.get(key, home))
        if found is None:
            raise InvalidValue(f"{CONFIG}: unlearner.{key}", value, "a number")
        return found

    @property
    def class_weight(self) -> dict[Any, Any]:
        """What the rows of each class count before they are divided by ``divisor``; empty for 1.

        Raises:
            InvalidValue: One is no number above 0.
        """
        found = self.get("class_weight") or {}
        if not isinstance(found, dict) or not all(number(c) and number(c) > 0 for c in found.values()):  # type: ignore[operator]
            raise InvalidValue(f"{CONFIG}: unlearner.class_weight", found, "a number above 0 for each class")
        return found

    @property
    def divisor(self) -> float:
        """What lam and the weights of the classes are divided by: the largest of them, 1 at least."""
        return max(1.0, *map(float, self.class_weight.values())) if self.class_weight else 1.0

    @property
    def lam(self) -> float:
        """Regularisation per example of the loss in which no row counts more than 1.

        Raises:
            InvalidValue: It is no number.
        """
        return self.require("lam") / self.divisor

    @property
    def seed(self) -> int:
        """The run's seed.

        Raises:
            InvalidValue: It is no whole number >= 0.
        """
        seed = self.all.get("seed")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InvalidValue(f"{CONFIG}: seed", seed, "a whole number >= 0")
        return seed

    @property
    def repeat(self) -> int:
        """Which of several unlearnings of one original; 0 in runs that do not say.

        Raises:
            InvalidValue: It is no whole number >= 0.
        """
        found = self.all.get("repeat", 0)
        if isinstance(found, bool) or not isinstance(found, int) or found < 0:
            raise InvalidValue(f"{CONFIG}: repeat", found, "a whole number >= 0")
        return found

    @property
    def network(self) -> bool:
        """Whether the model is a network."""
        return "_target_" in self.of("model")

    @property
    def scheme(self) -> str:
        """``release``, ``gaussian``, ``pure_eps``, ``iteration``, ``reference`` (it is exact), ``none``."""
        target = self.of("unlearner").get("_target_")
        if target == CERTIFIED:
            return str(self.of("unlearner").get("perturbation", "gaussian"))
        if target == NOISY:
            return "iteration"
        return "reference" if target in REFERENCES and not self.network else "none"

    @property
    def noise(self) -> str:
        """Of a release: ``lattice`` or ``float``, which is what a seed means, and a run has one."""
        return str(self.of("unlearner").get("noise") or "float")

    @property
    def share(self) -> float:
        """Of the other classes' rows that a class uses."""
        if self.get("subsample_ratio") is None:
            return 1.0
        if not 0 < (share := self.require("subsample_ratio")) <= 1:
            raise InvalidValue(f"{CONFIG}: unlearner.subsample_ratio", share, "above 0, and at most 1")
        return share

    def constant(self, dataset: Dataset) -> float:
        """What stands beside the features of each row; 0 for nothing."""
        model = self.of("model")
        given, scaling = model.get("intercept"), number(model.get("intercept_scaling", 1.0))
        there = dataset.features is not None if given is None else given is True
        return float(np.float32(scaling or 0.0)) if there else 0.0

    @property
    def own_rows(self) -> bool:
        """Whether the features are the stored rows, each divided by its norm, which is done here."""
        extractor = self.of("extractor")
        return extractor.get("_target_") == PIXELS and extractor.get("scaling", "row") == "row"


@dataclass(frozen=True)
class Subject:
    """A run with all that is needed to check it.

    ``features`` are what the program's extractor says and, but for ``Settings.own_rows``, made; None of a run
    that is checked without features.
    """

    files: RunFiles
    settings: Settings
    dataset: Dataset
    digests: dict[str, str]
    ledger: Ledger
    features: Features | None
    tick: Tick = lambda rows: None

    def claimed(self, key: str) -> Any:
        """What the summary says."""
        return self.files.summary.get(key)

    def figure(self, key: str) -> float | None:
        """The same as a finite number, else None."""
        return number(self.claimed(key))

    @cached_property
    def table(self) -> Table:
        """The rows."""
        if self.settings.own_rows:
            offset, constant = self.dataset.offset, self.settings.constant(self.dataset)
            raw, unit = self.dataset.x_train, self.dataset.unit
            return Table.of(raw, offset * unit, constant=constant * unit)
        assert self.features is not None
        return Table.of(self.features.raw, self.features.offset, self.features.scale)

    @cached_property
    def columns(self) -> Columns:
        """Those of the rows that stay."""
        share, seed = self.settings.share, self.settings.seed
        return Columns.left(self.dataset.y_train, self.ledger.kept, seed, share, self._counting())

    def _counting(self) -> NDArray[np.float64] | None:
        """What each row counts: its class, over the largest above 1, times its own; None: all count 1.

        Raises:
            InvalidValue: A class is named that is none, or another has no weight.
        """
        own, named, divisor = self.dataset.weights, self.settings.class_weight, self.settings.divisor
        if not named:
            return own
        labels = self.dataset.y_train
        of = {self.dataset.label_of(name): float(weight) / divisor for name, weight in named.items()}
        if missing := {*np.unique(labels).tolist()} - {*of}:
            raise InvalidValue(f"{CONFIG}: unlearner.class_weight", named, f"one of label {min(missing)} too")
        found = np.array([of[label] for label in labels.tolist()])
        return found if own is None else found * own

    @cached_property
    def counts(self) -> list[list[int]]:
        """Rows that each column uses, after each record."""
        labels, ledger = self.dataset.y_train, self.ledger
        if self.settings.share == 1:
            there = (ledger.stays > 0).sum(axis=1)
            pairs = zip(ledger.stays.sum(axis=1).tolist(), there.tolist(), strict=True)
            return [[rows] * (classes if classes > 2 else 1) for rows, classes in pairs]
        all_classes = ledger.classes.tolist()
        of = len(all_classes)
        uses = draws.subsample(self.settings.seed, labels, self.settings.share, all_classes, range(of), of)
        running, found = uses.sum(axis=0), []
        for gone, stays in zip(ledger.gone, ledger.stays, strict=True):
            running = running - uses[gone].sum(axis=0)
            there = np.flatnonzero(stays)
            found.append(running[there[-(len(there) if len(there) > 2 else 1) :]].tolist())
        return found

    def loss(self, b: NDArray[np.float64] | None = None) -> Loss:
        """The loss over the rows that stay; ``b`` (d, K), None for none."""
        columns, table = self.columns, self.table
        b = np.zeros((table.dim, columns.width)) if b is None else b
        return Loss(table, columns, self.settings.lam, b, self.tick)

    def weights(self, name: str = "weight") -> NDArray[np.float64] | None:
        """An array of the model as (d, K), if it has the shape that the rows that stay ask for."""
        found = matrix(self.files.model.get(name))
        return found if found is not None and found.shape == (self.table.dim, self.columns.width) else None
