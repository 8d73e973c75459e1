"""The models of ``evaluations``: originals, retrained ones, and what each method makes of the originals.

Two ways to train, each with its own floor (``retrain``: more retrained models) and ceiling (``none``):

- ``sgd``: softmax heads; random are where a model begins and the order of its rows, in training and in
  unlearning.
- ``release``: the certified logistic regression; the minimiser is no matter of chance, and all that is random
  is the noise of the release, of the same size for every model.

Every model of a group is drawn by itself. Games that need other rows, and so other models: ``fixed`` (one
forget set, which all originals were trained on) and ``drawn`` (for U-LiRA: half of the forget set, anew for
each model, is trained on and then unlearned; see ``metrics.ulira``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from expunge.core.hashing import sha256_of_array
from expunge.core.seeds import stream
from expunge.core.versions import version_of
from expunge.datasets import Dataset
from expunge.evaluations.margins import margins
from expunge.extractors.pixels import Pixels
from expunge.linear.rows import Rows
from expunge.predictors.linear import LinearModel
from expunge.record.requests.located import nearest
from expunge.studies.heads import Heads, linear_outputs
from expunge.studies.kept import Kept
from expunge.studies.perceptrons import Perceptrons
from expunge.training import Training
from expunge.unlearners.newton import Newton

Array = NDArray[np.float64]
Ids = NDArray[np.int64]
Marks = NDArray[np.bool_]
METHODS = {
    "sgd": ("none", "finetune", "gradient_ascent", "neggrad", "retrain"),
    "release": ("none", "newton_corrected", "retrain"),
}
FORGET_SETS = ("random", "neighbours")
_DATA, _PROBED = 0, 1  # streams of random numbers; those of groups of models begin later
_GROUPS = ("original", "drawn", "retrained", "again", "finetune", "neggrad")


@dataclass(frozen=True)
class Group:
    """Models by what they say of the examples that are evaluated.

    Attributes:
        forget, retain, test: (N, E) margins of these rows.
        weights: (N, P).
    """

    forget: Array
    retain: Array
    test: Array
    weights: Array


class Data:
    """The rows of all games: some training rows of the data set, of which some are to be forgotten.

    Args:
        dataset: Two classes.
        rows: How many training rows there are.
        forget: Rows of a forget set.
        probed: Rows that stay, and test rows, that are evaluated.
        seed: Of the choice.
    """

    def __init__(self, dataset: Dataset, rows: int, forget: int, probed: int, seed: int) -> None:
        rng = stream(seed, "study", _DATA)
        kept = np.sort(rng.permutation(len(dataset.y_train))[:rows])
        test = np.sort(stream(seed, "study", _PROBED).permutation(len(dataset.y_test))[:probed])
        self.part = replace(dataset, x_train=dataset.x_train[kept], y_train=dataset.y_train[kept], ids=None)
        extracted, of_test = Pixels().extract(self.part)[:2]
        assert isinstance(extracted, Rows)
        assert isinstance(of_test, Rows)
        self.rows, self.x, self.x_test = extracted, extracted.dense(), of_test.dense()[test]
        larger = dataset.y_train.max()
        self.y, self.y_test = (
            (y == larger).astype(np.int64) for y in (self.part.y_train, dataset.y_test[test])
        )
        self.forget = forget
        near = np.sort(nearest(self.x, 0, forget))
        self.sets = {"random": np.sort(rng.permutation(rows)[:forget]), "neighbours": near}
        self.probed, self.seed = probed, seed
        self.drawn = [rows, forget, *(sha256_of_array(self.sets[name]) for name in FORGET_SETS)]

    def stays(self, forget_set: str) -> Ids:
        """Ids of the rows that stay."""
        return np.setdiff1d(np.arange(len(self.y)), self.sets[forget_set])

    def halves(self, forget_set: str, models: int) -> Ids:
        """For each model the half of the forget set that it is trained on, (N, forget // 2) ids."""
        rng = stream(self.seed, "study", 2, FORGET_SETS.index(forget_set))
        every = np.tile(self.sets[forget_set], (models, 1))
        return rng.permuted(every, axis=1)[:, : self.forget // 2]

    @cached_property
    def digest(self) -> str:
        """Of all rows that models are trained on, their classes, and what is drawn of them."""
        return sha256_of_array(self.x, sha256_of_array(self.y), self.seed, *self.drawn)

    def seen(self, forget_set: str, of: Array, outputs: Callable[[Array, Array], Array]) -> Group:
        """What models say; ``outputs(weights, rows)`` gives (N, E, K), with K = 1 a score of two classes."""
        stay = self.stays(forget_set)[: self.probed]
        at = {"forget": self.sets[forget_set], "retain": stay}
        parts = {name: _margins(outputs(of, self.x[rows]), self.y[rows]) for name, rows in at.items()}
        test = _margins(outputs(of, self.x_test), self.y_test)
        return Group(**parts, test=test, weights=of.reshape(len(of), -1))


def _margins(z: Array, y: Ids) -> Array:
    return z[:, :, 0] * (2 * y - 1) if z.shape[2] == 1 else margins(z, y)


class Sgd:
    """Softmax heads, or networks with a hidden layer, trained with mini-batches.

    Args:
        data: The rows.
        models: N of each group.
        training: Of every head.
        methods: Settings of the methods: ``finetune``, ``gradient_ascent``, ``neggrad``.
        hidden: Width of the hidden layer; None: heads without one.
        kept: Where groups of models are kept.
    """

    name = "sgd"

    def __init__(
        self,
        data: Data,
        models: int,
        training: Training,
        methods: Mapping[str, Mapping[str, Any]],
        hidden: int | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.data, self.models, self.training, self.methods = data, models, training, methods
        self.hidden, self.kept = hidden, kept or Kept(None)
        self.heads = Heads(data.x, data.y, 2) if hidden is None else Perceptrons(data.x, data.y, 2, hidden)
        self.outputs = self.heads.outputs

    def group(self, method: str, forget_set: str, game: str) -> Array:
        """The weights of N models after ``method``, (N, ...); ``again``: the reference."""
        stay = np.tile(self.data.stays(forget_set), (self.models, 1))
        if method in ("retrain", "again"):  # no row of the forget set in either game
            return self._trained("retrained" if method == "retrain" else "again", forget_set, stay)
        if method == "none":
            return self._original(forget_set, game, stay)[1]
        about = {"method": method, "how": dict(self.methods[method])}
        about |= {"forget_set": forget_set, "game": game}
        return self.kept.through(
            self._about(about), lambda: {"w": self._unlearned(method, forget_set, game, stay)}
        )["w"]

    def _about(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """All that a group of models depends on."""
        common = {"models": self.models, "hidden": self.hidden, "training": asdict(self.training)}
        return {"study": "evaluations, sgd", "data": self.data.digest, **common, **versions(), **about}

    def _unlearned(self, method: str, forget_set: str, game: str, stay: Ids) -> Array:
        forget, original = self._original(forget_set, game, stay)
        w = torch.from_numpy(original).to(self.heads.x.dtype)
        own = dict(self.methods[method])
        if method == "finetune":
            w = self.heads.train(w, stay, self._like(own), self._rng(method, forget_set, game))
        elif method == "gradient_ascent":
            w = self.heads.ascend(w, forget, **own)
        elif method == "neggrad":
            alpha, rng = own.pop("alpha"), self._rng(method, forget_set, game)
            w = self.heads.neggrad(w, stay, forget, alpha, self._like(own), rng)
        return w.double().numpy()

    def _original(self, forget_set: str, game: str, stay: Ids) -> tuple[Ids, Array]:
        """The rows that are to leave, (N, m), and the models that were trained on them."""
        if game == "fixed":  # the originals are the same of every forget set
            forget = np.tile(self.data.sets[forget_set], (self.models, 1))
            every = np.tile(np.arange(len(self.data.y)), (self.models, 1))
            return forget, self._trained("original", "random", every)
        forget = self.data.halves(forget_set, self.models)
        return forget, self._trained("drawn", forget_set, np.hstack([stay, forget]))

    def _trained(self, group: str, forget_set: str, rows: Ids) -> Array:
        def make() -> dict[str, Array]:
            rng = self._rng(group, forget_set, "fixed")
            w = self.heads.train(self.heads.begin(self.models, rng), rows, self.training, rng)
            return {"w": w.double().numpy()}

        return self.kept.through(self._about({"group": group, "forget_set": forget_set}), make)["w"]

    def _like(self, own: Mapping[str, Any]) -> Training:
        return replace(self.training, **own)

    def _rng(self, group: str, forget_set: str, game: str) -> np.random.Generator:
        index = 10, _GROUPS.index(group), FORGET_SETS.index(forget_set), int(game == "drawn")
        return stream(self.data.seed, "study", *index)


class Released:
    """Certified logistic regression with noise at release.

    Args:
        data: The rows.
        models: N of each group.
        lam: Regularisation per example.
        certified: ``epsilon``, ``delta`` and ``releases`` of the guarantee.
        kept: Where groups of models are kept.
    """

    name = "release"
    outputs = staticmethod(linear_outputs)

    def __init__(
        self, data: Data, models: int, lam: float, certified: Mapping[str, Any], kept: Kept | None = None
    ) -> None:
        self.data, self.models, self.lam, self.certified = data, models, lam, certified
        self.kept = kept or Kept(None)

    @cached_property
    def std(self) -> float:
        """Of the noise in each weight: planned for all rows, and the same for every model."""
        method = self._fitted(np.arange(len(self.data.y)))
        return float(method.guarantee.std)

    def group(self, method: str, forget_set: str, game: str) -> Array:
        """The released weights of N models after ``method``, (N, d, 1)."""
        inner = self._inner(method, forget_set, game)
        number = 20, _METHOD_NUMBERS[method], FORGET_SETS.index(forget_set), int(game == "drawn")
        noise = stream(self.data.seed, "study", *number).normal(size=(self.models, inner.shape[1]))
        return (inner + self.std * noise)[:, :, None]

    def _inner(self, method: str, forget_set: str, game: str) -> Array:
        """The models inside, (N or 1, d)."""
        stay = self.data.stays(forget_set)
        about = {"study": "evaluations, release", "data": self.data.digest, "lam": self.lam}
        about |= {"certified": dict(self.certified), "forget_set": forget_set, **versions()}
        if method in ("retrain", "again"):
            retrained = {**about, "group": "retrained"}
            return self.kept.through(retrained, lambda: {"w": self._fitted(stay).columns[0].w[None]})["w"]

        def make() -> dict[str, Array]:
            fixed = self.data.sets[forget_set][None]
            leaving = fixed if game == "fixed" else self.data.halves(forget_set, self.models)
            both = [self._unlearned(stay, rows) for rows in leaving]
            return {
                name: np.stack([pair[place] for pair in both])
                for place, name in enumerate(("none", "newton_corrected"))
            }

        count = 1 if game == "fixed" else self.models
        return self.kept.through({**about, "group": "unlearned", "game": game, "models": count}, make)[method]

    def _unlearned(self, stay: Ids, leave: Ids) -> tuple[Array, Array]:
        """A model of all these rows, and what the method makes of it when some leave."""
        method = self._fitted(np.concatenate([stay, leave]))
        before = method.columns[0].w.copy()
        outcome = method.remove(list(range(len(stay), len(stay) + len(leave))))
        assert outcome.outcome == "removed", outcome.reason
        return before, method.columns[0].w.copy()

    def _fitted(self, rows: Ids) -> Newton:
        part = replace(
            self.data.part, x_train=self.data.part.x_train[rows], y_train=self.data.part.y_train[rows]
        )
        extracted = Pixels().extract(part)[0]
        assert isinstance(extracted, Rows)
        how: dict[str, Any] = {"perturbation": "release", "certificate": "measured", "update": "corrected"}
        method = Newton(LinearModel(self.lam, 0.0), **how, **self.certified)
        method.fit(extracted, part.y_train, self.data.seed)
        return method


def versions() -> dict[str, str | None]:
    """What the last digits of a trained model depend on besides; code is not looked at."""
    return {name: version_of(name) for name in ("expunge", "numpy", "torch")}


_METHOD_NUMBERS = {"none": 0, "newton_corrected": 1, "retrain": 2, "again": 3}
