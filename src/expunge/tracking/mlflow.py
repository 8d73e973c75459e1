"""MLflow: a run of its tracking server or database for each run."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from expunge.core.columns import Columns
from expunge.core.errors import InvalidValue
from expunge.tracking.needed import needed

_PARAMS = 100  # that MLflow takes at a time
_LONGEST = 6000  # characters of a parameter or a tag, beyond which MLflow refuses it


class MlflowTracker:
    """Mirrors ledger records and the summary to MLflow.

    Configuration becomes parameters (``unlearner.lam``), a record's numbers become metrics at step
    ``request``, numbers of the summary metrics called ``summary.NAME``, its words tags of that name. Nothing
    is a global state of MLflow: a program that has its own active run keeps it. A resumed run is a new run of
    MLflow, to which the earlier records are sent again.

    Args:
        tracking_uri: Server or database, such as ``http://localhost:5000`` or ``sqlite:///mlflow.db``; None
            for ``MLFLOW_TRACKING_URI``, or else MLflow's own default.
        experiment: Name of the experiment; None for ``MLFLOW_EXPERIMENT_NAME``, or else expunge.

    Raises:
        InvalidValue: One of them is no text.
        UserError: The package ``mlflow`` is missing.
    """

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None) -> None:
        for name, given in (("tracking_uri", tracking_uri), ("experiment", experiment)):
            if not (given is None or (isinstance(given, str) and given)):
                raise InvalidValue(name, given, "a text, or null")
        # What is removed from a model is nobody's business but its owner's.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._mlflow = needed("mlflow", "mlflow", "mlflow")
        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self.tracking_uri = tracking_uri
        self.experiment = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "expunge"
        self._client: Any = None
        self._run = ""

    def start(self, config: dict[str, Any], folder: Path, group: str | None) -> None:
        """Begin a run that is called after its folder; ``sweep`` is a tag."""
        client = self._mlflow.MlflowClient(tracking_uri=self.tracking_uri)
        found = client.get_experiment_by_name(self.experiment)
        experiment = client.create_experiment(self.experiment) if found is None else found.experiment_id
        tags = {} if group is None else {"sweep": group}
        self._run = client.create_run(experiment, run_name=folder.name, tags=tags).info.run_id
        self._client = client
        params = [self._mlflow.entities.Param(key, value[:_LONGEST]) for key, value in _flat(config)]
        for start in range(0, len(params), _PARAMS):
            client.log_batch(self._run, params=params[start : start + _PARAMS])

    def define(self, columns: Columns) -> None:
        """Keep what the numbers mean in the run's description."""
        said = "\n".join(f"- `{key}`: {column.definition}" for key, column in columns.items())
        self._client.set_tag(self._run, "mlflow.note.content", said[:_LONGEST])

    def before(self, record: dict[str, Any]) -> None:
        """Send what was before any removal at step 0."""
        self.log(record)

    def log(self, record: dict[str, Any]) -> None:
        """Send a record's numbers at step ``request``."""
        numbers = {key: value for key, value in record.items() if key != "request" and _is_number(value)}
        self._send(numbers, record["request"])

    def finish(self, summary: dict[str, Any]) -> None:
        """Send the summary, but for what was said of its numbers before."""
        flat = dict(_flat({key: value for key, value in summary.items() if key != "columns"}))
        self._send({f"summary.{key}": value for key, value in summary.items() if _is_number(value)}, 0)
        words = {key: value for key, value in flat.items() if not _is_number(summary.get(key))}
        tags = [
            self._mlflow.entities.RunTag(f"summary.{key}", value[:_LONGEST]) for key, value in words.items()
        ]
        for start in range(0, len(tags), _PARAMS):
            self._client.log_batch(self._run, tags=tags[start : start + _PARAMS])

    def __enter__(self) -> MlflowTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End MLflow's run: finished, failed, or killed where somebody interrupted it."""
        client, self._client = self._client, None
        if client is not None:
            ended = "KILLED" if kind is KeyboardInterrupt else "FAILED" if kind else "FINISHED"
            client.set_terminated(self._run, ended)

    def _send(self, numbers: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        metric = self._mlflow.entities.Metric
        self._client.log_batch(self._run, [metric(key, value, now, step) for key, value in numbers.items()])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _flat(values: Any, under: str = "") -> Iterator[tuple[str, str]]:
    """``a.b`` and what stands there, as text: MLflow has no nested parameters."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from _flat(value, f"{under}.{_allowed(str(key))}" if under else _allowed(str(key)))
    elif under:
        yield under, str(values)


def _allowed(key: str) -> str:
    """A key with what MLflow refuses in names (a comma, say) as an underscore."""
    return "".join(c if c.isalnum() or c in "_-./ :" else "_" for c in key)
