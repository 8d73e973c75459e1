"""Weights & Biases: offline when there is no key, one finished run per job."""

from __future__ import annotations

import logging
import netrc
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import urlparse

from safetensors import safe_open

from expunge.core.checks import require_choice
from expunge.core.columns import Columns
from expunge.core.errors import InvalidValue, UserError, one_line
from expunge.core.homes import has_home, private_folder
from expunge.tracking.guarded import SECRET

log = logging.getLogger(__name__)

TABLE = "removals"
_STAYS_HERE = ("rows", "ids")
"""Whom a request is about is not for a server; numbers of it are."""
_MODES = ("auto", "online", "offline", "disabled")
_SPELT = {"dryrun": "offline", "run": "online"}
"""Older names that WANDB_MODE may have."""
_NO_KEY = "since there is no API key (see wandb login)"
_TELLS = re.compile(rf"\b({SECRET.pattern}|originals)\b")
"""Of what a seed is told by: also within {...}, and in what a sweep's settings give."""
_INIT_SECONDS, _FINISH_SECONDS = 20, 60
"""What a network that does not answer may cost a run, unless wandb's own settings say otherwise."""


class WandbTracker:
    """Mirrors ledger records and the summary to wandb.

    What is null here is taken from wandb's own settings (``WANDB_PROJECT``, ``WANDB_NAME``, ``WANDB_DIR`` and
    so on, or its settings file); where they are silent, the run is called after its folder and its files lie
    there. A server that does not answer is given up after 20 seconds, once a process: the run is then
    recorded offline. wandb cannot resume an offline run; a resumed run therefore starts a new wandb run and
    the earlier records are sent to it again.

    Args:
        project: wandb project; None for ``WANDB_PROJECT``, or else expunge.
        mode: ``auto`` (``WANDB_DISABLED`` and ``WANDB_MODE``; without them online with a key, else offline),
            ``online``, ``offline`` or ``disabled``.
        entity: wandb entity; None for ``WANDB_ENTITY``, or else the default one.
        tags: wandb tags; None for ``WANDB_TAGS``, or else the names of data set, model and unlearner.
        model: Whether the model that was released last is sent as an artifact. One that holds its own
            perturbation is a secret, and stays here with a warning.

    Raises:
        InvalidValue: ``online`` without a key, no such mode, or what is no text, or no truth value.
        UserError: wandb refuses its own settings.
    """

    _unreachable: ClassVar[bool] = False

    def __init__(
        self,
        project: str | None = None,
        mode: str = "auto",
        entity: str | None = None,
        tags: list[str] | None = None,
        model: bool = False,
    ) -> None:
        for name, given in (("project", project), ("entity", entity)):
            if not (given is None or isinstance(given, str)):
                raise InvalidValue(name, given, "a text, or null")
        if not (tags is None or (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags))):
            raise InvalidValue("tags", tags, "a list of texts, or null")
        if not isinstance(model, bool):
            raise InvalidValue("model", model, "true or false")
        self.sends_model, self._folder = model, Path()
        self._records: list[dict[str, Any]] = []
        self.project, self.entity, self.tags = project, entity, tags
        require_choice("mode", mode, _MODES)
        self.mode = _mode_of(mode)
        self._run: Any = None

    def start(self, config: dict[str, Any], folder: Path, group: str | None) -> None:
        """Open a wandb run, whose files lie in the run folder unless wandb's settings name another."""
        from wandb.errors import Error

        self._folder, self._records = folder, []
        online = self.mode == "online"
        if online and not WandbTracker._unreachable:
            try:
                self._open("online", config, folder, group)
                return
            except Error as error:
                WandbTracker._unreachable = True
                why = one_line(error)
                log.warning("wandb cannot be reached (%s); recorded offline, see `wandb sync`", why)
        self._open("offline" if online else self.mode, config, folder, group)

    def _open(self, mode: str, config: dict[str, Any], folder: Path, group: str | None) -> None:
        import wandb

        given = {"project": self.project, "entity": self.entity, "tags": self.tags}
        with _arguments_without_secrets():
            self._run = wandb.init(
                **{key: value for key, value in given.items() if value is not None},  # type: ignore[arg-type]
                mode=mode,  # type: ignore[arg-type]
                config=config,
                reinit="create_new",
                settings=wandb.Settings(**_otherwise(config, folder, group)),
            )

    def define(self, columns: Columns) -> None:
        """Say of each column that it runs along the requests."""
        for key in columns:
            self._run.define_metric(key, step_metric="request")

    def log(self, record: dict[str, Any]) -> None:
        """Send a record's numbers (and its outcome) at step ``request``."""
        values = {key: value for key, value in record.items() if key not in _STAYS_HERE and value is not None}
        self._records.append(values)
        # At once: a record that is held back until the next one would come after the summary, and win.
        self._run.log(values, step=record["request"], commit=True)

    def before(self, record: dict[str, Any]) -> None:
        """Send what was before any removal as step 0, where the curves begin; it is no row of the table."""
        self._run.log({key: value for key, value in record.items() if value is not None}, step=0, commit=True)

    def finish(self, summary: dict[str, Any]) -> None:
        """Send the summary, but for what was said of its numbers before."""
        self._log_table()
        if self.sends_model:
            self._send_model(summary)
        self._run.summary.update({key: value for key, value in summary.items() if key != "columns"})

    def figures(self, folder: Path) -> None:
        """Send the figures of numbers, by their names; one that holds images of rows stays here."""
        import wandb

        drawn = {f"figures/{file.stem}": wandb.Image(str(file)) for file in of_numbers(folder)}
        if drawn:
            self._run.log(drawn)

    def _log_table(self) -> None:
        """All records as one table, as wandb's users filter and sort them; the ids of rows stay here."""
        import wandb

        columns: list[str | int] = list(dict.fromkeys(key for record in self._records for key in record))
        rows = [[record.get(str(key)) for key in columns] for record in self._records]
        self._run.log({TABLE: wandb.Table(columns=columns, data=rows)})

    def _send_model(self, summary: dict[str, Any]) -> None:
        """The released model, with what is promised of it."""
        import wandb

        file = self._folder / "model.safetensors"
        with safe_open(str(file), framework="np") as stored:
            if "perturbation" in list(stored.keys()):
                log.warning("wandb: the model holds its own perturbation, which is secret: it is not sent")
                return
        words: dict[str, Any] = {
            key: summary[key] for key in ("guarantee", "not_covered", "role") if key in summary
        }
        artifact = wandb.Artifact(f"model-{self._run.id}", type="model", metadata=words)
        artifact.add_file(str(file))
        self._run.log_artifact(artifact)

    def __enter__(self) -> WandbTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the wandb run, so that the next job of a sweep gets one of its own."""
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=1 if kind else 0)


def of_numbers(folder: Path) -> list[Path]:
    """Return the PNG files of a run's figures but for those whose SVG is not there or has pixels in it.

    Lines, bars and squares are drawn of numbers; an image within a figure is a row that somebody may have
    asked to be forgotten.
    """
    pairs = [(file, file.with_suffix(".svg")) for file in sorted(folder.glob("*.png"))]
    return [file for file, svg in pairs if svg.is_file() and b"<image" not in svg.read_bytes()]


def _mode_of(mode: str) -> str:
    """The mode that is meant: the key's, or else that of wandb's own settings, or else by whether it can."""
    if mode == "auto":
        return _by_settings() or ("online" if has_key() else "offline")
    if mode == "online" and not has_key():
        raise InvalidValue("mode", mode, f"auto or offline, {_NO_KEY}")
    return mode


def _by_settings() -> str | None:
    """What the environment or wandb's settings file (as ``wandb offline`` leaves it) says of the mode."""
    if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes", "on"):
        return "disabled"
    if variable := os.environ.get("WANDB_MODE"):
        mode = _SPELT.get(variable, variable)
        if mode not in _MODES[1:]:
            raise UserError(f"WANDB_MODE: got {variable!r}, allowed: {', '.join(_MODES[1:])}")
        if mode == "online" and not has_key():
            raise UserError(f"WANDB_MODE: got {variable!r}, allowed: offline, {_NO_KEY}")
        return mode
    return str(_wandb_settings().mode) if "mode" in _settings() else None


def has_key() -> bool:
    """Whether an API key is in the environment, in wandb's settings or in the user's netrc file."""
    settings = _wandb_settings()
    if os.environ.get("WANDB_API_KEY") or settings.api_key or settings.identity_token_file:
        return True
    try:
        machines = netrc.netrc(os.environ.get("NETRC")).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    server = urlparse(settings.base_url).hostname
    return any(host == server or "wandb" in host for host in machines)


def _otherwise(config: dict[str, Any], folder: Path, group: str | None) -> dict[str, Any]:
    """What holds where neither the tracker's keys nor wandb's own settings say anything."""
    own: dict[str, Any] = {
        "project": "expunge",
        "run_name": folder.name,
        "run_group": group,
        "root_dir": str(folder),
    }
    own |= {"run_job_type": _kind(config, group), "run_tags": _names(config)}
    limits = {"init_timeout": _INIT_SECONDS, "finish_timeout": _FINISH_SECONDS}
    # No sources, nor a patch of what is not committed: there may be keys in it.
    private = {"save_code": False, "disable_code": True, "disable_git": True}
    named = _settings()
    asked: dict[str, Any] = own | limits | private
    chosen = {key: value for key, value in asked.items() if key not in named}
    if group is not None and "run_id" in named:  # the cells would be one run, each over the last
        chosen["run_id"] = secrets.token_hex(4)
    return {**chosen, "console": "off", "silent": True, "finish_timeout_raises": True}


def _kind(config: dict[str, Any], group: str | None) -> str:
    return "study" if "study" in config else "run" if group is None else "cell"


def _names(config: dict[str, Any]) -> tuple[str, ...]:
    """Data set, model and unlearner, by which runs are found; wandb takes tags of 1 to 64 characters."""
    parts = [config.get(key) or {} for key in ("dataset", "model", "unlearner")]
    target = str(parts[0].get("_target_", "")).split(".")
    named = (parts[0].get("name") or target[-2:][0], *(part.get("name") for part in parts[1:]))
    return tuple(dict.fromkeys(str(name)[:64] for name in named if name))


def _settings() -> set[str]:
    """Names of what the environment or wandb's settings file says."""
    return set(_wandb_settings().model_fields_set)


def _wandb_settings() -> Any:
    import wandb

    if not has_home() and (folder := private_folder()) is not None:
        os.environ.setdefault("XDG_CACHE_HOME", str(folder))  # where its service keeps a log, not on stderr
    try:
        return wandb.setup().settings
    except (ValueError, wandb.Error) as error:  # pydantic's, of several lines, or wandb's own
        raise UserError(f"tracker: wandb refuses its settings ({one_line(error)})") from None


@contextmanager
def _arguments_without_secrets() -> Iterator[None]:
    """Hide what the command line says of seeds from wandb, which records it."""
    typed = sys.argv
    sys.argv = [text for text in typed if not _TELLS.search(text)]
    try:
        yield
    finally:
        sys.argv = typed
