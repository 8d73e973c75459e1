"""``expected.yaml``: the rows of a paper, what was published, and what makes ours agree with it.

The format is described at the top of ``experiments/icml2020/expected.yaml``; what is read here has its names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from expunge.core.errors import DataError
from expunge.record.folders.files import read_config

SOURCES = ("direction only", "read off", "recalled", "measured", "computed", "ours")
_RULES = ("at_most", "at_least", "between", "near", "monotone")


@dataclass(frozen=True)
class Value:
    """Where a number is found in a sweep: ``ours`` of a check, or a limit that is a number of ours."""

    key: str
    at: int | None = None
    window: int = 50
    over: Value | None = None
    where: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Expectation:
    """A rule, the limits that ours is held against (none for ``monotone``), and the parts of the rule."""

    rule: str
    limits: tuple[float | Value, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """How ours is held against what was published, in the cells with the settings ``where``."""

    ours: Value
    expect: Expectation
    where: Mapping[str, Any] = field(default_factory=dict)
    why: str | None = None


@dataclass(frozen=True)
class Check:
    """One quantity of a row; ``comparison`` is None where there is nothing of ours to compare with.

    ``not_run`` says why there is nothing; beside a comparison, why the experiment's own runs leave it out.
    """

    quantity: str
    published: str
    source: str
    comparison: Comparison | None = None
    not_run: str | None = None


@dataclass(frozen=True)
class PaperRow:
    """One table or figure of a paper; ``name`` is its key in the file."""

    name: str
    experiment: str
    what: str
    checks: tuple[Check, ...]
    needs: str | None = None
    not_yet: str | None = None
    figures: tuple[str, ...] = ()


def expected_files() -> dict[str, Path]:
    """Paper -> its ``expected.yaml``: those that travel in the wheel, or the checkout's when run from one."""
    packaged = Path(__file__).parents[1] / "expected"
    if packaged.is_dir():
        return {path.stem: path for path in sorted(packaged.glob("*.yaml"))}
    found = sorted((Path(__file__).parents[3] / "experiments").glob("*/expected.yaml"))
    return {path.parent.name: path for path in found}


def read_expected(path: Path) -> dict[str, PaperRow]:
    """Read a file of expectations, in its order.

    Raises:
        DataError: An entry is not as the format says; the line names file, row and key.
    """
    return {name: _row(name, entry, f"{path}: {name}") for name, entry in read_config(path).items()}


def _row(name: str, entry: Any, where: str) -> PaperRow:
    allowed = {"experiment", "what", "source", "checks", "needs", "not_yet", "figures"}
    _require_keys(entry, allowed, {"experiment", "what", "source", "checks"}, where)
    if not isinstance(entry["checks"], list) or not entry["checks"]:
        raise DataError(f"{where}: checks: got {entry['checks']!r}, allowed: a list of one or more")
    checks = [
        _check(check, entry["source"], "not_yet" not in entry, f"{where}: check {number}")
        for number, check in enumerate(entry["checks"], start=1)
    ]
    parts = {key: entry[key] for key in allowed - {"source", "checks", "figures"} if key in entry}
    return PaperRow(name=name, checks=tuple(checks), figures=tuple(entry.get("figures", ())), **parts)


def _check(entry: Any, source: str, can_be_run: bool, where: str) -> Check:
    allowed = {"quantity", "published", "source", "ours", "where", "expect", "why", "not_run"}
    needed = {"quantity", "published"}
    if isinstance(entry, dict) and ("ours" in entry or (can_be_run and "not_run" not in entry)):
        needed |= {"ours", "expect"}
    _require_keys(entry, allowed, needed, where)
    source = entry.get("source", source)
    if source not in SOURCES:
        raise DataError(f"{where}: source: got {source!r}, allowed: one of {', '.join(SOURCES)}")
    comparison = None
    if "ours" in entry:
        ours = _value(entry["ours"], f"{where}: ours")
        expect = _expectation(entry["expect"], f"{where}: expect")
        comparison = Comparison(ours, expect, entry.get("where", {}), entry.get("why"))
    quantity, published = str(entry["quantity"]), str(entry["published"])
    return Check(quantity, published, source, comparison, entry.get("not_run"))


def _value(entry: Any, where: str) -> Value:
    if isinstance(entry, str):
        return Value(entry)
    _require_keys(entry, {"key", "at", "window", "over", "where"}, {"key"}, where)
    over = entry.get("over")
    return Value(**{**entry, "over": None if over is None else _value(over, f"{where}: over")})


def _expectation(entry: Any, where: str) -> Expectation:
    if not isinstance(entry, dict) or len(entry) != 1 or not set(entry) <= set(_RULES):
        raise DataError(f"{where}: got {entry!r}, allowed: one of {', '.join(_RULES)}, and its limits")
    ((rule, given),) = entry.items()
    where = f"{where}: {rule}"
    if rule == "monotone":
        _require_keys(given, {"along", "direction", "slack", "may_be_flat"}, {"along", "direction"}, where)
        if given["direction"] not in ("up", "down"):
            raise DataError(f"{where}: direction: got {given['direction']!r}, allowed: up or down")
        return Expectation(rule, (), given)
    if rule == "near":
        _require_keys(given, {"value", "by", "factor"}, {"value"}, where)
        if ("by" in given) == ("factor" in given):
            raise DataError(f"{where}: got {given!r}, allowed: one of by and factor")
        return Expectation(rule, (_limit(given["value"], where),), given)
    if rule == "between" and (not isinstance(given, list) or len(given) != 2):
        raise DataError(f"{where}: got {given!r}, allowed: a list of two")
    limits = given if rule == "between" else [given]
    return Expectation(rule, tuple(_limit(limit, where) for limit in limits))


def _limit(entry: Any, where: str) -> float | Value:
    if isinstance(entry, (int, float)) and not isinstance(entry, bool):
        return float(entry)
    return _value(entry, where)


def _require_keys(entry: Any, allowed: set[str], needed: set[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: got {entry!r}, allowed: a mapping")
    keys = cast(dict[str, Any], entry).keys()
    if wrong := sorted(keys - allowed):
        raise DataError(f"{where}: got {', '.join(wrong)}, allowed: {', '.join(sorted(allowed))}")
    if missing := sorted(needed - keys):
        raise DataError(f"{where}: {', '.join(missing)} missing")
