"""Reading the files of a run folder: text, JSON and YAML, with errors that name the file and the line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError, one_line
from expunge.core.json_text import parse_json
from expunge.core.regular import open_regular, read_regular

_NODE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
_SELECT = re.compile(r"\$\{oc\.select:\s*([A-Za-z_][\w.]*)\s*(?:,([^${}]*))?\}")


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        RunFolderError: If it is missing, cannot be read or is not UTF-8.
    """
    try:
        return read_regular(path).decode()
    except FileNotFoundError:
        raise RunFolderError(f"{path}: missing from the run folder") from None
    except UnicodeDecodeError as e:
        line = e.object[: e.start].count(b"\n") + 1
        raise RunFolderError(f"{path}:{line}: not UTF-8 text") from None
    except OSError as e:
        raise RunFolderError(f"{path}: cannot be read ({e.strerror})") from None


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of every line of a file: all of it is never in memory.

    Lines end at newlines alone: JSON strings may hold other characters that end a line of text.

    Raises:
        RunFolderError: As ``read_text`` does.
    """
    try:
        with open_regular(path) as file:
            for number, line in enumerate(file, start=1):
                yield number, line.decode("utf-8").removesuffix("\n")
    except FileNotFoundError:
        raise RunFolderError(f"{path}: missing from the run folder") from None
    except UnicodeDecodeError:
        raise RunFolderError(f"{path}:{number}: not UTF-8 text") from None
    except OSError as e:
        raise RunFolderError(f"{path}: cannot be read ({e.strerror})") from None


def parse_object(text: str, path: Path, line: int | None = None) -> dict[str, Any]:
    """Return a JSON object.

    Args:
        text: What to parse.
        path: The file it is from, for messages.
        line: The line of that file, where it is one of many.

    Raises:
        RunFolderError: If it is not a JSON object.
    """
    try:
        value = parse_json(text)
    except json.JSONDecodeError as e:
        raise RunFolderError(f"{path}:{line or e.lineno}: not JSON ({e.msg}, column {e.colno})") from None
    except ValueError as e:
        raise RunFolderError(f"{path}:{line or 1}: not JSON that can be read ({one_line(e)})") from None
    if not isinstance(value, dict):
        raise RunFolderError(f"{path}:{line or 1}: must be a JSON object")
    return value


def read_config(path: Path) -> dict[str, Any]:
    """Return a configuration as plain types, with references between its own keys followed.

    Raises:
        RunFolderError: If the file is missing, or not a YAML mapping.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    from expunge.core.yaml_text import require_tree

    text = read_text(path)
    try:
        require_tree(text)
        config = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        reason = getattr(e, "problem", None) or "broken"
        raise RunFolderError(f"{path}:{mark.line + 1 if mark else 1}: not YAML ({reason})") from None
    except (OmegaConfBaseException, ValueError, LookupError, TypeError, AttributeError) as e:
        raise RunFolderError(f"{path}:1: not a configuration ({str(e).splitlines()[0]})") from None
    if not isinstance(config, dict):
        raise RunFolderError(f"{path}:1: must be a mapping")
    return _follow(config, config)


def lookup(node: Any, dotted: str) -> Any:
    """Return a value of nested mappings by its dotted key, or None."""
    for part in dotted.split("."):
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    return node


def _follow(node: Any, root: Any) -> Any:
    """Follow ``${key}`` and ``${oc.select:key,default}`` within the file.

    Other resolvers, such as ``${oc.env:...}``, stay as they are written: resolving those would copy this
    machine's environment into a page that is meant to be passed on.
    """
    if isinstance(node, dict):
        return {str(key): _follow(value, root) for key, value in node.items()}
    if isinstance(node, list):
        return [_follow(value, root) for value in node]
    if isinstance(node, str) and (match := _NODE.fullmatch(node) or _SELECT.fullmatch(node)):
        target = lookup(root, match[1])
        if target is None and match.re is _SELECT:
            return _plain((match[2] or "null").strip())
        return node if target is None or isinstance(target, (dict, list)) else target
    return node


def _plain(value: str) -> Any:
    """Return a default as written in a reference: a number, true, false or null, else the text."""
    try:
        return parse_json(value)
    except ValueError:
        return value
