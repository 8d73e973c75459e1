"""What of a run moves: the model, what has been asked of it, and what is found of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from expunge.certificate.composition import Claim, Total, Upstream, total
from expunge.core import memory_rise
from expunge.core.columns import Column
from expunge.core.errors import InvalidValue
from expunge.core.files import State, save_state
from expunge.core.memory_rise import NOT_TOLD, Rise
from expunge.core.plain import finite
from expunge.linear.operations import RowOperations
from expunge.linear.placed import place_of, placed
from expunge.linear.shared_rows import spread
from expunge.metrics import Metric, View
from expunge.metrics.base import Comparing, Pictured, columns_of, lacking
from expunge.record import hints
from expunge.record.columns import GPU_MEMORY, MEMORY, SIZES, STORED, TUNED, declared
from expunge.record.ledger import KEYS
from expunge.record.requests import Request
from expunge.record.run_state import counts_in, requested_in
from expunge.run import costly
from expunge.run.checked import Checked, promised
from expunge.run.experiment import Experiment
from expunge.run.linear_settings import as_typed, constant_of
from expunge.unlearners import Outcome

log = logging.getLogger(__name__)

_UNSAID = "the unlearner does not say what its model shows of a class whose rows have all been removed"
_OF_OUTCOME = ("outcome", "reason", "residual_bound", "residual_measured", "budget", "epsilon_spent")


class Session:
    """The moving parts of a run between two requests."""

    checked: Checked

    def __init__(self, experiment: Experiment, x_train: Any, x_test: Any) -> None:
        self.experiment, self.x_train, self.x_test = experiment, x_train, x_test
        settings, linear = experiment.settings, isinstance(x_train, RowOperations)
        # trained on where the settings say, looked at in memory
        there = placed(x_train, settings["device"]) if linear else x_train
        self.there = spread(there, settings.get("threads"))
        self.y_train, self.y_test = experiment.dataset.y_train, experiment.dataset.y_test
        self.requested: NDArray[np.bool_] = np.zeros(len(self.y_train), dtype=bool)
        self.served, self.removed = 0, 0
        self.stopped, self.rise = False, Rise()
        self._took: float | None = None  # of the last removal, in seconds
        self._warned = False
        self.measured: dict[str, Any] = {}
        self.evaluated: list[Metric] = []
        if hasattr(experiment.unlearner, "rehearse"):  # compiling is in no time of training or removal
            experiment.unlearner.rehearse(self.there, self.y_train)

    def fit(self) -> None:
        """Train, and evaluate the model before any removal."""
        self._hint()
        started = time.perf_counter()
        try:
            self.experiment.unlearner.fit(self.there, self.y_train, self.experiment.seed)
        except InvalidValue as error:  # an error of the model or its training says so itself
            own = error.name in (self.experiment.settings.get("unlearner") or {})
            raise (as_typed(error.within("unlearner"), self.experiment.typed) if own else error) from None
        seconds = time.perf_counter() - started
        trained_in = getattr(self.experiment.model, "seconds_fit", None)
        self.measured["seconds_fit"] = seconds if trained_in is None else trained_in
        self._hand_over()
        self.measured["test_accuracy_before"] = self._test_accuracy()
        log.info("fitted in %.2f s%s", seconds, self._of_releases())

    def before(self) -> dict[str, Any]:
        """What a tracker's curves begin with: request 0, the model that nothing has been removed from."""
        accuracy = {"test_accuracy": self.measured.get("test_accuracy_before")}
        return {"request": 0, "removed_total": 0, "retained": len(self.y_train), **accuracy}

    def _hint(self) -> None:
        """Say on the screen what of the rows of a linear model is likely to cost accuracy."""
        dataset, settings = self.experiment.dataset, self.experiment.settings
        if not isinstance(self.x_train, RowOperations):
            return
        found = []
        if not constant_of(settings, dataset):
            named = (dataset.class_names, "model.intercept=true")
            found.append(hints.of_intercept(self.x_train, self.y_train, *named))
        if dataset.features is not None and settings["extractor"].get("scaling", "row") == "row":
            found.append(hints.of_units(dataset.x_train, dataset.features))
        for hint in filter(None, found):
            log.warning("%s", hint)

    def _of_releases(self) -> str:
        """The noise of a release, in words; without noise at release nothing."""
        said = getattr(getattr(self.experiment.unlearner, "guarantee", None), "noise_in_words", None)
        return f"; {said(self.experiment.model.lam)}" if said else ""

    def _hand_over(self) -> None:
        """Give the test rows to an unlearner that validates its updates."""
        if hasattr(self.experiment.unlearner, "validate_on"):
            self.experiment.unlearner.validate_on(self.x_test, self.y_test)

    def pending(self, last: int | None = None) -> Iterator[Request]:
        """The requests still to be served, up to number ``last``, with a progress bar on a terminal."""
        todo = self.experiment.requests[self.served : last]
        disable = None if self.experiment.progress else True
        with tqdm(total=len(todo), disable=disable, unit="request", dynamic_ncols=True) as self.bar:
            for request in todo:
                if self.stopped:
                    break
                yield request
                self.bar.update()

    def prepare(self, request: Request) -> None:
        """Say what costs more than it saves; let metrics that compare look at what the request finds."""
        if not self._warned and (line := self._costly(request)):
            log.warning("%s", line)
            self._warned = True
        for metric in self._due(request):
            if isinstance(metric, Comparing):
                metric.before(self._view(request.rows))

    def _costly(self, request: Request) -> str | None:
        return costly.told(self.experiment.unlearner, request, self.measured.get("seconds_fit"), self._took)

    def serve(self, request: Request) -> tuple[Outcome, float]:
        """Remove; the removal alone is timed, and its memory seen. At a limit to be found, the run ends."""
        with memory_rise.measured() as self.rise:
            started = time.perf_counter()
            outcome = self.experiment.unlearner.remove(list(request.rows))
            seconds = time.perf_counter() - started
        self.checked.outcome(outcome, request)
        self._took = seconds if outcome.outcome == "removed" else self._took
        self.served = request.number
        self.stopped = self.experiment.stop_at_limit and outcome.outcome != "removed"
        self.requested[list(request.rows)] = True
        self.removed += 0 if outcome.outcome == "refused" else len(request.rows)
        if outcome.residual_bound is not None and outcome.budget is not None:
            share = f"{outcome.residual_bound:.2e} of {outcome.budget:.2e}"
            self.bar.set_postfix_str(f"residual bound {share}", refresh=False)
        return outcome, seconds

    def record(
        self, request: Request, outcome: Outcome, seconds: float, evaluate: bool = True
    ) -> dict[str, Any]:
        """The ledger's line for a served request."""
        due = self._due(request) if evaluate else []
        if outcome.residual_measured is not None:  # never measure again what the update has measured
            due = [m for m in due if [*columns_of(m)] != ["residual_measured"]]
        self.evaluated = due
        own = (name for metric in self.experiment.metrics for name in columns_of(metric))
        record: dict[str, Any] = dict.fromkeys((*KEYS, MEMORY, *own))
        record |= {
            "request": request.number,
            "rows": list(request.rows),
            "removed_total": self.removed,
            "retained": len(self.y_train) - self.removed,
            "seconds": seconds,
            MEMORY: self.rise.resident,
            **{key: getattr(outcome, key) for key in _OF_OUTCOME},
        }
        if self.rise.gpu is not None:
            record[GPU_MEMORY] = self.rise.gpu
        if ids := self.experiment.dataset.ids_of(request.rows):
            record["ids"] = ids
        return record | self._evaluate(due, request.rows) | finite(outcome.figures)

    def save_arrays(self, folder: Path) -> None:
        """Write what metrics keep for pictures of the request just evaluated, a file each, by their key."""
        names = {str(label): name for label, name in self.experiment.dataset.class_names.items()}
        for key, metric in self._named_metrics():
            if metric in self.evaluated and isinstance(metric, Pictured) and (arrays := metric.arrays()):
                values = {"class_names": names, "picture": getattr(metric, "picture", "")}
                save_state(folder / f"{key}.safetensors", State(arrays, values))

    def _due(self, request: Request) -> list[Metric]:
        if self.stopped or request.number == len(self.experiment.requests):
            return self.experiment.metrics
        return [m for m in self.experiment.metrics if m.every is not None and request.number % m.every == 0]

    def _evaluate(self, metrics: list[Metric], rows: Sequence[int] = ()) -> dict[str, float | None]:
        view = self._view(rows)
        return finite({name: value for metric in metrics for name, value in metric(view).items()})

    def _view(self, rows: Sequence[int]) -> View:
        inputs = (self.x_train, self.y_train, self.x_test, self.y_test)
        of, asked = self.experiment, (self.requested.copy(), tuple(rows))
        return View(of.model, *inputs, *asked, of.dataset.retrieval, of.again, of.dataset.corruption)

    def _test_accuracy(self) -> float | None:
        found = self._evaluate([m for m in self.experiment.metrics if "test_accuracy" in columns_of(m)])
        return found.get("test_accuracy")

    def state(self) -> State:
        """The unlearner's state and this session's own counts."""
        state = self.experiment.unlearner.state()
        state.arrays["run_requested"] = self.requested
        counts = {"served": self.served, "removed": self.removed, "stopped": self.stopped}
        counts["anew"] = bool(getattr(self.experiment.unlearner, "draws_anew", False))
        state.values["run"] = {**counts, "measured": self.measured}
        return state

    def load(self, state: State) -> None:
        """Continue from a checkpoint."""
        self.requested = requested_in(state, len(self.y_train))
        vars(self).update(counts_in(state))
        self.experiment.unlearner.load_state(state, self.there, self.y_train)
        self._hand_over()

    def count_released(self, count: int) -> None:
        """Count models that had left with records that have been replaced, where the method counts any."""
        if count and hasattr(self.experiment.unlearner, "count_released"):
            self.experiment.unlearner.count_released(count)

    def facts(self) -> dict[str, Any]:
        """What the summary says beyond the records."""
        extractor = self.experiment.extractor
        return {
            **self.experiment.facts,
            **self.measured,
            "seed": self.experiment.shown.get("seed", self.experiment.seed),
            **{key: self.experiment.settings.get(key, 0) for key in ("repeat", "evaluation")},
            "n_train": len(self.y_train),
            "n_test": len(self.y_test),
            "test_accuracy_after": self._test_accuracy(),
            "total": self._total(),
            "claim": self._claim(),
            "noise": self._noise(),
            STORED: self._stored(),
            "role": getattr(self.experiment.unlearner, "role", "heuristic"),
            "not_measured": self._not_measured(),
            "extracted": extractor.facts() if hasattr(extractor, "facts") else {},
            "inputs": self.experiment.inputs.shown(),
            "rows_on": place_of(self.there),
        }

    def _noise(self) -> dict[str, Any]:
        """What is public of noise at release, and how many releases there were; empty where there is none."""
        account = getattr(self.experiment.unlearner, "account", None)
        guarantee: Any = getattr(account, "guarantee", None)
        if account is None or not hasattr(guarantee, "releases"):
            return {}
        plan = {key: getattr(guarantee, key) for key in ("releases", "std", "sensitivity", "noise", "grid")}
        so_far = {key: getattr(account, key) for key in ("released", "epsilon_spent")}
        return {**plan, "ratio": guarantee.most, **so_far}

    def _stored(self) -> float:
        """Bytes a training row of what the method's state has besides the model."""
        parts = (self.experiment.unlearner.state().arrays, self.experiment.model.model())
        state, model = (sum(np.asarray(array).nbytes for array in arrays.values()) for arrays in parts)
        return max(0, state - model) / len(self.y_train)

    def _named_metrics(self) -> Iterator[tuple[str, Metric]]:
        return zip(self.experiment.settings.get("metrics") or {}, self.experiment.metrics, strict=False)

    def _not_measured(self) -> dict[str, str]:
        """Metric -> why it could measure nothing: the unlearner lacks what it needs."""
        model, who = self.experiment.model, self.experiment.unlearner.name
        lacks = {name: ", ".join(lacking(model, metric)) for name, metric in self._named_metrics()}
        untold = {MEMORY: NOT_TOLD} if self.served and self.rise.resident is None else {}
        return {name: f"{who} has no {what}" for name, what in lacks.items() if what} | untold

    def _total(self) -> Total:
        """The guarantee of extractor and unlearner together."""
        if hasattr(self.experiment.extractor, "upstream"):
            upstream = self.experiment.extractor.upstream()
        else:  # a plug-in need not know; then nobody does
            upstream = Upstream(not_covered="the extractor does not say what it costs the training rows")
        epsilon, delta = (promised(self.experiment.unlearner, what) for what in ("epsilon", "delta"))
        return total(upstream, epsilon, delta, self._claim())

    def _claim(self) -> Claim:
        """What the unlearner says of its guarantee."""
        unlearner = self.experiment.unlearner
        if hasattr(unlearner, "claim"):
            said: Claim = unlearner.claim()
            return said
        return Claim(not_covered=_UNSAID)  # a plug-in need not know; then nobody does

    def columns(self) -> dict[str, Column]:
        """What the run's numbers are called and mean, by those who make them."""
        parts = (self.experiment.extractor, self.experiment.unlearner)
        extractor, unlearner = (getattr(part, "COLUMNS", {}) for part in parts)
        tuned = TUNED if self.experiment.facts.get("tuned") else {}
        return declared([extractor, *map(columns_of, self.experiment.metrics), unlearner, SIZES, tuned])
