"""Poisoned and mislabelled training rows: a corruption that is known, for a request to take out again.

Both are properties of the data as trained: the settings of the data set and their own seed say all of it, and
the labels and pixels that models are trained on are the changed ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count, require_from_zero, require_seed, require_share
from expunge.core.errors import InvalidValue
from expunge.core.seeds import stream
from expunge.datasets.base import Dataset
from expunge.datasets.corruption import MISLABEL, POISON, Corruption

_KEYS: dict[str, dict[str, Any]] = {
    POISON: {"target": None, "share": None, "count": None, "size": 3, "value": 1.0, "seed": 0},
    MISLABEL: {"source": None, "target": None, "share": None, "count": None, "seed": 0},
}
_STREAMS = (MISLABEL, POISON)
_NONE: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

Ids = NDArray[np.int64]


def corrupted(
    dataset: Dataset, poison: Mapping[str, Any] | None = None, mislabel: Mapping[str, Any] | None = None
) -> Dataset:
    """Return the data set with some of its training rows changed; None for both: as it is.

    ``mislabel``: rows of the class ``source`` get the label ``target``; with neither of them, rows of any
    class that of another one, each other class as likely (Goel et al., *Towards Adversarial Evaluations for
    Inexact Machine Unlearning*, 2022). ``poison``: rows of other classes than ``target``, none of them
    mislabelled, get a trigger and the label ``target`` (Gu et al., *BadNets*, 2017): a square of ``size``
    pixels in the lower right corner with the value ``value``, 1 for white. Copies of the test rows of other
    classes, with the trigger, follow the test rows, see ``Corruption.triggered``.

    Args:
        dataset: Rows and classes as chosen.
        poison: ``target``, ``share`` or ``count``, and ``size`` (3), ``value`` (1.0), ``seed`` (0).
        mislabel: ``share`` or ``count``, and ``source`` with ``target`` (null), ``seed`` (0). A ``share`` is
            of the rows that may be drawn.

    Raises:
        InvalidValue: A setting is not allowed; named ``poison.share`` and so on.
    """
    if poison is None and mislabel is None:
        return dataset
    found = Corruption(_NONE, _NONE, dataset.y_train, _NONE)
    if mislabel is not None:
        dataset, found = _mislabelled(dataset, found, _settings(MISLABEL, mislabel))
    if poison is not None:
        dataset, found = _poisoned(dataset, found, _settings(POISON, poison))
    return replace(dataset, corruption=found)


def with_trigger(images: NDArray[Any], size: int, value: float) -> NDArray[Any]:
    """Return copies of images (m, height, width, ...) with a square of this value in the lower right corner.

    ``size`` is its side in pixels, ``value`` as pixels are stored.
    """
    changed = images.copy()
    changed[:, images.shape[1] - size :, images.shape[2] - size :] = value
    return changed


def _mislabelled(dataset: Dataset, found: Corruption, given: dict[str, Any]) -> tuple[Dataset, Corruption]:
    y, labels = dataset.y_train, np.unique(dataset.y_train)
    ends = [key for key in ("source", "target") if given[key] is not None]
    if len(ends) == 1:
        other = "target" if ends == ["source"] else "source"
        raise InvalidValue(f"{MISLABEL}.{other}", None, f"a class, beside {MISLABEL}.{ends[0]}")
    rng, pair = stream(given["seed"], "corruption", _STREAMS.index(MISLABEL)), None
    if ends:
        pair = _label(dataset, MISLABEL, "source", given), _label(dataset, MISLABEL, "target", given)
        if pair[0] == pair[1]:
            raise InvalidValue(f"{MISLABEL}.target", given["target"], f"another class than {MISLABEL}.source")
        able, of = np.flatnonzero(y == pair[0]), f"class {given['source']}"
        if not len(able):
            raise InvalidValue(f"{MISLABEL}.source", given["source"], "a class with training rows")
    else:
        able, of = np.arange(len(y)), "all classes"
        if len(labels) < 2:
            raise InvalidValue(MISLABEL, given, "null where all training rows have one label")
    rows = _drawn(rng, able, MISLABEL, given, of)
    changed = y.copy()
    if pair:
        changed[rows] = pair[1]
    else:
        further = np.searchsorted(labels, y[rows]) + rng.integers(1, len(labels), len(rows))
        changed[rows] = labels[further % len(labels)]
    return replace(dataset, y_train=changed), replace(found, mislabelled=rows, pair=pair)


def _poisoned(dataset: Dataset, found: Corruption, given: dict[str, Any]) -> tuple[Dataset, Corruption]:
    size, value = _trigger(dataset, given)
    target = _label(dataset, POISON, "target", given)
    able = np.setdiff1d(np.flatnonzero(found.truth != target), found.mislabelled)
    if not len(able):
        raise InvalidValue(f"{POISON}.target", given["target"], "a class beside others with training rows")
    rng = stream(given["seed"], "corruption", _STREAMS.index(POISON))
    rows = _drawn(rng, able, POISON, given, f"other classes than {given['target']}")
    x, y = np.array(dataset.x_train), dataset.y_train.copy()
    x[rows], y[rows] = with_trigger(x[rows], size, value), target
    others = dataset.y_test != target
    copies = with_trigger(dataset.x_test[others], size, value)
    nobody = min(found.truth.min(), dataset.y_test.min(), *dataset.class_names) - 1
    tested = len(dataset.y_test)
    changed = replace(
        dataset,
        x_train=x,
        y_train=y,
        x_test=np.concatenate([dataset.x_test, copies]),
        y_test=np.concatenate([dataset.y_test, np.full(len(copies), nobody)]),
    )
    triggered = np.arange(tested, tested + len(copies))
    return changed, replace(found, poisoned=rows, triggered=triggered, target=target)


def _trigger(dataset: Dataset, given: dict[str, Any]) -> tuple[int, float]:
    """Side of the square, and its value as pixels are stored."""
    shape = dataset.x_train.shape[1:]
    if len(shape) not in (2, 3):
        got = f"rows of shape {shape}"
        raise InvalidValue(POISON, got, "null for a table: a trigger is put on images")
    size, side = require_count(f"{POISON}.size", given["size"]), min(shape[:2])
    if size > side:
        raise InvalidValue(f"{POISON}.size", size, f"at most {side}, the side of an image in pixels")
    value = require_from_zero(f"{POISON}.value", given["value"], most=1.0) * dataset.unit
    return size, round(value) if np.issubdtype(dataset.x_train.dtype, np.integer) else value


def _settings(kind: str, given: Any) -> dict[str, Any]:
    """All settings of one kind, the ones that were left out as they are by default."""
    known = _KEYS[kind]
    if not isinstance(given, Mapping) or not set(given) <= known.keys():
        raise InvalidValue(kind, given, f"null, or settings named {', '.join(known)}")
    found: dict[str, Any] = {**known, **given}
    require_seed(f"{kind}.seed", found["seed"])
    if (found["share"] is None) == (found["count"] is None):
        got = {key: found[key] for key in ("share", "count")}
        raise InvalidValue(kind, got, "either a share or a count of rows")
    return found


def _label(dataset: Dataset, kind: str, key: str, given: dict[str, Any]) -> int:
    try:
        return dataset.label_of(given[key])
    except InvalidValue as error:
        raise InvalidValue(f"{kind}.{key}", given[key], error.allowed) from None


def _drawn(rng: np.random.Generator, able: Ids, kind: str, given: dict[str, Any], of: str) -> Ids:
    """As many of the rows that may be drawn as the settings say, in rising order."""
    if given["count"] is None:
        count = max(1, round(require_share(f"{kind}.share", given["share"]) * len(able)))
    else:
        count = require_count(f"{kind}.count", given["count"])
        if count > len(able):
            allowed = f"at most {len(able)}, the training rows of {of} that may be drawn"
            raise InvalidValue(f"{kind}.count", count, allowed)
    return np.sort(rng.permutation(able)[:count])
