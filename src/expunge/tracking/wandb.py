"""Weights & Biases: offline when there is no key, one finished run per job."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from expunge.core.checks import require_choice
from expunge.core.columns import Columns
from expunge.core.errors import InvalidValue

_MODES = ("auto", "online", "offline", "disabled")


def has_key() -> bool:
    """Whether an API key is in the environment or in the user's netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        machines = netrc.netrc(os.environ.get("NETRC")).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in machines)


class WandbTracker:
    """Mirrors ledger records and the summary to wandb.

    An offline run cannot be resumed by wandb; a resumed run therefore starts a new wandb run and the earlier
    records are sent to it again.

    Args:
        project: wandb project.
        mode: ``auto`` (online with a key, else offline), ``online``, ``offline`` or ``disabled``.
        entity: wandb entity; None for the default one.
        tags: wandb tags.
    """

    def __init__(
        self,
        project: str = "expunge",
        mode: str = "auto",
        entity: str | None = None,
        tags: list[str] | None = None,
    ) -> None:
        self.project, self.entity, self.tags = project, entity, tags
        self.mode = require_choice("mode", mode, _MODES)
        if mode == "online" and not has_key():
            raise InvalidValue("mode", mode, "auto or offline, since there is no API key (see wandb login)")
        self._run: Any = None

    def start(self, config: dict[str, Any], folder: Path, group: str | None) -> None:
        """Open a wandb run whose files lie in the run folder."""
        import wandb

        mode = self.mode if self.mode != "auto" else ("online" if has_key() else "offline")
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            tags=self.tags,
            mode=mode,  # type: ignore[arg-type]
            dir=str(folder),
            config=config,
            group=group,
            name=folder.name,
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True),
        )

    def define(self, columns: Columns) -> None:
        """Say of each column that it runs along the requests, and what of it the summary holds."""
        for key, column in columns.items():
            over_run = "mean" if column.over_run == "mean" else "last"
            self._run.define_metric(key, step_metric="request", summary=over_run)

    def log(self, record: dict[str, Any]) -> None:
        """Send a record's numbers (and its outcome) at step ``request``."""
        values = {key: value for key, value in record.items() if key != "rows" and value is not None}
        self._run.log(values, step=record["request"])

    def finish(self, summary: dict[str, Any]) -> None:
        """Send the summary, but for what was said of its numbers before."""
        self._run.summary.update({key: value for key, value in summary.items() if key != "columns"})

    def __enter__(self) -> WandbTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the wandb run, so that the next job of a sweep gets one of its own."""
        if self._run is not None:
            self._run.finish(exit_code=1 if kind else 0)
            self._run = None
