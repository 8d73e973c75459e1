"""What one method comes to in ``evaluations``: every evaluation over its models, with an interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.metrics.challenge import epsilons, final_score, score
from expunge.metrics.divergence import js_divergence, kl_divergence
from expunge.metrics.forgetting import completeness
from expunge.metrics.klom import klom
from expunge.metrics.retrained import weight_distance
from expunge.metrics.ulira import likelihood_ratios, told
from expunge.studies.evaluation_games import Group

Array = NDArray[np.float64]
_INTERVAL = (0.025, 0.975)
_TOLD = ("accuracy", "auc", "tpr")


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


def attacked(
    group: Group, trained: NDArray[np.bool_], resamples: int, rng: np.random.Generator
) -> dict[str, Any]:
    """U-LiRA: ``ulira_accuracy``, ``_auc`` and ``_tpr``, each [value, low, high]; models are drawn again.

    ``trained``: (N, E), of the examples of the forget set: those that a model was trained on, and unlearned.
    """
    ratio = likelihood_ratios(group.forget, trained)
    n = len(ratio)
    drawn = []
    for _ in range(resamples):
        again = rng.integers(0, n, n)
        drawn.append(told(ratio[again], trained[again]))
    whole = told(ratio, trained)
    return {
        f"ulira_{name}": _ends(getattr(whole, name), np.array([getattr(one, name) for one in drawn]))
        for name in _TOLD
    }


def floor(first: Group, second: Group, splits: int, rng: np.random.Generator) -> dict[str, Any]:
    """Mean KLOM and epsilon on the forget set of two groups that do not differ, each [median, low, high].

    The retrained models of both groups are shuffled and split in two, ``splits`` times: what exact unlearning
    comes to with so many models.
    """
    both = np.concatenate([first.forget, second.forget])
    n = len(first.forget)
    found: dict[str, list[float]] = {"klom_forget": [], "epsilon": []}
    for _ in range(splits):
        order = rng.permutation(len(both))
        halves = both[order[:n]], both[order[n:]]
        found["klom_forget"].append(float(klom(*halves).mean()))
        found["epsilon"].append(float(epsilons(*halves).mean()))
    return {name: _ends(float(np.median(v)), np.array(v)) for name, v in found.items()}


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
