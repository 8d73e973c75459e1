"""Finding the Markov blanket in a bullseye network: ROC over confidence levels, and time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.codec import independence_test
from expunge.codec.blanket import grow_shrink
from expunge.codec.bullseye import VARIABLES, bullseye
from expunge.core.checks import (
    LARGEST_SINGLE,
    require_choice,
    require_count,
    require_positive,
    require_probability,
)
from expunge.core.errors import InvalidValue
from expunge.core.seeds import stream
from expunge.studies import cmiknn
from expunge.studies.blanket_scores import TRUTH, auc, auc_interval, scores_of, tests_of
from expunge.studies.checks import require_names
from expunge.studies.codec_speed import TIES

METHODS = ("codec", "lcodec", "cmiknn")
READINGS = ("full", "grow_shrink")
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
_DATA, _TEST = 2, 3


class Bullseye:
    """Replicates of the network, each read by every method: which variables are in the blanket of the target?

    Two ways of reading: ``full`` tests the target against each variable given all the others; ``grow_shrink``
    searches as ``markov_blanket`` does, once at each confidence level. A test is made once in a replicate,
    however often it is asked for. All methods see the same samples.

    Args:
        n: Samples of a replicate.
        dim: Columns of a variable, 1 or 3.
        eps: Half width of the noise on the radii.
        replicates: How many networks are drawn.
        methods: Of ``codec`` (ties at random), ``lcodec`` (ties by noise) and ``cmiknn`` (tigramite).
        readings: Of ``full`` and ``grow_shrink``.
        levels: Confidence levels of ``grow_shrink``; ``confidence`` is added.
        confidence: The level of the rates in the table.
        permutations: Copies in a test.
        neighbours: From how many rows a row may take in a local permutation.
        knn: Neighbours of the estimator of ``cmiknn``.
        threads: For the tests (None: every core); given by the run.

    Raises:
        InvalidValue: A value is not allowed, or ``cmiknn`` is asked for and tigramite is not installed.
    """

    name = "bullseye"

    def __init__(
        self,
        n: int = 1000,
        dim: int = 3,
        eps: float = 0.075,
        replicates: int = 20,
        methods: Sequence[str] = METHODS,
        readings: Sequence[str] = READINGS,
        levels: Sequence[float] = LEVELS,
        confidence: float = 0.95,
        permutations: int = 99,
        neighbours: int = 5,
        knn: int = 5,
        threads: int | None = None,
    ) -> None:
        self.n, self.dim = require_count("n", n, least=10), dim
        require_choice("dim", dim, (1, 3))
        self.eps = require_positive("eps", eps, most=LARGEST_SINGLE)
        self.replicates = require_count("replicates", replicates)
        self.methods = require_names("methods", methods, METHODS)
        if "cmiknn" in self.methods and not cmiknn.available():
            raise InvalidValue("methods", "cmiknn", cmiknn.MISSING)
        self.readings = require_names("readings", readings, READINGS)
        self.confidence = require_probability("confidence", confidence)
        self.levels = sorted({*_probabilities("levels", levels), self.confidence})
        least = int(np.ceil(1 / (1 - self.levels[-1]) - 1e-9)) - 1  # or no p-value is low enough
        self.permutations = require_count("permutations", permutations, least=max(least, 1))
        self.neighbours = require_count("neighbours", neighbours)
        self.knn = require_count("knn", knn)
        for name, value in (("neighbours", neighbours), ("knn", knn)):
            if value >= n:
                raise InvalidValue(name, value, f"below n = {n}")
        self.threads = threads
        self._rehearsed: set[str] = set()

    def cells(self) -> list[dict[str, Any]]:
        """Each replicate by each method, so that a study cut short compares like with like."""
        return [{"replicate": r, "method": m} for r in range(self.replicates) for m in self.methods]

    def run_cell(self, cell: dict[str, Any], seed: int) -> dict[str, Any]:
        """Read one network by one method.

        Returns:
            ``tests``: for each ``variable given statistic p_value seconds`` in the order made; ``full``: the
            p-value of each variable given all the others (None where T is undefined); ``grow_shrink``: the
            blanket at each of ``levels``; whichever of the two was asked for. ``seconds`` of all tests.
        """
        replicate, method = cell["replicate"], cell["method"]
        x, y, groups = bullseye(self.n, self.dim, self.eps, stream(seed, "study", _DATA, replicate))
        made: dict[tuple[int, tuple[int, ...]], tuple[float, float]] = {}
        tests: list[dict[str, Any]] = []

        def test(variable: int, given: list[int]) -> tuple[float, float]:
            key = (variable, tuple(given))
            if key not in made:
                number = sum(2**j for j in given)
                rng = stream(seed, "study", _TEST, replicate, METHODS.index(method), variable, number)
                columns = x[:, [c for j in given for c in groups[j]]] if given else None
                started = time.perf_counter()
                made[key] = self._test(method, y, x[:, groups[variable]], columns, rng, self.permutations)
                seconds = time.perf_counter() - started
                statistic, p_value = (None if np.isnan(v) else float(v) for v in made[key])
                values = {"statistic": statistic, "p_value": p_value, "seconds": seconds}
                tests.append({"variable": variable, "given": given, **values})
            return made[key]

        if method not in self._rehearsed:  # compiling the kernels is not testing
            for columns in (None, x[:, groups[0]]):
                self._test(method, y, x[:, groups[1]], columns, np.random.default_rng(0), 1)
            self._rehearsed.add(method)
        result: dict[str, Any] = {}
        if "full" in self.readings:
            for j in range(VARIABLES):
                test(j, [k for k in range(VARIABLES) if k != j])
            result["full"] = [record["p_value"] for record in tests]
        if "grow_shrink" in self.readings:
            result["levels"] = self.levels
            result["grow_shrink"] = [grow_shrink(VARIABLES, test, level) for level in self.levels]
        return {"seconds": sum(record["seconds"] for record in tests), **result, "tests": tests}

    def table(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A row for each method and way of reading."""
        level = f"{self.confidence:.0%}"
        return [
            {
                "method": f"{row['method']}, {row['reading']}",
                "replicates": row["replicates"],
                "AUC": row["auc"],
                **dict(zip(("AUC from", "AUC to"), row["auc_interval"], strict=True)),
                "median s a test": row["seconds_median"],
                f"right found at {level}": row["true_positive_rate"],
                f"wrong found at {level}": row["false_positive_rate"],
            }
            for row in self.summary(records)["rows"]
        ]

    def summary(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Areas under the ROC curves, rates at ``confidence``, and seconds.

        Returns:
            ``rows``: for each method and reading ``method reading replicates auc auc_interval`` (95%,
            resampling replicates), ``seconds_median`` of its tests, ``true_positive_rate`` and
            ``false_positive_rate`` at ``confidence``.
        """
        rows: list[dict[str, Any]] = []
        for method in self.methods:
            own = [record for record in records if record["method"] == method]
            for reading in self.readings if own else []:
                scores = np.array([scores_of(record, reading) for record in own])
                found = np.array([self._found(record, reading) for record in own])
                rows.append(
                    {
                        "method": method,
                        "reading": reading,
                        "replicates": len(own),
                        "auc": auc(scores),
                        "auc_interval": auc_interval(scores),
                        "seconds_median": median(t["seconds"] for r in own for t in tests_of(r, reading)),
                        "true_positive_rate": float(found[:, TRUTH].mean()),
                        "false_positive_rate": float(found[:, ~TRUTH].mean()),
                    }
                )
        return {"rows": rows}

    def figures(self, records: list[dict[str, Any]], folder: Path) -> None:
        """Write ``bullseye.png`` and ``.svg``."""
        from expunge.studies.bullseye_figure import draw

        draw(records, self.readings, self.n).save(folder)

    def _found(self, record: dict[str, Any], reading: str) -> NDArray[np.bool_]:
        """Which variables are in the blanket at ``confidence``."""
        if reading == "full":
            return -scores_of(record, reading) <= 1 - self.confidence + 1e-12
        return np.isin(np.arange(VARIABLES), record["grow_shrink"][record["levels"].index(self.confidence)])

    def _test(
        self,
        method: str,
        y: NDArray[np.float64],
        z: NDArray[np.float64],
        x: NDArray[np.float64] | None,
        rng: np.random.Generator,
        permutations: int,
    ) -> tuple[float, float]:
        same: Any = {"permutations": permutations, "neighbours": self.neighbours, "threads": self.threads}
        if method == "cmiknn":
            return cmiknn.cmiknn_test(y, z, x, knn=self.knn, rng=rng, **same)
        return independence_test(y, z, x, ties=TIES[method], rng=rng, **same)[:2]


def _probabilities(key: str, given: Any) -> list[float]:
    if not isinstance(given, (list, tuple)) or not given:
        raise InvalidValue(key, given, "a list of one or more numbers strictly between 0 and 1")
    return [require_probability(key, value) for value in given]
