"""What Hydra makes and opens for a configuration, refused before it does: files of it may be another's.

Hydra calls what ``hydra.callbacks``, ``hydra.launcher`` and ``hydra.sweeper`` name, Python's ``logging`` what
``hydra.job_logging`` and ``hydra.hydra_logging`` do, and a package in ``hydra.searchpath`` is imported: all
of it before a run begins. Whatever composes a configuration for a command comes through ``TrustedLoader``.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra._internal.hydra as hydra_main
import hydra.core.utils as hydra_jobs
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from expunge.core.errors import InvalidValue
from expunge.core.files import write_atomically
from expunge.core.sources import PLUGINS
from expunge.run.declared import TRUSTED, defined, nested_targets
from expunge.run.hydra_once import OnceLoader

_CALLBACKS = (
    "expunge.sweep.callback.SweepCallback",
    "hydra.experimental.callbacks.LogJobReturnCallback",
)
_OF_HYDRA = "hydra_plugins"
_PLUGINS = (f"{_OF_HYDRA}.", "hydra._internal.core_plugins.")
"""Of what is in there Hydra itself takes nothing but the launchers and sweepers that it has found."""
_OPTUNA = re.compile(r"optuna\.(samplers|pruners)\.[A-Z]\w*")
_TYPED = {"main": "--config-path", "command-line": "--config-dir"}
"""Who has put a folder into Hydra's search path -> what the command line calls it."""
_PACKAGES = (*TRUSTED, "hydra", _OF_HYDRA)
_FILES = tuple(
    f"logging.{name}"
    for name in (
        *("FileHandler", "handlers.RotatingFileHandler"),
        *("handlers.TimedRotatingFileHandler", "handlers.WatchedFileHandler"),
    )
)
_HANDLERS = ("logging.StreamHandler", "logging.NullHandler", "colorlog.StreamHandler", *_FILES)
_FORMATTERS = ("logging.Formatter", "colorlog.ColoredFormatter", "colorlog.TTYColoredFormatter")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_OTHER_CODE = re.compile(
    r"_?(LD|DYLD|PYTHON|BASH|GCONV|GIT|SSH|SSL|NUMBA|TRITON|TORCH|TORCHINDUCTOR|HYDRA|XDG|CUDA|NVIDIA|OPENSSL"
    r"|REQUESTS|CURL|WANDB|MALLOC|GLIBC|NETRC|HF|TRANSFORMERS|PIP|UV|CONDA)(_.*|[A-Z]*)?"
    r"|PATH|HOME|TMPDIR|TEMP|TMP|CC|CXX|CFLAGS|CXXFLAGS|LDFLAGS|ENV|IFS|SHELL|EDITOR|PAGER|BROWSER|\w*_PROXY",
    re.IGNORECASE,
)
"""Variables that choose which code runs, from where it is read, or whom it trusts."""
_HARMLESS = re.compile(
    r"\w+_NUM_THREADS|CUDA_VISIBLE_DEVICES|CUDA_LAUNCH_BLOCKING|PYTHONHASHSEED"
    r"|WANDB_(MODE|PROJECT|ENTITY|TAGS|NAME|NOTES|RUN_GROUP|JOB_TYPE|SILENT|DISABLED)"
)


class TrustedLoader(OnceLoader):
    """Hydra's loader, which refuses a configuration that would make it call or open what is none of ours.

    It is sent to the processes that a launcher starts, and holds there too.
    """

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        for element in config_search_path.get_path():
            if element.provider in _TYPED:
                _require_package(_TYPED[element.provider], str(element.path))
        super().__init__(config_search_path)

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose a configuration, as Hydra does.

        Raises:
            InvalidValue: ``hydra.*`` names what it must not.
        """
        config = super().load_configuration(
            config_name, overrides, run_mode, from_shell, validate_sweep_overrides
        )
        require_trusted(config)
        return config

    def _process_config_searchpath(self, config_name: Any, parsed_overrides: Any, repo: Any) -> None:
        given = [one.value() for one in parsed_overrides if one.get_key_element() == "hydra.searchpath"]
        loaded = repo.load_config(config_path=config_name) if config_name is not None else None
        if loaded is not None and OmegaConf.is_dict(loaded.config):
            given.append(OmegaConf.select(loaded.config, "hydra.searchpath"))
        for path in (path for one in given if isinstance(one, Sequence) for path in one):
            _require_package("hydra.searchpath", str(path))
        super()._process_config_searchpath(config_name, parsed_overrides, repo)


def _require_package(key: str, path: str) -> None:
    """Refuse ``pkg://`` with a package that is none of ours: it would be imported."""
    package = path.strip().removeprefix("pkg://")
    if package != path.strip() and re.split(r"[./]", package)[0] not in _PACKAGES:
        allowed = f"a folder (file://...), or pkg:// and a package of {' or '.join(_PACKAGES)}"
        raise InvalidValue(key, path, allowed)


@contextmanager
def trusted_only() -> Iterator[None]:
    """Let Hydra compose configurations with ``TrustedLoader``, and record them for their owner alone.

    It holds as long as this lasts.
    """
    own = hydra_main.ConfigLoaderImpl, hydra_jobs._save_config
    hydra_main.ConfigLoaderImpl = TrustedLoader  # type: ignore[misc]
    record_privately()
    try:
        yield
    finally:
        hydra_main.ConfigLoaderImpl, hydra_jobs._save_config = own  # type: ignore[misc]


def record_privately() -> None:
    """Let Hydra's own record of a configuration, where it is asked for one, be its owner's alone to read."""

    def save(cfg: DictConfig, filename: str, output_dir: Path) -> None:
        output_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(output_dir / filename, OmegaConf.to_yaml(cfg).encode(), secret=True)

    hydra_jobs._save_config = save


def require_trusted(config: DictConfig) -> None:
    """Refuse a composed configuration that makes Hydra or ``logging`` call or open what is none of ours.

    Raises:
        InvalidValue: Which key does.
    """
    if OmegaConf.select(config, "hydra") is None:
        return
    for key in ("launcher", "sweeper"):  # of other parts Hydra says it itself
        node = OmegaConf.select(config, f"hydra.{key}")
        if node is not None and not OmegaConf.is_dict(node):
            raise InvalidValue(f"hydra.{key}", node, "a mapping of settings, as --cfg hydra shows it")
    seen = _Seen(config)
    for part, require in (
        ("callbacks", _require_callback),
        ("launcher", _require_plugin),
        ("sweeper", _require_plugin),
    ):
        for key, path in nested_targets(seen.part(part), f"hydra.{part}"):
            require(key, str(path))
    sweeper = seen.part("sweeper")
    space = sweeper.get("custom_search_space") if isinstance(sweeper, Mapping) else None
    if space is not None:  # the name of a function that Optuna's sweeper calls
        _require_own("hydra.sweeper.custom_search_space", str(space), f"a function of {PLUGINS}")
    for part in ("job_logging", "hydra_logging"):
        _require_logging(f"hydra.{part}", seen.part(part), seen.folders())
    subdir = seen.part("output_subdir")
    if subdir is not None and (subdir in (".", "..") or not re.fullmatch(r"[\w.-]+", str(subdir))):
        raise InvalidValue("hydra.output_subdir", subdir, "null, or the name of a folder in the run folder")
    place = str(seen.part("sweep.subdir") or ".")  # Hydra makes it before a cell is asked
    if Path(place).is_absolute() or ".." in Path(place).parts:
        raise InvalidValue("hydra.sweep.subdir", place, "a folder in the sweep's")
    for name in seen.part("job.env_set") or {}:
        if _OTHER_CODE.fullmatch(str(name)) and not _HARMLESS.fullmatch(str(name)):
            allowed = "a variable that does not choose what code runs or whom it trusts; set it in the shell"
            raise InvalidValue("hydra.job.env_set", name, allowed)


class _Seen:
    """``hydra`` of a configuration, all references followed, as it will be when a job begins."""

    _LATER = ("runtime.output_dir", "job.id", "job.num")
    _FOLDER = "/run-folder"

    def __init__(self, config: DictConfig) -> None:
        self.config = copy.deepcopy(config)
        with read_write(self.config), open_dict(self.config):
            for key in self._LATER:
                OmegaConf.update(self.config, f"hydra.{key}", 0 if key == "job.num" else self._FOLDER)

    def part(self, key: str) -> Any:
        """A part of it as plain values; None where it is not there."""
        hydra_config = HydraConfig.instance()
        before = hydra_config.cfg
        hydra_config.cfg = self.config  # type: ignore[assignment]  # for ${hydra:...}
        try:
            found = OmegaConf.select(self.config, f"hydra.{key}")
            return OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found
        finally:
            hydra_config.cfg = before

    def folders(self) -> list[str]:
        """Where log files may be."""
        found = [self._FOLDER]
        for key in ("run.dir", "sweep.dir"):
            try:
                found.append(os.path.abspath(str(self.part(key))))
            except OmegaConfBaseException:  # it has no value yet, so that no log file can be in there
                continue
        return found


def _require_callback(key: str, path: str) -> None:
    if path not in _CALLBACKS:
        allowed = f"one of {', '.join(_CALLBACKS)}, or a class of {PLUGINS}"
        _require_own(f"{key}._target_", path, allowed)


def _require_plugin(key: str, path: str) -> None:
    """A launcher or sweeper, or what one is made with, such as Optuna's sampler."""
    if key.count(".") == 1 and path.startswith(_PLUGINS):
        return
    if key.count(".") > 1 and _OPTUNA.fullmatch(path):
        return
    allowed = "Hydra's own, or one of its plug-ins (hydra_plugins...), made with what is theirs or Optuna's"
    if key.count(".") == 1:
        raise InvalidValue(f"{key}._target_", path, allowed)
    _require_own(f"{key}._target_", path, allowed)


def _require_own(key: str, path: str, allowed: str) -> None:
    """Something that a package of plug-ins, ours or Hydra's, defines itself."""
    if path.partition(".")[0] not in (PLUGINS, _OF_HYDRA) or "." not in path:
        raise InvalidValue(key, path, allowed)
    defined(key, path)


def _require_logging(key: str, settings: Any, folders: Sequence[str]) -> None:
    """Refuse settings of ``logging.config`` that make anything but messages, to a terminal or a log file."""
    for above, name, value in _entries(settings, key):
        in_group = above.removeprefix(f"{key}.").split(".")
        group = in_group[0] if len(in_group) == 2 else ""
        allowed: Sequence[str] | None = None
        if name in ("()", "class"):
            allowed = {"handlers": _HANDLERS if name == "class" else (), "formatters": _FORMATTERS}.get(
                group, ()
            )
        elif name == ".":
            allowed = ()
        elif isinstance(value, str) and value.startswith(("ext://", "cfg://")):
            allowed = _STREAMS
        if allowed is not None and value not in allowed:
            raise InvalidValue(
                f"{above}.{name}", value, f"one of {', '.join(allowed)}" if allowed else "none"
            )
        if name in ("filename", "baseFilename") and not _log_in(folders, str(value)):
            raise InvalidValue(f"{above}.{name}", value, "a file *.log in ${hydra.runtime.output_dir}")


def _log_in(folders: Sequence[str], file: str) -> bool:
    path = os.path.normpath(file)
    return path.endswith(".log") and any(path.startswith(f"{folder}{os.sep}") for folder in folders)


def _entries(settings: Any, above: str) -> Iterator[tuple[str, str, Any]]:
    """Each entry of nested settings: the dotted key of what it is in, its own, its value."""
    if isinstance(settings, Mapping):
        items: Any = settings.items()
    else:
        items = enumerate(settings) if isinstance(settings, list) else ()
    for name, value in items:
        yield above, str(name), value
        yield from _entries(value, f"{above}.{name}")
