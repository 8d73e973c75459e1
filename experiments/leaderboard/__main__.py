"""``python -m experiments.leaderboard FOLDER --by WHO --machine WHICH --command LINE``: an entry, as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from experiments.leaderboard.tables import Table, read
from expunge.core.errors import UserError
from expunge.record.folders.runs import Run, find_runs
from expunge.report.read.names import settings
from expunge.report.tables import studies, table
from expunge.report.tables.contents import Contents

FACTS = ("title", "data", "model", "forget_set", "version")


def main(given: list[str] | None = None) -> int:
    """Write an entry on standard output, or to ``--out``; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.leaderboard", description=__doc__)
    parser.add_argument("source", type=Path, help="folder of a sweep or a study, or table.md of its report")
    parser.add_argument("--by", required=True, help="who ran it")
    parser.add_argument("--machine", required=True, help="what on, and what else it was doing")
    parser.add_argument("--command", required=True, help="the command that repeats it")
    parser.add_argument("--commit", default="", help="of expunge, where it was a checkout")
    parser.add_argument("--date", default="", help="of the run")
    parser.add_argument("--sort", default="", help="name of the number that methods are ranked by")
    parser.add_argument(
        "--better",
        action="append",
        default=[],
        metavar="NAME=lower",
        help="which way, where the table is silent",
    )
    parser.add_argument("--out", type=Path, help="file to be written")
    for fact in FACTS:
        flag = f"--{fact.replace('_', '-')}"
        parser.add_argument(flag, default="", help="if not what the folder says; of a table it must be given")
    options = parser.parse_args(given)
    try:
        made = entry(options.source, vars(options))
    except (UserError, ValueError, OSError) as error:
        print(f"leaderboard: {error}", file=sys.stderr)
        return 2
    text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


def entry(source: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a folder or a table; ``given`` are the facts that are not asked of the folder.

    Raises:
        ValueError: A fact is neither given nor known, or the table has no number of the name in ``sort``.
        UserError: A folder has no finished run.
    """
    known: dict[str, Any] = {}
    method_settings: dict[str, dict[str, Any]] = {}
    if source.is_dir():
        text, known, method_settings = _of_folder(source)
    else:
        text = source.read_text(encoding="utf-8")
    facts = {fact: given.get(fact) or known.get(fact, "") for fact in FACTS}
    if missing := [f"--{fact.replace('_', '-')}" for fact, value in facts.items() if not value]:
        raise ValueError(f"{source} does not say {', '.join(missing)}: give it")
    found = read(text)
    names = [metric.name for metric in found.metrics]
    sort = given.get("sort") or next((m.name for m in found.metrics if m.better), names[0])
    if sort not in names:
        raise ValueError(f"--sort: got {sort!r}, allowed: {', '.join(names)}")
    better = {m.name: m.better for m in found.metrics} | _directions(given.get("better") or [], names)
    told = {key: given[key] for key in ("command", "by", "machine", "commit", "date") if given.get(key)}
    return {
        **facts,
        **told,
        "sort": sort,
        "metrics": {
            m.name: {"better": better[m.name], "definition": m.definition}
            for m in found.metrics
            if _has(found, m.name)
        },
        "methods": [_method(label, values, method_settings) for label, values in found.rows.items()],
    }


def _directions(given: list[str], names: list[str]) -> dict[str, str]:
    pairs = {name: way for name, _, way in (one.rpartition("=") for one in given)}
    for name, way in pairs.items():
        if name not in names or way not in ("higher", "lower"):
            raise ValueError(
                f"--better: got {name}={way}, allowed: NAME=higher or =lower of {', '.join(names)}"
            )
    return pairs


def _has(found: Table, name: str) -> bool:
    return any(name in values for values in found.rows.values())


def _method(label: str, values: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    name, _, seeds = label.partition(" · ")
    count = int(seeds.split()[0]) if seeds else 1
    return {"method": name, "seeds": count, "settings": known.get(name, {}), "values": values}


def _of_folder(folder: Path) -> tuple[str, dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the table of a folder, what it says of itself, and the settings of each method."""
    contents = Contents.of(find_runs([folder]))
    if not contents.runs:
        study = contents.studies[0]
        return studies.as_markdown(study), {"title": study.name}, {}
    known = {
        group.label: {
            key.removeprefix("unlearner."): value
            for key, value in settings(group.rows[0].of, ["unlearner"]).items()
            if value is not None and key not in ("unlearner.name", "unlearner._target_")
        }
        for group in contents.groups
    }
    return table.as_markdown(contents.groups), {"title": contents.title, **_said_by(contents.runs[0])}, known


def _said_by(run: Run) -> dict[str, str]:
    summary, removal = run.summary, run.config.get("removal") or {}
    how = ", ".join(f"{key} {value}" for key, value in removal.items() if value is not None and key[0] != "_")
    return {
        "data": f"{summary['dataset']}, {summary['n_train']:,} training, {summary['n_test']:,} test rows",
        "model": str(summary["model"]),
        "forget_set": f"{summary['requests']:,} requests ({how})"
        if how
        else f"{summary['requests']:,} requests",
        "version": str(summary["versions"]["expunge"]),
    }


if __name__ == "__main__":
    sys.exit(main())
