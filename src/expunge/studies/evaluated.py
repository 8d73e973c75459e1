"""What one method comes to in ``evaluations``: every evaluation over its models, with an interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.evaluations import ruli
from expunge.evaluations.challenge import epsilons, final_score, score
from expunge.evaluations.klom import klom
from expunge.evaluations.ulira import likelihood_ratios, told
from expunge.metrics.divergence import js_divergence, kl_divergence
from expunge.metrics.forgetting import completeness
from expunge.metrics.retrained import weight_distance
from expunge.studies.evaluation_games import Group

Array = NDArray[np.float64]
Marks = NDArray[np.bool_]
_INTERVAL = (0.025, 0.975)
_TOLD = ("ulira_accuracy", "ulira_auc", "ulira_tpr")
_RULI = tuple(
    f"ruli_{game}_{part}" for game in ("privacy", "vulnerable", "efficacy") for part in ("auc", "tpr")
)
_PARTS = 20  # of the models, each left out in turn


def evaluated(unlearned: Group, reference: Group, resamples: int, rng: np.random.Generator) -> dict[str, Any]:
    """The evaluations of N unlearned models against N retrained ones, number i against number i where paired.

    Returns:
        Name -> [value, low, high], 95% bootstrap: of KLOM (mean and 95th percentile on each group of rows)
        and of the challenge (mean epsilon, score) examples are drawn again, of all else models. And
        ``epsilon_of``, of each forgotten example, and ``klom_of`` likewise; None where not defined.
    """
    found: dict[str, Any] = {}
    n = len(unlearned.forget)
    for name in ("forget", "retain", "test"):
        values = klom(getattr(unlearned, name), getattr(reference, name))
        found[f"klom_{name}"] = _interval(values, np.mean, resamples, rng)
        found[f"klom_{name}_95"] = _interval(values, lambda v: np.quantile(v, 0.95), resamples, rng)
        if name == "forget":
            found["klom_of"] = plain(values)
    values = epsilons(unlearned.forget, reference.forget)
    found["epsilon_of"] = plain(values)
    found["epsilon"] = _interval(values, np.mean, resamples, rng)
    retain, test = _right(unlearned.retain, reference.retain), _right(unlearned.test, reference.test)
    found["score"] = _interval(values, lambda v: final_score(score(v, n), retain, test), resamples, rng)
    found |= {"retain_accuracy": retain[0], "test_accuracy": test[0]}
    found["forget_accuracy"] = float((unlearned.forget > 0).mean())
    pairs = [_pair(unlearned, reference, k) for k in range(n)]
    for name in pairs[0]:
        found[name] = _interval(np.array([pair[name] for pair in pairs]), np.mean, resamples, rng)
    return found


def _right(unlearned: Array, reference: Array) -> tuple[float, float]:
    """Mean accuracies of two groups of models."""
    return float((unlearned > 0).mean()), float((reference > 0).mean())


def _pair(unlearned: Group, reference: Group, k: int) -> dict[str, float]:
    """Of one unlearned and one retrained model, on the forget set."""
    u, r = unlearned.forget[k], reference.forget[k]
    p, q = (np.stack([expit(m), expit(-m)], axis=1) for m in (u, r))
    weights = weight_distance({"w": unlearned.weights[k]}, {"w": reference.weights[k]})
    alike = completeness((u > 0).astype(np.int64), (r > 0).astype(np.int64))
    return {
        "completeness": np.nan if alike is None else alike,
        "js": float(js_divergence(p, q).mean()),
        "kl": float(kl_divergence(p, q).mean()),
        "weight_distance": np.nan if weights is None else weights,
    }


def attacked(group: Group, trained: Marks) -> dict[str, Any]:
    """U-LiRA: ``ulira_accuracy``, ``_auc`` and ``_tpr``, each [value, low, high].

    The interval is 1.96 standard errors of the jackknife on either side, cut to [0, 1]: a twentieth of the
    models is left out in turn, and the Gaussians are fitted again, for their error is most of it.

    Args:
        group: Models of the game with ``drawn`` forget sets.
        trained: (N, E), of the examples of the forget set: those a model was trained on, and has unlearned.
    """
    parts = np.array_split(np.arange(len(trained)), min(_PARTS, len(trained) // 2))
    left = [_ulira(np.delete(group.forget, part, axis=0), np.delete(trained, part, axis=0)) for part in parts]
    spread = (len(parts) - 1) * np.var(left, axis=0)
    found = {}
    for name, value, error in zip(_TOLD, _ulira(group.forget, trained), np.sqrt(spread), strict=True):
        found[name] = plain(np.clip(value + 1.96 * error * np.array([0, -1, 1]), 0, 1))
    return found


def inferred(
    unlearned: Group, reference: Group, drawn: Group, original: Group, trained: Marks
) -> dict[str, Any]:
    """RULI: ``ruli_privacy``, ``_vulnerable`` and ``_efficacy``, of each ``_auc`` and ``_tpr`` at 1% FPR.

    Privacy is played on all examples of the forget set, and on the fifth that is told best of the models
    before unlearning; efficacy against the reference. Intervals as of ``attacked``.

    Args:
        unlearned: Models of the game with a ``fixed`` forget set.
        reference: The retrained ones.
        drawn: Models of the game with ``drawn`` forget sets, after unlearning.
        original: The same before it.
        trained: (N, E), of the examples of the forget set: those a model was trained on, and has unlearned.
    """
    weak = ruli.vulnerable(original.forget, trained)
    parts = np.array_split(np.arange(len(trained)), min(_PARTS, len(trained) // 2))
    groups: tuple[Any, ...] = (unlearned.forget, reference.forget, drawn.forget, trained, weak)
    left = [_ruli(*(np.delete(one, part, axis=0) for one in groups)) for part in parts]
    error = np.sqrt((len(parts) - 1) * np.var(left, axis=0))
    ends = np.clip(np.array(_ruli(*groups)) + 1.96 * error * np.array([[0], [-1], [1]]), 0, 1)
    return dict(zip(_RULI, (plain(one) for one in ends.T), strict=True))


def _ruli(unlearned: Array, reference: Array, drawn: Array, trained: Marks, weak: Marks) -> list[float]:
    """In the order of ``_RULI``."""
    ratio, (both, ours) = ruli.likelihood_ratios(drawn, trained), ruli.beside(unlearned, reference)
    games = (ratio, trained), (ratio[weak], trained[weak]), (ruli.likelihood_ratios(both, ours), ours)
    return [value for game in games for of in [told(*game)] for value in (of.auc, of.tpr)]


def floor(
    first: Group, second: Group, trained: Marks, splits: int, rng: np.random.Generator
) -> dict[str, list[float | None]]:
    """What exact unlearning comes to with so many models, each [median, low, high] (95%).

    KLOM, epsilon and RULI's efficacy on the forget set: the retrained models of both groups are shuffled and
    split in two, ``splits`` times. U-LiRA and RULI's privacy: the coins are dealt to the models of the first
    group anew. RULI every second time, for it takes as long as all others together.
    """
    both, n = np.concatenate([first.forget, second.forget]), len(first.forget)
    found: dict[str, list[float]] = {name: [] for name in ("klom_forget", "epsilon", *_TOLD, *_RULI)}
    for k in range(splits):
        order = rng.permutation(len(both))
        halves = both[order[:n]], both[order[n:]]
        found["klom_forget"].append(float(klom(*halves).mean()))
        found["epsilon"].append(float(epsilons(*halves).mean()))
        coins = rng.permutation(trained)
        values = dict(zip(_TOLD, _ulira(first.forget, coins), strict=True))
        if k % 2 == 0:
            weak = ruli.vulnerable(rng.normal(size=first.forget.shape), coins)  # rows chosen by chance
            values |= dict(zip(_RULI, _ruli(*halves, first.forget, coins, weak), strict=True))
        for name, value in values.items():
            found[name].append(value)
    return {name: _ends(float(np.median(v)), np.array(v)) for name, v in found.items()}


def _ulira(phi: Array, trained: Marks) -> tuple[float, float, float]:
    of = told(likelihood_ratios(phi, trained), trained)
    return of.accuracy, of.auc, of.tpr


def plain(values: Array) -> list[float | None]:
    """A list without NaN."""
    return [None if np.isnan(v) else float(v) for v in values]


def _interval(
    values: Array, of: Callable[[Array], Any], resamples: int, rng: np.random.Generator
) -> list[float | None]:
    """The value of ``of`` and its 95% bootstrap interval; None where a value is not defined."""
    drawn = [of(values[rng.integers(0, len(values), len(values))]) for _ in range(resamples)]
    return _ends(float(of(values)), np.array(drawn))


def _ends(value: float, drawn: Array) -> list[float | None]:
    return plain(np.array([value, *np.quantile(drawn, _INTERVAL)]))
