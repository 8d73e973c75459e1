"""``expunge.run``, ``expunge.sweep`` and ``expunge.compose``: the command line's own functions, from Python.

What is given goes the way of ``expunge``, and leaves the same files. Nothing is printed, errors are raised.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.core.errors import BrokenInvariant, InvalidValue, UserError, one_line
from expunge.results import CellsFailed, Result, Sweep
from expunge.run.config_files import quoted

if TYPE_CHECKING:
    from omegaconf import DictConfig

Overrides = Sequence[str] | Mapping[str, Any]
"""``["unlearner=newton", "seed=3"]`` as on the command line, or ``{"unlearner": "newton", "seed": 3}``."""
Place = str | os.PathLike[str]
_RUN, _SWEEP = "hydra.run.dir", "hydra.sweep.dir"


def run(
    overrides: Overrides = (),
    *,
    folder: Place | None = None,
    config_dir: Place | None = None,
    config_name: str | None = None,
) -> Result:
    """Run one experiment, as ``expunge`` does with the same overrides.

    Args:
        overrides: What is set, as on the command line, or key -> value.
        folder: The run folder, ``hydra.run.dir``; by default one below ``outputs/``, named by the time.
        config_dir: Folder with YAML files of your own, ``--config-dir``.
        config_name: Name of one that takes the place of ours, ``--config-name``.

    Returns:
        The finished run.

    Raises:
        UserError: Input is bad; the text is the command's one line.
        BrokenInvariant: What must always hold did not; nothing of it has been recorded.
        KeyboardInterrupt: It was interrupted. What is recorded stays, and goes on with ``resume=true`` in the
            same folder.
    """
    given = _texts(overrides)
    if folder is not None:
        given.append(f"{_RUN}={_text(os.fspath(folder))}")
    by_time = config_name is None and not any(text.lstrip("+").startswith(f"{_RUN}=") for text in given)
    made = _carried_out(given, _flags(config_dir, config_name), alone=True, by_time=by_time)
    assert isinstance(made, Result)
    return made


def sweep(
    overrides: Overrides = (),
    *,
    folder: Place | None = None,
    config_dir: Place | None = None,
    config_name: str | None = None,
) -> Sweep:
    """Run every combination of the values given, as ``expunge -m`` does; a repeated call goes on.

    Args:
        overrides: As on the command line (``"seed=0,1,2"``, ``"seeds=5"``), or key -> value, where a list is
            of the values to be swept over (a value that is a list stands in one: ``[["accuracy"]]``).
        folder: The sweep's folder, ``hydra.sweep.dir``; by default one below ``multirun/``, named by what is
            asked for.
        config_dir: As of ``run``.
        config_name: As of ``run``.

    Returns:
        The runs, in order.

    Raises:
        CellsFailed: Some are not done; its ``sweep`` has the others.
        UserError: Input is bad, and no run has begun.
        KeyboardInterrupt: It was interrupted; the same call goes on.
    """
    given = _texts(overrides, swept=True)
    if folder is not None:
        given.append(f"{_SWEEP}={_text(os.fspath(folder))}")
    made = _carried_out(given, ["--multirun", *_flags(config_dir, config_name)])
    assert isinstance(made, Sweep)
    return made


def compose(
    overrides: Overrides = (), *, config_dir: Place | None = None, config_name: str | None = None
) -> DictConfig:
    """Return the configuration that overrides come to, without running anything.

    Arguments as of ``run``.

    Raises:
        UserError: They come to none.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from expunge.help import composed
    from expunge.run.config_files import config_dir as ours
    from expunge.run.embedded import embedded
    from expunge.run.hydra_errors import explained
    from expunge.sweep.deleted import with_none
    from expunge.sweep.reduced import with_reduced

    arguments = [*_flags(config_dir, config_name), *_texts(overrides)]
    with embedded(arguments):
        try:
            return composed(ours(), with_none(with_reduced(arguments, ours()), ours()))[0]
        except (UserError, HydraException, OmegaConfBaseException) as error:
            line = explained(error)
            raise error if isinstance(error, UserError) and str(error) == line else UserError(line) from None


def _carried_out(
    given: list[str], flags: list[str], alone: bool = False, by_time: bool = False
) -> Result | Sweep:
    """Do what the command would do, and return what it leaves; a run ``alone`` is no sweep.

    Threads take turns from here on: what is the process's, and a folder ``by_time``, is one thread's.
    """
    from expunge.app import Refused, Task, carry_out, sweep_folder
    from expunge.run.embedded import embedded
    from expunge.run.job_cache import JobCache
    from expunge.sweep.held import NotBegun, let_go, one_run_alone

    task, code = Task(JobCache()), None
    with embedded([*flags, *given]) as complaints:
        try:
            if by_time:
                _wait_for_a_name()
            with one_run_alone() if alone else nullcontext():
                carry_out(task)
        except Refused as refused:
            raise _raised(refused) from None
        except NotBegun:
            raise UserError("; ".join(complaints)) from None
        except SystemExit as end:  # of the sweep's end: cells are not done, or it could not be put together
            code = end.code
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_interrupted(task)) from None
        finally:
            folder = sweep_folder()
            let_go()
    if folder is None:
        assert task.folder is not None
        return Result(task.folder)
    made = Sweep(folder)
    if made.failed:
        raise CellsFailed(made)
    if code:
        raise UserError("; ".join(complaints) or f"{folder}: the sweep has ended with exit code {code}")
    return made


def _raised(refused: Any) -> Exception:
    """The error that a refusal comes from, with the line that the command prints."""
    from expunge.core.ends import BAD_INPUT

    error = refused.__cause__
    if isinstance(error, UserError) and one_line(error) == refused.line:
        return error
    if isinstance(error, BrokenInvariant):
        error.args = (refused.line,)
        return error
    return UserError(refused.line) if refused.code == BAD_INPUT else RuntimeError(refused.line)


def _interrupted(task: Any) -> str:
    kept = task.kept()
    if task.folder is None or not task.folder.is_dir():
        return kept
    return f"{kept}; resume=true with folder={str(task.folder)!r} goes on"


def _flags(config_dir: Place | None, config_name: str | None) -> list[str]:
    places = [] if config_dir is None else [f"--config-dir={os.fspath(config_dir)}"]
    return places if config_name is None else [*places, f"--config-name={config_name}"]


def _wait_for_a_name() -> None:
    """Wait until the folder that the time names is not there: a run may take less than a second."""
    while Path(time.strftime("outputs/%Y-%m-%d/%H-%M-%S")).exists():
        time.sleep(0.02)


def _texts(overrides: Overrides, swept: bool = False) -> list[str]:
    """Overrides as the command line has them."""
    if isinstance(overrides, Mapping):
        return [f"{key}={_swept(value) if swept else _value(value)}" for key, value in overrides.items()]
    texts = [] if isinstance(overrides, str) else list(overrides)
    if isinstance(overrides, str) or not all(isinstance(text, str) for text in texts):
        raise InvalidValue("overrides", overrides, "a list of texts such as 'seed=3', or a mapping")
    if flags := [text for text in texts if text.startswith("-")]:
        raise InvalidValue("overrides", flags[0], "settings, KEY=VALUE; flags belong to the command line")
    return texts


def _swept(value: Any) -> str:
    several = isinstance(value, (list, tuple, range)) and len(value) > 0
    return ",".join(map(_value, value)) if several else _value(value)


def _value(value: Any) -> str:
    """A value in Hydra's grammar, which reads the same from it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_value(key)}:{_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple, range)):
        return "[" + ",".join(map(_value, value)) + "]"
    if isinstance(value, (str, os.PathLike)):
        return _text(os.fspath(value))
    return repr(value.item() if hasattr(value, "item") else value)  # NumPy's numbers are written as Python's


def _text(text: str | bytes) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    plain = str(text)
    if plain and all(sign.isalnum() or sign in "_./-" for sign in plain) and plain.isascii():
        (read,) = OverridesParser.create().parse_overrides([f"key={plain}"])
        if read.value() == plain:
            return plain
    return quoted(plain)
