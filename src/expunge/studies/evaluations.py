"""The standard evaluations of unlearning over many models, side by side, with floor and ceiling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from expunge.core import text
from expunge.core.checks import LARGEST, require_count, require_positive, require_probability, require_share
from expunge.core.errors import InvalidValue
from expunge.core.seeds import stream
from expunge.linear.parallel import one_blas_thread
from expunge.studies import two_digits
from expunge.studies.checks import require_names
from expunge.studies.evaluated import attacked, evaluated, floor, inferred
from expunge.studies.evaluation_games import FORGET_SETS, METHODS, Data, Group, Released, Sgd
from expunge.studies.kept import Kept
from expunge.training import Training
from expunge.training.compute import torch_threads

_SPLITS = 3  # which of the streams of random numbers; others are those of the games
SHOWN = {
    "klom_forget": "KLOM, forget",
    "klom_forget_95": "95th percentile",
    "klom_retain": "KLOM, retain",
    "klom_test": "KLOM, test",
    "epsilon": "challenge epsilon",
    "score": "challenge score",
    "ulira_accuracy": "U-LiRA accuracy",
    "ulira_auc": "U-LiRA AUC",
    "ulira_tpr": "TPR at 1% FPR",
    "ruli_privacy_auc": "RULI privacy, AUC",
    "ruli_privacy_tpr": "RULI privacy, TPR",
    "ruli_vulnerable_auc": "RULI privacy, vulnerable rows, AUC",
    "ruli_vulnerable_tpr": "RULI privacy, vulnerable rows, TPR",
    "ruli_efficacy_auc": "RULI efficacy, AUC",
    "ruli_efficacy_tpr": "RULI efficacy, TPR",
    "completeness": "completeness",
    "js": "JS",
    "kl": "KL",
    "weight_distance": "weight distance",
}


class Evaluations:
    """N models after each method against N retrained ones, and the attacker's game of U-LiRA.

    For each forget set and way to train (``evaluation_games``) every method has the same originals. Floor:
    ``retrain``, other retrained models than the reference's. Ceiling: ``none``, the originals as they are.

    Args:
        dataset: ``mnist_3v8`` or ``digits_3v8``.
        rows: Training rows that are used.
        forget: Rows of a forget set, even; of ``neighbours`` a row and those nearest to it.
        probed: Rows that stay, and test rows, of KLOM.
        models: N of each group.
        forget_sets: Of ``random`` and ``neighbours``.
        sgd: Of the softmax heads: ``epochs lr momentum weight_decay batch_size schedule``.
        methods: Their settings: ``finetune`` (those that differ from ``sgd``), ``gradient_ascent`` (``lr``,
            ``steps``), ``neggrad`` (``alpha`` beside those of ``finetune``).
        lam: Regularisation per example of the certified models.
        certified: ``epsilon``, ``delta`` and ``releases`` of their guarantee.
        resamples: Of a bootstrap interval, and splits of the retrained models for the floor.
        hidden: Width of the hidden layer of networks in place of the softmax heads; None: heads.
        seed: Of all that is drawn; given by the run.
        cache: Folder in which groups of models are kept, for other runs too; given by the run. None: nowhere.

    Raises:
        InvalidValue: A value is not allowed.
    """

    name = "evaluations"

    def __init__(
        self,
        dataset: str = "mnist_3v8",
        rows: int = 1000,
        forget: int = 100,
        probed: int = 100,
        models: int = 100,
        forget_sets: Sequence[str] = FORGET_SETS,
        sgd: Mapping[str, Any] | None = None,
        methods: Mapping[str, Mapping[str, Any]] | None = None,
        lam: float = 1e-3,
        certified: Mapping[str, Any] | None = None,
        resamples: int = 200,
        hidden: int | None = None,
        seed: int = 0,
        cache: Path | None = None,
    ) -> None:
        self.dataset = two_digits.load(dataset)[0]
        most = min(len(self.dataset.y_train), 20_000)
        self.rows = require_count("rows", rows, least=20, most=most)
        self.forget = require_count("forget", forget, least=4, most=self.rows // 2)
        if self.forget % 2:
            raise InvalidValue("forget", forget, "an even number: of U-LiRA a half is trained on")
        most = min(self.rows - self.forget, len(self.dataset.y_test))
        self.probed = require_count("probed", probed, most=most)
        self.models = require_count("models", models, least=8, most=10_000)
        self.forget_sets = require_names("forget_sets", forget_sets, FORGET_SETS)
        self.training = _training("sgd", Training(), sgd or {})
        self.methods = _methods(methods or {}, self.training)
        self.lam = require_positive("lam", lam, most=LARGEST)
        self.certified = _certified(certified or {})
        self.resamples = require_count("resamples", resamples, least=20)
        self.hidden = None if hidden is None else _width(hidden)
        self.seed, self.kept = seed, Kept(cache)

    def cells(self) -> list[dict[str, Any]]:
        """Each forget set by each way to train and its methods."""
        return [
            {"forget_set": rows, "training": training, "method": method}
            for rows in self.forget_sets
            for training, methods in METHODS.items()
            for method in methods
        ]

    @one_blas_thread()
    def run_cell(self, cell: dict[str, Any], seed: int) -> dict[str, Any]:
        """Evaluate one method; models that cells share are made once in a process, and the same in each.

        Returns:
            What ``evaluated``, ``attacked`` and ``inferred`` return; of ``retrain`` also ``floor``, of
            ``release`` ``std``.
        """
        rows, training, method = (cell[key] for key in ("forget_set", "training", "method"))
        games = self.games[training]
        number = list(METHODS[training]).index(method), FORGET_SETS.index(rows), list(METHODS).index(training)
        rng = stream(seed, "study", _SPLITS, *number)
        with torch_threads(1):  # two that share busy cores wait for each other far longer than they save
            reference, own = (self._seen(games, name, rows, "fixed") for name in ("again", method))
            drawn, original = (self._seen(games, name, rows, "drawn") for name in (method, "none"))
        halves = self.data.halves(rows, self.models)
        trained = (halves[:, :, None] == self.data.sets[rows]).any(axis=1)
        found = evaluated(own, reference, self.resamples, rng)
        found |= attacked(drawn, trained) | inferred(own, reference, drawn, original, trained)
        if method == "retrain":
            found["floor"] = floor(own, reference, trained, self.resamples, rng)
        return found | ({"std": games.std} if isinstance(games, Released) else {})

    def table(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A row for each cell: values, and their intervals."""
        return [
            {
                "method": f"{record['method']}, {record['training']}",
                "forget set": record["forget_set"],
                **{title: _said(record[name]) for name, title in SHOWN.items()},
                **{f"{at} accuracy": record[f"{at}_accuracy"] for at in ("forget", "retain", "test")},
            }
            for record in records
        ]

    def summary(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Headline numbers.

        Returns:
            ``rows``: for each cell ``forget_set training method`` and each evaluation as [value, low, high];
            ``floors``: for each forget set and way to train that of ``floor``; ``models``.
        """
        keys = (
            "forget_set",
            "training",
            "method",
            *SHOWN,
            "forget_accuracy",
            "retain_accuracy",
            "test_accuracy",
        )
        return {
            "models": self.models,
            "rows": [{key: record[key] for key in keys} for record in records],
            "floors": [
                {key: record[key] for key in ("forget_set", "training", "floor")}
                for record in records
                if record["method"] == "retrain"
            ],
        }

    def figures(self, records: list[dict[str, Any]], folder: Path) -> None:
        """Write ``evaluations.png`` and ``.svg``."""
        from expunge.studies.evaluations_figure import draw

        draw(records, self.models).save(folder)

    @cached_property
    def data(self) -> Data:
        """The rows of all games."""
        return Data(self.dataset, self.rows, self.forget, self.probed, self.seed)

    @cached_property
    def games(self) -> dict[str, Sgd | Released]:
        """Each way to train."""
        sgd = Sgd(self.data, self.models, self.training, self.methods, self.hidden, self.kept)
        released = Released(self.data, self.models, self.lam, self.certified, self.kept)
        return {"sgd": sgd, "release": released}

    def _seen(self, games: Sgd | Released, method: str, rows: str, game: str) -> Group:
        return self.data.seen(rows, games.group(method, rows, game), games.outputs)


def _width(hidden: Any) -> int:
    try:
        return require_count("hidden", hidden, most=10_000)
    except InvalidValue as error:
        raise InvalidValue("hidden", hidden, f"{error.allowed}, or null for heads without one") from None


def _said(value: Sequence[float | None]) -> str:
    """A value with its interval, or a dash."""
    if None in value:
        return "–"
    middle, low, high = (text.number(float(f"{part:.3g}")) for part in value if part is not None)
    return f"{middle} [{low}, {high}]"


def _training(key: str, like: Training, given: Any) -> Training:
    """These settings of mini-batch steps, and all others as they are; ``optimizer`` is SGD."""
    allowed = ("epochs", "lr", "momentum", "weight_decay", "batch_size", "schedule")
    _require_keys(key, given, allowed)
    settings = {name: getattr(like, name) for name in allowed} | dict(given)
    try:
        return Training(optimizer="sgd", max_batches=None, **settings)
    except InvalidValue as error:
        raise error.within(key) from None


def _methods(given: Any, training: Training) -> dict[str, dict[str, Any]]:
    """The settings of each method, all there."""
    steps = ("epochs", "lr", "momentum", "weight_decay", "batch_size", "schedule")
    _require_keys("methods", given, ("finetune", "gradient_ascent", "neggrad"))
    own = {name: dict(given.get(name) or {}) for name in ("finetune", "gradient_ascent", "neggrad")}
    alpha = require_share("methods.neggrad.alpha", own["neggrad"].pop("alpha", 0.9))
    for name in ("finetune", "neggrad"):
        made = _training(f"methods.{name}", training, own[name])
        own[name] = {key: getattr(made, key) for key in steps}
    ascent = own["gradient_ascent"]
    _require_keys("methods.gradient_ascent", ascent, ("lr", "steps"))
    own["gradient_ascent"] = {
        "lr": require_positive("methods.gradient_ascent.lr", ascent.get("lr", 0.04)),
        "steps": require_count("methods.gradient_ascent.steps", ascent.get("steps", 5)),
    }
    return own | {"neggrad": {**own["neggrad"], "alpha": alpha}}


def _certified(given: Any) -> dict[str, Any]:
    _require_keys("certified", given, ("epsilon", "delta", "releases"))
    return {
        "epsilon": require_positive("certified.epsilon", given.get("epsilon", 1.0)),
        "delta": require_probability("certified.delta", given.get("delta", 1e-4)),
        "releases": require_count("certified.releases", given.get("releases", 2), least=2),
    }


def _require_keys(key: str, given: Any, allowed: Sequence[str]) -> None:
    if not isinstance(given, Mapping) or not set(given) <= set(allowed):
        raise InvalidValue(key, given, "settings named " + ", ".join(allowed))
