"""``expunge-reproduce``: run the rows of a paper, and say what came out beside what was published."""

from __future__ import annotations

if __name__ == "__main__":  # first of all: what is imported below takes its time
    from expunge.core.door import reproduce as enter

    enter()

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge import __version__
from expunge.core.arguments import Parser
from expunge.core.checks import require_choice
from expunge.core.ends import FAILED, ended
from expunge.core.errors import InvalidValue, say
from expunge.reproduce.expected import PaperRow, expected_files, read_expected

_DESCRIPTION = """\
Run the tables and figures of a paper and hold them against what was published: row, quantity, published,
ours, tolerance, verdict. Each row is an experiment (`expunge -m +experiment=PAPER/ROW`) with a sweep folder
of its own; a run that is done is not run again, so the same command goes on where it was interrupted.
"""
_EXAMPLES = """\
examples:
  expunge-reproduce icml2020                         every row that can be run here
  expunge-reproduce icml2020 --reduced               all of them in seconds each: a rehearsal, no result
  expunge-reproduce icml2020 --only timing           one row
  expunge-reproduce cvpr2022 data_dir=/data          KEY=VALUE is handed to every run, as `expunge` takes it
  expunge-reproduce icml2020 threads=1 hydra/launcher=parallel    two or more runs at a time
  expunge-reproduce icml2020 --write                 and put table and figures into experiments/icml2020/

verdicts:
  as published, not as published (and where not), not measured (no run has such a number, and why),
  not run (and why: data absent and what to put where, not yet built);
  as claimed, not as claimed, where nothing was published and the claim is ours
A row run in its reduced form, or with other settings, says so before its verdict.

Exit code: 0 if all that was asked for was run and compared, whatever the verdicts; 1 if a run failed; 2 with
one line for bad input.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on ``argv``, by default the process's own; return the exit code, see ``--help``."""
    goes_on = "the same command goes on where it stopped"
    return ended("expunge-reproduce", lambda: _reproduce(_parsed(argv)), lambda: goes_on)


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    papers = ", ".join(expected_files())
    parser = Parser(
        "expunge-reproduce",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paper", metavar="PAPER", help=f"one of {papers}")
    add = parser.add_argument
    add("--version", action="version", version=f"expunge {__version__}")
    add("overrides", nargs="*", metavar="KEY=VALUE", help="handed to every run, such as threads=1")
    add("--only", nargs="+", action="extend", metavar="ROW", help="these rows alone")
    add("--reduced", action="store_true", help="each row in its reduced form, labelled so")
    where = "where runs and page go (default: multirun/reproduce/PAPER, reduced ones PAPER-reduced)"
    add("--out", type=Path, metavar="DIR", help=where)
    add("--write", action="store_true", help="put table and figures into experiments/PAPER/, too")
    args = parser.parse_intermixed_args(argv)
    # --only takes all that follows it, overrides among it.
    args.overrides += [text for text in args.only or [] if "=" in text]
    args.only = None if args.only is None else [text for text in args.only if "=" not in text]
    return args


def _reproduce(args: argparse.Namespace) -> int:
    rows, asked = _rows(args.paper, args.only)
    for text in args.overrides:
        if "=" not in text.strip("=+~"):
            raise InvalidValue("KEY=VALUE", text, "an override as expunge takes it, such as threads=1")
    out = args.out or Path("multirun", "reproduce", f"{args.paper}-reduced" if args.reduced else args.paper)

    from expunge.reproduce import output, page

    folder = output.checkout_folder(args.paper) if args.write else None
    results: dict[str, dict[str, Any]] = {}
    for name in asked:
        results[name] = _row(rows[name], out, args)
        path, _ = output.write_page(args.paper, rows, results, out)  # after each: a command may be broken off
    say(page.as_text(results), styled=True)
    say(f"\n{page.counted(results)}\nWritten to {path}\n")
    if folder is not None:
        taken = output.write_records(args.paper, rows, results, out, folder)
        kept = [name for name in asked if name not in taken]
        say(f"Written to {folder}" + (f"; kept as it was: {', '.join(kept)}\n" if kept else "\n"))
    return FAILED if any(result["failed"] for result in results.values()) else 0


def _rows(paper: str, only: Sequence[str] | None) -> tuple[Mapping[str, PaperRow], list[str]]:
    """All rows of the paper, and the names of those asked for, in the paper's order."""
    papers = expected_files()
    rows = read_expected(papers[require_choice("PAPER", paper, papers)])
    for name in only or ():
        require_choice("--only", name, rows)
    return rows, [name for name in rows if not only or name in only]


def _row(row: PaperRow, out: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Run one row and compare; what comes of it, whatever that is."""
    from expunge.reproduce import output, results, running

    if row.not_yet:
        return results.of_nothing(row, args.reduced, f"not yet: {row.not_yet}")
    folder = out / "runs" / row.name
    sys.stderr.write(f"{row.name}: {row.what}\n")
    sys.stderr.flush()
    try:
        sweep = running.run_row(row, folder, args.reduced, args.overrides)
    except (running.Absent, running.Unfinished) as error:
        failed = isinstance(error, running.Unfinished)
        return results.of_nothing(row, args.reduced, str(error), failed)
    result = results.of_sweep(row, sweep, args.reduced, args.overrides)
    return {**result, "figures": output.write_row(row, sweep, out / row.name)}
