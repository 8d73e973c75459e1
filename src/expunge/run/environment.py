"""What a configuration takes from the environment: it is used, and shown nowhere but as it is written.

``${oc.env:NAME}`` stands for a value that may be a secret, such as a key, and files of a run are passed on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from expunge.core.errors import InvalidValue, UserError, one_line, printable
from expunge.run.hydra_errors import explained

_NAME = "oc.env"
_SHORTEST, _WITHIN = 4, 6  # characters: of a text that is looked for, and within others
_DEEPEST = 64


@dataclass(frozen=True)
class Environment:
    """The values that a configuration has from the environment; value -> how it refers to it."""

    values: Mapping[str, str] = field(default_factory=dict)

    def hidden(self, value: Any) -> Any:
        """A value, such as a text or nested JSON, with the references in place of what they stand for."""
        if isinstance(value, str):
            for found in sorted(self.values, key=len, reverse=True):
                if len(found) >= _WITHIN:
                    value = value.replace(found, self.values[found])
            return self.values.get(value, value)
        if isinstance(value, Mapping):
            return {self.hidden(key): self.hidden(of) for key, of in value.items()}
        return [self.hidden(one) for one in value] if isinstance(value, (list, tuple)) else value


def environment_of(config: Any) -> Environment:
    """What a configuration finds in the environment, but for a few characters, which would be anywhere.

    A short word counts where it is all of a text: within another it is likely to be a word like any other.
    """
    found: dict[str, str] = {}

    def noting(key: str, *default: Any) -> Any:
        value = oc.env(key, *default)
        if key in os.environ and len(os.environ[key]) >= _SHORTEST:
            found[os.environ[key]] = _reference(key)
        return value

    with _resolver(noting):
        for _ in _values(config):
            pass
    return Environment(found)


def written(config: DictConfig) -> dict[str, Any]:
    """A configuration as plain values, all references in it followed but for the environment's.

    A value that cannot be told without the environment stays as it is written.
    """
    with as_written():
        try:
            plain = OmegaConf.to_container(config, resolve=True)
        except (OmegaConfBaseException, ValueError):
            plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@contextmanager
def as_written() -> Iterator[None]:
    """References to the environment stay words, as long as this lasts."""
    with _resolver(_reference):
        yield


def overrides_of(hydra_config: Any) -> list[str]:
    """What the command line gives, as it is written there: elements of Hydra's list follow references."""
    given: Any = OmegaConf.to_container(hydra_config.overrides, resolve=False)
    return [str(text) for text in given["task"]]


def line_of(error: BaseException, config: DictConfig) -> str:
    """What an error says, on one line, with no value that the configuration has from the environment."""
    if isinstance(error, InvalidValue):
        raw = _raw(config, error.name)
        if isinstance(raw, str) and _NAME in raw:
            return one_line(InvalidValue(error.name, raw, error.allowed))
    return str(environment_of(config).hidden(explained(error)))


class Hiding(logging.Filter):
    """Puts references to the environment in the place of their values in what is logged."""

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._environment = environment

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every message pass, as it may be shown."""
        text = self._environment.hidden(record.getMessage())
        record.msg, record.args = printable(text, but="\n"), None
        return True


def guard_logs(environment: Environment) -> None:
    """Hide in all logs what is from the environment, and let nobody but their owner read their files.

    Raises:
        UserError: A log file is a link: what is logged would go into another file.
    """
    for handler in logging.getLogger().handlers:
        handler.filters = [one for one in handler.filters if not isinstance(one, Hiding)]  # of another cell
        handler.addFilter(Hiding(environment))
        if isinstance(handler, logging.FileHandler) and handler.stream is not None:
            if os.path.islink(handler.baseFilename):
                raise UserError(f"hydra.job_logging: {handler.baseFilename} is a link, allowed: a file")
            os.chmod(handler.stream.fileno(), 0o600)


def _reference(key: str, *default: Any) -> str:
    return f"${{{','.join(map(str, (f'{_NAME}:{key}', *default)))}}}"


@contextmanager
def _resolver(env: Callable[..., Any]) -> Iterator[None]:
    OmegaConf.register_new_resolver(_NAME, env, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver(_NAME, oc.env, replace=True)


def _values(node: Any, depth: int = 0) -> Iterator[Any]:
    """The values of a configuration that there are, each of them resolved by itself."""
    keys: Any = ()
    if isinstance(node, DictConfig) and not (node._is_missing() or node._is_none()):
        keys = list(node.keys())
    elif isinstance(node, ListConfig) and not (node._is_missing() or node._is_none()):
        keys = range(len(node))
    for key in keys if depth < _DEEPEST else ():
        try:
            value = node[key]
        except (OmegaConfBaseException, ValueError):  # missing, or refers to what is: it is no value of ours
            continue
        if isinstance(value, (DictConfig, ListConfig)):
            yield from _values(value, depth + 1)
        else:
            yield value


def _raw(config: DictConfig, key: str) -> Any:
    """What stands at a dotted key, references as they are written; None where it is not there."""
    node: Any = OmegaConf.to_container(config, resolve=False)
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node
