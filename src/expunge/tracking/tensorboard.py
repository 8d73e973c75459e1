"""TensorBoard: curves along the requests, in a folder of the run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any

from expunge.core.columns import Columns
from expunge.core.errors import InvalidValue
from expunge.tracking.needed import needed

FOLDER = "tensorboard"


class TensorBoardTracker:
    """Mirrors the numbers of ledger records to event files, which ``tensorboard --logdir FOLDER`` shows.

    A run that is resumed writes its curves anew from its first record, and its earlier event files, which
    cannot be gone on with, are deleted. They are known by a suffix made of the run's folder: nothing else
    that lies there is touched, nor what a run of the same name has left.

    Args:
        log_dir: Folder in which each run gets one of its own, called after the run's folder; None:
            ``tensorboard`` in the run folder.

    Raises:
        InvalidValue: ``log_dir`` is no text.
        UserError: The package ``tensorboard`` is missing.
    """

    def __init__(self, log_dir: str | None = None) -> None:
        if not (log_dir is None or (isinstance(log_dir, str) and log_dir)):
            raise InvalidValue("log_dir", log_dir, "a folder, or null")
        self.log_dir = log_dir
        self._writer_class = needed("torch.utils.tensorboard", "tensorboard", "tensorboard").SummaryWriter
        self._writer: Any = None
        self._last = 0

    def start(self, config: dict[str, Any], folder: Path, group: str | None) -> None:
        """Open the event file; the configuration is its first text."""
        own = Path(folder.name) if group is None else Path(group, folder.name)
        into = folder / FOLDER if self.log_dir is None else Path(self.log_dir) / own
        suffix = "." + hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        for earlier in into.glob(f"events.out.tfevents.*{suffix}"):
            earlier.unlink()
        self._writer = self._writer_class(str(into), filename_suffix=suffix)
        self._writer.add_text("config", _block(config), 0)

    def define(self, columns: Columns) -> None:
        """Say what the numbers mean, as a text beside the curves."""
        lines = [f"- `{key}`: {column.definition}" for key, column in columns.items()]
        self._writer.add_text("columns", "\n".join(lines), 0)

    def before(self, record: dict[str, Any]) -> None:
        """Write what was before any removal at step 0."""
        self.log(record)

    def log(self, record: dict[str, Any]) -> None:
        """Write a record's numbers, as float64, at step ``request``; the file has them at once."""
        self._last = record["request"]
        for key, value in record.items():
            if isinstance(value, (int, float)) and key != "request":
                self._writer.add_scalar(key, value, self._last, new_style=True, double_precision=True)
        self._writer.flush()

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary as a text, but for what was said of its numbers before."""
        kept = {key: value for key, value in summary.items() if key != "columns"}
        self._writer.add_text("summary", _block(kept), self._last)

    def __enter__(self) -> TensorBoardTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def _block(values: dict[str, Any]) -> str:
    """JSON as the text plugin, which reads Markdown, shows it unchanged."""
    return "\n".join("    " + line for line in json.dumps(values, indent=2, default=str).splitlines())
