"""``expunge-verify``: the claim of a run in words, and every line of it checked by other code."""

from __future__ import annotations

if __name__ == "__main__":  # first of all: what is imported below takes its time
    from expunge.core.door import verify as enter

    enter()

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expunge import __version__
from expunge.core.arguments import Parser
from expunge.core.arguments import folder as named_folder
from expunge.core.ends import BAD_INPUT, ended
from expunge.core.errors import RunFolderError, UserError, complain, one_line, say
from expunge.core.files import write_json
from expunge.run.job_cache import JobCache
from expunge.verify.files import LEDGER, RESULTS, SUMMARY, VERIFIED
from expunge.verify.shown import LeftOut, as_table, as_text
from expunge.verify.verdict import FORMAT, Verdict, verify

ACCEPTED, REJECTED = 0, 1
_BETWEEN = f"{'-' * 78}\n"

_DESCRIPTION = """\
Check what a run claims, by other code than the program's own: from the run folder
and the data it recomputes ledger, classes, noise, budgets, composition, and how far
the released model is from exact retraining, with exact numbers or with bounds on
every rounding. Prints the claim in words (who may see what, how often, which rows,
what is public, what is not covered), then every line that was checked: a tick or a
cross, what was claimed, what was recomputed.
"""
_EXAMPLES = """\
examples:
  expunge-verify outputs/RUN                     one run; writes verified.json into it
  expunge-verify RUN --no-write                  the same, and writes nothing
  expunge-verify RUN -o checked.json             a folder that is not yours: the result goes elsewhere
  expunge-verify multirun/FOLDER                 every run of a sweep, with a table at the end
  expunge-verify RUN --data-dir /srv/data        where the data lie here

What is needed: the run folder (.hydra/config.yaml, summary.json, removals.jsonl,
model.safetensors) and the data set. state.safetensors is a secret of who made the
run; where it is there, it is checked too. What each line means and what cannot be
checked: docs/verify.md. Of runs without a certificate the ledger is checked, and
that nothing is claimed.

Exit code: 0 accepted, 1 rejected (the first line that does not hold comes first),
2 with one line where something cannot be read.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on ``argv``, by default the process's own, and return its exit code."""
    return ended("expunge-verify", lambda: _asked(argv), lambda: "the same command begins again")


def _asked(argv: Sequence[str] | None) -> int:
    verdicts, readable = _verified(_parser().parse_args(argv))
    if not all(verdict.accepted for verdict in verdicts):
        return REJECTED
    return ACCEPTED if readable else BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "expunge-verify",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"expunge {__version__}")
    help_ = "a run folder, or a folder that holds run folders at any depth, such as a multirun folder"
    parser.add_argument("folders", nargs="+", type=named_folder, metavar="RUN", help=help_)
    parser.add_argument("--no-write", action="store_true", help=f"write no {VERIFIED} into the run folder")
    help_ = f"write the result to FILE, and no {VERIFIED}; of several runs a list"
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help=help_)
    help_ = "where the data lie (default: as the run's configuration or $EXPUNGE_DATA says)"
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help=help_)
    help_ = "where trained extractors and features are kept (default: likewise, or $EXPUNGE_CACHE)"
    parser.add_argument("--cache-dir", type=Path, metavar="DIR", help=help_)
    return parser


def _verified(args: argparse.Namespace) -> tuple[list[Verdict], bool]:
    """What was found of each run, and whether all could be read and what was found could be written."""
    runs, left_out = _runs(args.folders)
    cache = JobCache()
    verdicts: list[Verdict] = []
    written = True
    for run in runs:
        try:
            verdict = verify(run, cache, args.data_dir, args.cache_dir, progress=True)
        except UserError as error:
            if len(runs) == 1:
                raise
            left_out.append(LeftOut(run, one_line(error), unreadable=True))
            continue
        say(f"{_BETWEEN if verdicts else ''}{as_text(verdict)}", styled=True)
        verdicts.append(verdict)
        if args.out is None and not args.no_write:
            written &= _is_written(run / VERIFIED, verdict.as_json())
    if args.out is not None:
        found = [{"run": str(v.folder), **v.as_json()} for v in verdicts]
        written &= _is_written(args.out, found[0] if len(found) == 1 else {"format": FORMAT, "runs": found})
    if len(runs) > 1 or left_out:
        say(as_table(verdicts, left_out), styled=True)
    return verdicts, written and not any(one.unreadable for one in left_out)


def _is_written(path: Path, content: Any) -> bool:
    """Whether it could be written; if not, that is said, and what was found counts all the same."""
    try:
        write_json(path, content)
    except OSError as error:
        reason = f"{path}: cannot be written ({error.strerror})"
        complain(f"{reason}; --no-write, or -o FILE, leaves the run folder alone", "expunge-verify")
        return False
    return True


def _runs(folders: Sequence[Path]) -> tuple[list[Path], list[LeftOut]]:
    """Folders of finished runs at or under these, each once and in order, and what is no such run."""
    finished: dict[Path, None] = {}
    left_out: dict[Path, str] = {}
    for folder in folders:
        if not folder.is_dir():
            raise RunFolderError(f"{folder}: no such folder")
        for here, below, names in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            if not {LEDGER, SUMMARY, RESULTS} & {*names}:
                continue
            below.clear()
            if RESULTS in names:
                left_out[Path(here)] = "a study, which removes nothing"
            elif SUMMARY in names:
                finished[Path(here)] = None
            else:
                left_out[Path(here)] = f"an unfinished run, it has no {SUMMARY}"
    if not finished:
        what = next((f"{folder}: {why}" for folder, why in left_out.items()), "")
        where = ", ".join(map(str, folders))
        raise RunFolderError(what or f"{where}: no run folder, none holds {LEDGER} and {SUMMARY}")
    return list(finished), [LeftOut(folder, f"not checked: {why}") for folder, why in left_out.items()]
