"""Which rows the configuration asks to be removed, and whether those are the ledger's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import UserError
from expunge.core.files import read_text
from expunge.core.homes import expanded
from expunge.core.json_text import parse_json
from expunge.datasets import Dataset
from expunge.datasets.names import person, plain
from expunge.verify import draws
from expunge.verify.exact import number
from expunge.verify.files import INPUTS, RunFiles, mapping
from expunge.verify.ledger import Ledger
from expunge.verify.lines import Faults, Line
from expunge.verify.rows import BLOCK

_OURS = "expunge.record.requests."


def check_requests(files: RunFiles, ledger: Ledger, dataset: Dataset) -> Line:
    """The ledger has a line for each request that was asked for, with its rows, in their order.

    A run with ``stop_at_limit`` ends with its first request that was not simply removed.
    """
    faults = Faults()
    found = [record["rows"] for record in ledger.records]
    removal, wanted = mapping(files.settings.get("removal")), None
    digest, count = _recorded(files)
    try:
        wanted, how = _asked(removal, files.settings.get("seed"), dataset)
    except (UserError, KeyError, TypeError, ValueError, OSError, ArithmeticError, RecursionError) as error:
        how = f"what the removal block asks for cannot be read ({type(error).__name__})"
        faults.need(_is_in_a_file(removal), how)  # else it is all there, and says nothing
    if _is_in_a_file(removal) and digest != _digest(wanted or []):
        wanted, how = None, "by their digest: the file that lists them is not what it was, or not here"
    stopped = files.settings.get("stop_at_limit") is True and any(
        record["outcome"] != "removed" for record in ledger.records
    )
    if wanted is not None:
        if stopped:
            early = [r["outcome"] for r in ledger.records[:-1]]
            faults.need(
                early == ["removed"] * len(early), "lines after the limit that the run was to stop at"
            )
        else:
            faults.need(len(found) == len(wanted), "lines, by the removal block", len(found), len(wanted))
        for place, (rows, right) in enumerate(zip(found, wanted, strict=False), start=1):
            if not faults.need(rows == right, f"line {place}: other rows than were asked for", rows, right):
                break
    _check_ids(ledger, dataset, faults)
    if digest is None:
        faults.need(wanted is not None, "nothing says what was asked for", None, INPUTS)
    elif not (stopped and len(found) < (count or 0)):
        faults.need(_digest(found) == digest, f"rows by the digest in {INPUTS}", digest, _digest(found))
    return faults.line("requests", how, len(found), len(found) if wanted is None else len(wanted))


def _is_in_a_file(removal: dict[str, Any]) -> bool:
    ids = removal.get("ids")
    return isinstance(removal.get("rows"), str) or (isinstance(ids, str) and ids.endswith((".json", ".txt")))


def _check_ids(ledger: Ledger, dataset: Dataset, faults: Faults) -> None:
    """Where rows have ids, every line has those of its rows, and no line has any else."""
    for place, record in enumerate(ledger.records, start=1):
        rows = record["rows"] if isinstance(record["rows"], list) else []
        known = all(isinstance(row, int) and 0 <= row < len(dataset.y_train) for row in rows)
        if not known:  # which is a fault of the ledger
            continue
        right = None if dataset.ids is None else [str(dataset.ids[row]) for row in rows]
        if not faults.need(record.get("ids") == right, f"line {place}: ids", record.get("ids"), right):
            return


def _asked(removal: dict[str, Any], seed: Any, dataset: Dataset) -> tuple[list[list[int]] | None, str]:
    """The rows of each request; None where they are chosen by a plug-in, and then ``how`` says so.

    Raises:
        KeyError: It is no such block; and likewise errors of all that a value may be.
    """
    kind = str(removal["_target_"]).removeprefix(_OURS)
    seed = seed if removal.get("seed") is None else removal["seed"]
    if kind.partition(".")[0] == "expunge_plugins":
        return None, "by their digest alone: they are chosen by code that this check does not know"
    if kind == "RandomRows":
        count, size = int(removal.get("count", 100)), int(removal.get("batch_size", 1))
        rows = draws.order(seed, len(dataset.y_train))[: count * size]
        return _batches(rows.tolist(), size), "the rows that the seed draws, in their order"
    if kind == "RandomSample":
        count = int(removal.get("count", 100))
        rows = draws.order(seed, len(dataset.y_train))[:count]
        size = int(removal.get("batch_size") or count)
        return _batches(rows.tolist(), size), "the rows that the seed draws, in their order"
    if kind == "ListedRows":
        return _listed(removal)
    if kind == "OfClass":
        label = dataset.label_of(removal["class"])
        return _parts(removal, dataset.y_train, [label], [()], seed), f"the rows of class {removal['class']}"
    if kind == "OfIdentity":
        given = removal["identity"]
        names = given if isinstance(given, list) else [given]
        labels = [person(dataset.class_names, name) for name in names]
        known = list(dataset.class_names)
        index = [(known.index(label),) for label in labels]
        return _parts(removal, dataset.y_train, labels, index, seed), "the rows of these people"
    if kind == "RandomPeople":
        drawn, size = draws.order(seed, np.unique(dataset.y_train)), int(removal.get("together", 1))
        together = _batches(drawn[: int(removal.get("people", 10))].tolist(), size)
        everything = [np.flatnonzero(np.isin(dataset.y_train, own)).tolist() for own in together]
        return everything, "all rows of people that the seed draws"
    if kind == "OfGroup":
        given = removal["group"]
        groups, numbers = np.unique(np.asarray(dataset.groups), return_inverse=True)
        called = dict(enumerate(map(plain, groups.tolist())))
        of = [person(called, name, "group") for name in (given if isinstance(given, list) else [given])]
        return _parts(
            removal, numbers.ravel(), of, [(label,) for label in of], seed
        ), "the rows of the groups"
    if kind == "ListedIds":
        return _by_id(removal, dataset)
    if kind in ("Poisoned", "Mislabelled"):
        if dataset.corruption is None:
            raise KeyError("no row of this data set was changed")
        changed = np.full(len(dataset.y_train), 0)
        changed[dataset.corruption.rows("poison" if kind == "Poisoned" else "mislabel")] = 1
        return _parts(removal, changed, [1], [()], seed), "the rows that were changed before training"
    if kind in ("Outliers", "Neighbours"):
        found, how = _by_place(kind, removal, dataset, seed)
        return _batches(found, int(removal.get("batch_size") or len(found))), how
    raise KeyError(kind)


def _parts(
    removal: dict[str, Any],
    of_rows: NDArray[np.int64],
    labels: Sequence[int],
    index: Sequence[tuple[int, ...]],
    seed: int,
) -> list[list[int]]:
    """A share of each label's rows, drawn where it is not all of them, in the data set's order."""
    batches: list[list[int]] = []
    for label, place in zip(labels, index, strict=True):
        rows = np.flatnonzero(of_rows == label)
        chosen = removal.get("count") or max(1, round(float(removal.get("share", 1.0)) * len(rows)))
        if chosen < len(rows):
            rows = np.sort(draws.order(seed, rows, *place)[:chosen])
        batches += _batches(rows.tolist(), removal.get("batch_size") or chosen)
    return batches


def _listed(removal: dict[str, Any]) -> tuple[list[list[int]] | None, str]:
    rows = removal["rows"]
    if isinstance(rows, str):
        text, how = read_text(expanded(rows)), f"the rows listed in {rows}"
        if rows.endswith(".json"):
            rows = parse_json(text)
        else:
            lines = (line.partition("#")[0].replace(",", " ").split() for line in text.splitlines())
            return [[int(word) for word in line] for line in lines if line], how
    rows = [rows] if isinstance(rows, int) else rows
    if rows and all(isinstance(entry, list) for entry in rows):
        return [list(map(int, batch)) for batch in rows], "the rows that are listed"
    return _batches(list(map(int, rows)), int(removal.get("batch_size", 1))), "the rows that are listed"


def _by_id(removal: dict[str, Any], dataset: Dataset) -> tuple[list[list[int]], str]:
    ids, how = removal["ids"], "the rows with the ids that are listed"
    place = {name: row for row, name in enumerate(np.asarray(dataset.ids).tolist())}
    if _is_in_a_file(removal):
        text, how = read_text(expanded(ids)), f"the rows with the ids listed in {ids}"
        lines = [line.strip() for line in text.splitlines()]
        ids = parse_json(text) if ids.endswith(".json") else [line for line in lines if line]
    ids = ids if isinstance(ids, list) else [ids]
    if ids and all(isinstance(entry, list) for entry in ids):
        return [[place[str(one)] for one in batch] for batch in ids], how
    return _batches([place[str(one)] for one in ids], int(removal.get("batch_size", 1))), how


def _by_place(kind: str, removal: dict[str, Any], dataset: Dataset, seed: int) -> tuple[list[int], str]:
    """Rows by how far they are from the mean of their class, or from one of them; ties by their numbers."""
    count, far = int(removal.get("count", 100)), np.empty(len(dataset.y_train))
    if kind == "Outliers":
        for label in np.unique(dataset.y_train):
            own = np.flatnonzero(dataset.y_train == label)
            x = _dense(dataset.x_train[own])
            far[own] = -np.sqrt(((len(own) * x - x.sum(axis=0)) ** 2).sum(axis=1)) / len(own)
        return np.argsort(far, kind="stable")[:count].tolist(), "the rows farthest from their class's mean"
    row = removal.get("row")
    row = int(draws.order(seed, len(far))[0] if row is None else row)
    for start in range(0, len(far), BLOCK):
        part = slice(start, start + BLOCK)
        far[part] = ((_dense(dataset.x_train[part]) - _dense(dataset.x_train[[row]])) ** 2).sum(axis=1)
    far[row] = -1
    return np.argsort(far, kind="stable")[:count].tolist(), f"row {row} and those nearest to it"


def _dense(x: Any) -> NDArray[np.float64]:
    part = x.toarray() if hasattr(x, "indptr") else np.asarray(x)
    return part.reshape(len(part), -1).astype(np.float64)


def _batches(rows: list[int], size: int) -> list[list[int]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _recorded(files: RunFiles) -> tuple[str | None, int | None]:
    """Digest and number of the requests, as the run kept them; the two files must say the same."""
    asked = mapping(files.inputs.get("requests"))
    shown = mapping(files.summary.get("inputs")).get("requests")
    count = number(asked.get("count"))
    return shown or asked.get("sha256"), None if count is None else int(count)


def _digest(rows: Sequence[Any]) -> str:
    found = hashlib.sha256()
    for one in rows:
        found.update(f"{json.dumps(one)}\n".encode())
    return found.hexdigest()
