"""``expunge-report``: a table on the terminal, and tables, figures and a page in a folder."""

from __future__ import annotations

if __name__ == "__main__":  # first of all: what is imported below takes its time
    from expunge.core.door import report as enter

    enter()

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from expunge import __version__
from expunge.core import text
from expunge.core.arguments import Parser, folder
from expunge.core.ends import ended
from expunge.core.errors import UserError, say
from expunge.core.screen import Page
from expunge.extractors import privacy_table
from expunge.record.folders import differences, watched
from expunge.record.folders.runs import find_runs
from expunge.report.tables import terminal
from expunge.report.tables.contents import Contents
from expunge.report.write import default_out, write_contents, write_difference

_DESCRIPTION = """\
Compare finished runs by method: a table here; tables (.md, .csv, .tex), figures
(.png, .svg, .pdf) and a self-contained report.html in a folder.

A run folder is what `expunge` leaves: it holds summary.json, removals.jsonl and
.hydra/config.yaml. Nothing else is read (but by --forgotten), so folders copied from another
machine do as well; of a sweep, sweep.json says which cells failed. Runs that failed, never
finished or are damaged are named and left out of every mean. Runs that differ only in their seed
are one method, with means and intervals. The folder of a study (results.jsonl in place of
removals.jsonl) has a table of its own.
"""
_EXAMPLES = """\
examples:
  expunge-report multirun/compare-2f1c            every run of a sweep; writes into its report/
  expunge-report runs/first runs/second           two runs; writes into ./report/
  expunge-report runs --out /srv/www/unlearning   any depth; writes where you say
  expunge-report --watch multirun/compare-2f1c    written anew while the sweep runs, until it is done
  expunge-report --diff runs/first runs/second    in what two runs differ; writes nothing, but with
                                                  --out DIR a page with both in one chart
  expunge-report runs/first --forgotten --out /tmp/left
                                                  a page of each request, with the images that left
  expunge-report --privacy                        (epsilon, delta) of the published SVHN recipe; no data
  expunge-report --privacy --rows 60000 --batch-size 256 --epochs 10 --target-epsilon 2
                                                  the noise multiplier that keeps to epsilon 2

A run on the same problem that trains again at every request gives the time that
the others' speed-up is measured against; without one there is none. Exit code: 0, or 2 with one line that
says what is wrong and in which file and line; a damaged run does not keep the others from
being shown.
"""


class Part(Protocol):
    """What else the command does: a report is made from run folders alone, and knows nothing of it."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add its options."""

    def answered(self, args: argparse.Namespace) -> int | None:
        """Do what they ask for, and return the exit code; None where nothing is asked for."""


def main(argv: Sequence[str] | None = None, parts: Sequence[Part] = ()) -> int:
    """Run the command on ``argv``, by default the process's own; return 0, or another code after one line."""
    return ended("expunge-report", lambda: _asked(argv, parts), lambda: "the same command begins again")


def _asked(argv: Sequence[str] | None, parts: Sequence[Part]) -> int:
    parser = _parser()
    for part in parts:
        part.add_options(parser)
    args = parser.parse_args(argv)
    for part in parts:
        if (code := part.answered(args)) is not None:
            return code
    if args.diff:
        return _diff(args)
    recipe = privacy_table.given(args)
    if recipe and not args.privacy:
        raise UserError(f"{privacy_table.option(next(iter(recipe)))}: only with --privacy")
    if not args.folders and not args.privacy:
        parser.error("the following arguments are required: FOLDER")
    if (args.out or args.legend) and not args.folders:
        option = "--out" if args.out else "--legend"
        raise UserError(f"{option}: only with a FOLDER; --privacy alone writes no files")
    every = watched.every(args)
    if args.privacy:
        page = Page()
        privacy_table.report(recipe, page)
        say(f"{page}", styled=True)
    if not args.folders:
        return 0
    out = default_out(args.folders) if args.out is None else args.out
    if every is None:
        return _report(args.folders, out, args.legend)
    report = partial(_report, args.folders, out, args.legend)
    return watched.follow(args.folders, out / "report.html", every, report)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "expunge-report",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    help_ = "a run folder, or a folder that holds run folders at any depth, such as a multirun folder"
    parser.add_argument("--version", action="version", version=f"expunge {__version__}")
    parser.add_argument("folders", nargs="*", type=folder, metavar="FOLDER", help=help_)
    help_ = "where the files go (default: FOLDER/report if one FOLDER is given, else ./report)"
    parser.add_argument("--out", type=Path, metavar="DIR", help=help_)
    parser.add_argument("--legend", action="store_true", help="also print what every column means")
    differences.add_option(parser)
    watched.add_options(parser)
    privacy_table.add_options(parser)
    return parser


def _diff(args: argparse.Namespace) -> int:
    page = Page()
    found = differences.report(args, page)
    say(f"{page}", styled=True)
    if args.out is not None:
        written = write_difference(found, args.diff, args.out)
        say(f"\nWritten to {written.parent}: {written.name}\n")
    return 0


def _report(folders: list[Path], out: Path, legend: bool, live: float | None = None) -> int:
    found = find_runs(folders, strict=False)
    for one in found.left_out if live is None else ():
        sys.stderr.write(f"{one.kind}, left out: {one.folder}{text.plain(one.why())}\n")
    contents = Contents.of(found)
    shown = Page()
    terminal.of_contents(contents, shown, legend)
    if contents.runs and not legend:
        shown.text("What a column means: --legend, or report.html.", "dim")
    say(f"{shown}", styled=True)
    page = write_contents(contents, out, live)
    tables = "methods.csv, table.csv, table.tex and the figures"
    files = tables if contents.runs else "and a CSV file a study"
    say(f"\nWritten to {page.parent}: report.html, table.md, {files}\n")
    return 2 if any(one.damaged for one in found.left_out) else 0
