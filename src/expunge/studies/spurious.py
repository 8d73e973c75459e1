"""Whether a network tells an attribute of faces by others that only go with it, and what helps against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expunge.codec import foci
from expunge.core.checks import LARGEST_SINGLE, require_count, require_positive
from expunge.core.errors import InvalidValue
from expunge.core.seeds import stream, torch_generator
from expunge.datasets.face_attributes import load
from expunge.studies.adversarial import train
from expunge.studies.checks import require_names
from expunge.training import Training
from expunge.training.compute import torch_threads

SELECTIONS = ("none", "all", "random", "foci", "one", "first")
_FOCI, _RANDOM, _TRAINING, _ONE = 0, 1, 2, 3
_TRAINING_KEYS = ("epochs", "lr", "batch_size", "schedule")
_LEAST = 20  # test rows with an attribute, and without it, for an accuracy of each
_HEADINGS = (
    *("attributes regularised", "strength", "number", "accuracy", "balanced accuracy"),
    *("lowest with or without", "highest", "mean gap"),
)


class Spurious:
    """Networks that tell an attribute, kept from telling all others, as many at random, or FOCI's choice.

    Args:
        folder, file: See ``expunge.datasets.face_attributes.load``, like the next five.
        target, image_size, test_share, split_seed, people: Images are square, of a multiple of 16 pixels.
        selections: Of ``none``, ``all``, ``foci`` (those that FOCI chooses for the target, out of all others,
            ties broken at random), ``first`` (the first of these alone, which is what the authors' code
            regularises), ``random`` (as many as FOCI chooses) and ``one``, drawn anew for each repeat.
        strengths: Factors of the gradient that is turned round; see ``expunge.studies.adversarial``.
        repeats: Trainings of each.
        foci_rows: Rows of the attributes' file that FOCI sees, drawn at random; None: all of them.
        training: ``epochs``, ``lr``, ``batch_size`` and ``schedule`` of Adam.
        data_dir, seed, threads: Given by the run.

    Raises:
        InvalidValue: A value is not allowed.
        DataError: Folder or file cannot be used.
    """

    name = "spurious"

    def __init__(
        self,
        folder: str | None,
        file: str,
        training: dict[str, Any],
        target: str = "No_Beard",
        image_size: int = 64,
        test_share: float = 0.3,
        split_seed: int = 0,
        people: int | None = None,
        selections: Sequence[str] = SELECTIONS,
        strengths: Sequence[float] = (1.0,),
        repeats: int = 3,
        foci_rows: int | None = None,
        data_dir: Any = ".",
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        require_count("image_size", image_size, least=16)
        if image_size % 16:
            raise InvalidValue("image_size", image_size, "a multiple of 16")
        self.selections = require_names("selections", selections, SELECTIONS)
        self.strengths = _strengths(strengths)
        self.repeats = require_count("repeats", repeats)
        self.training = _training(training)
        self.data = load(data_dir, folder, file, target, image_size, test_share, split_seed, people)
        self.dataset, self.target = self.data.faces, target
        if foci_rows is not None:
            require_count("foci_rows", foci_rows, least=10, most=len(self.data.table))
        self.foci_rows, self.seed, self.threads = foci_rows, seed, threads

    def cells(self) -> list[dict[str, Any]]:
        """Each selection at each strength, and each repeat of it; of ``none`` the strength is 0."""
        asked = [(own, s) for own in self.selections for s in (self.strengths if own != "none" else [0.0])]
        return [
            {"selection": own, "strength": s, "repeat": repeat}
            for repeat in range(self.repeats)
            for own, s in asked
        ]

    def run_cell(self, cell: dict[str, Any], seed: int) -> dict[str, Any]:
        """Train one network and test it.

        Returns:
            ``attributes``: names that are regularised, in FOCI's order or the file's; ``scores`` of FOCI,
            else None; ``accuracy`` of the target on the test rows, and ``balanced``, the mean of that of
            its two classes; ``with`` and ``without``: attribute -> accuracy on test rows that have it, that
            have not. Attributes of fewer than 20 test rows either way are left out.
        """
        names = self._names(cell, seed)
        with torch_threads(self.threads):
            chance = torch_generator(seed, "study", _TRAINING, cell["repeat"])
            columns = [self.data.names.index(name) for name in names]
            own = torch.from_numpy(self.data.train[:, columns]).float()
            x, y = self._rows("train")
            network = train(x, y, own, cell["strength"], self.training, chance)
            x, y = self._rows("test")
            right = (network.predict(x) == y).numpy()
        has = self.data.test.astype(bool)
        known = [
            (name, has[:, j])
            for j, name in enumerate(self.data.names)
            if name != self.target and _LEAST <= has[:, j].sum() <= len(has) - _LEAST
        ]
        return {
            "attributes": names,
            "scores": self._chosen[1] if cell["selection"] == "foci" else None,
            "accuracy": float(right.mean()),
            "balanced": fmean(float(right[self.dataset.y_test == k].mean()) for k in (0, 1)),
            "with": {name: float(right[own].mean()) for name, own in known},
            "without": {name: float(right[~own].mean()) for name, own in known},
        }

    def table(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A row for each selection and strength: means over the repeats."""
        return [dict(zip(_HEADINGS, row.values(), strict=True)) for row in self.summary(records)["rows"]]

    def summary(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """What each selection comes to, means over the repeats.

        Returns:
            ``target``; ``chosen``, FOCI's attributes (None without it); ``rows``: for each ``selection`` and
            ``strength`` the ``number`` of attributes, ``accuracy``, ``balanced``, ``lowest`` and ``highest``
            of all accuracies with and without an attribute, and ``gap``, the mean over the attributes of
            |with - without|; ``strongest``: selection -> that row at the greatest strength.
        """
        groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
        for record in records:
            groups.setdefault((record["selection"], record["strength"]), []).append(record)
        rows = [_row(*key, own) for key, own in groups.items()]
        foci_runs = [record["attributes"] for record in records if record["selection"] == "foci"]
        ordered = sorted(rows, key=lambda row: row["strength"])
        return {
            "target": self.target,
            "chosen": foci_runs[0] if foci_runs else None,
            "rows": rows,
            "strongest": {row["selection"]: row for row in ordered},
        }

    def figures(self, records: list[dict[str, Any]], folder: Path) -> None:
        """Write ``spurious.png`` and ``.svg``: at the greatest strength."""
        from expunge.studies.spurious_figure import draw

        draw(self.target, self.summary(records)["strongest"], _at_strongest(records)).save(folder)

    def _names(self, cell: dict[str, Any], seed: int) -> list[str]:
        others = [name for name in self.data.names if name != self.target]
        if cell["selection"] in ("none", "all"):
            return others if cell["selection"] == "all" else []
        chosen = self._chosen[0]
        if cell["selection"] in ("foci", "first"):
            return chosen if cell["selection"] == "foci" else chosen[:1]
        purpose, count = (_ONE, 1) if cell["selection"] == "one" else (_RANDOM, len(chosen))
        drawn = stream(seed, "study", purpose, cell["repeat"]).choice(len(others), count, replace=False)
        return [others[k] for k in sorted(drawn.tolist())]

    @cached_property
    def _chosen(self) -> tuple[list[str], list[float]]:
        """FOCI's attributes and their scores."""
        table, rng = self.data.table, stream(self.seed, "study", _FOCI)
        if self.foci_rows is not None:
            table = table[np.sort(rng.choice(len(table), self.foci_rows, replace=False))]
        others = [j for j, name in enumerate(self.data.names) if name != self.target]
        y = table[:, self.data.names.index(self.target)].astype(np.float64)
        found = foci(table[:, others].astype(np.float64), y, rng=rng, threads=self.threads)
        return [self.data.names[others[k]] for k in found.columns.tolist()], found.scores.tolist()

    def _rows(self, part: str) -> tuple[Tensor, Tensor]:
        """Images (n, 3, side, side) from -0.5 to 0.5, and whether each has the target."""
        x: NDArray[np.uint8] = getattr(self.dataset, f"x_{part}")
        pixels = torch.from_numpy(x).permute(0, 3, 1, 2).float() / self.dataset.unit - self.dataset.offset
        return pixels.contiguous(), torch.from_numpy(getattr(self.dataset, f"y_{part}"))


def _training(given: Any) -> Training:
    """Adam without a penalty, by these settings."""
    if not isinstance(given, Mapping) or not set(given) <= set(_TRAINING_KEYS):
        raise InvalidValue("training", given, f"the keys {', '.join(_TRAINING_KEYS)}")
    try:
        return Training(optimizer="adam", weight_decay=0.0, **given)
    except InvalidValue as error:
        raise error.within("training") from None


def _strengths(given: Any) -> list[float]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise InvalidValue("strengths", given, "a list of one or more numbers above 0, each once")
    found = [require_positive("strengths", one, most=LARGEST_SINGLE) for one in given]
    if len(set(found)) < len(found):
        raise InvalidValue("strengths", given, "a list of one or more numbers above 0, each once")
    return found


def _row(selection: str, strength: float, records: list[dict[str, Any]]) -> dict[str, Any]:
    both = over_repeats(records)
    ends = [end for pair in both.values() for end in pair]
    return {
        "selection": selection,
        "strength": strength,
        "number": len(records[0]["attributes"]),
        "accuracy": fmean(record["accuracy"] for record in records),
        "balanced": fmean(record["balanced"] for record in records),
        "lowest": min(ends, default=None),
        "highest": max(ends, default=None),
        "gap": fmean(abs(a - b) for a, b in both.values()) if both else None,
    }


def over_repeats(records: Sequence[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Attribute -> accuracy on rows with and without it, each the mean over these records."""
    return {
        name: (fmean(r["with"][name] for r in records), fmean(r["without"][name] for r in records))
        for name in records[0]["with"]
    }


def _at_strongest(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, tuple[float, float]]]:
    strongest: dict[str, float] = {}
    for record in records:
        name = record["selection"]
        strongest[name] = max(strongest.get(name, 0.0), record["strength"])
    of = {
        name: [r for r in records if (r["selection"], r["strength"]) == (name, strength)]
        for name, strength in strongest.items()
    }
    return {name: over_repeats(own) for name, own in of.items()}
