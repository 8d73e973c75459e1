"""``expunge-audit``: attack every certified method, and say how much epsilon the attacks prove at least."""

from __future__ import annotations

if __name__ == "__main__":  # first of all: what is imported below takes its time
    from expunge.core.door import audit as enter

    enter()

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expunge import __version__
from expunge.audit.stopped import Stopped
from expunge.core.arguments import Parser
from expunge.core.checks import require_count, require_positive
from expunge.core.ends import ended
from expunge.core.errors import InvalidValue, RunFolderError, complain, say

REFUTES = 1
PAIRS, BULK, MINUTES = 1200, 200_000, 4.0
_PIXELS = "expunge.extractors.pixels.Pixels"

_DESCRIPTION = """\
Audit certified methods: remove rows by the method, train exactly without them, thousands of times, and attack
what is released. What the attacks find is a lower bound on epsilon, at the claimed delta, that holds with 99%
for all attacks on a method together. Above what is claimed it refutes the claim. Below, it proves nothing:
docs/audit.md. Without RUN every certified method of this program is audited on small problems; with RUN the
method of that run, with its settings and its data, and audit.json is written into its folder.
"""
_EXAMPLES = """\
examples:
  expunge-audit                                every certified method, in less than five minutes on two cores
  expunge-audit --only newton_corrected        those whose names begin like this
  expunge-audit --pairs 10000 --minutes 60     more pairs: closer limits
  expunge-audit outputs/2026-01-01/12-00-00    the method of a run, on its data

Exit code: 0 if no claim that is made is exceeded, 1 if one is refuted, 2 with one line for bad input. The
published methods say themselves that their claim does not hold: that it is refuted is what is expected.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on ``argv``, by default the process's own; return the exit code, see ``--help``."""
    return ended("expunge-audit", lambda: _asked(argv), lambda: "nothing has been written")


def _asked(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    # w* is solved until rounding ends it, on purpose.
    logging.getLogger("expunge.linear.solver").addHandler(logging.NullHandler())
    try:
        return _audit(args)
    except Stopped as error:
        complain(error, "expunge-audit")
        return REFUTES


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "expunge-audit",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--version", action="version", version=f"expunge {__version__}")
    add("run", nargs="?", type=Path, metavar="RUN", help="a run folder; without one, all certified methods")
    add("--only", nargs="+", action="extend", metavar="METHOD", help="methods by their names' beginnings")
    add(
        "--pairs",
        type=_number,
        metavar="N",
        help=f"pairs for a method with a rare event, a quarter for most (default: {PAIRS:,})",
    )
    help_ = f"pairs of noise alone, for noise at release (default: {BULK:,})"
    add("--noise-pairs", type=_number, metavar="N", help=help_)
    help_ = f"time limit, shared out among the methods: fewer pairs are made then (default: {MINUTES:g})"
    add("--minutes", type=_number, metavar="M", help=help_)
    add("--seed", type=_number, metavar="S", help="of what the audit draws (default: 0)")
    add("--workers", type=_number, metavar="N", help="processes (default: one a core); 1: none but this")
    help_ = "where audit.json, audit.png, audit.svg and audit.html go (default: ./audit; RUN itself with one)"
    add("-o", "--out", type=Path, metavar="FOLDER", help=help_)
    return parser


def _number(given: str) -> Any:
    """The number that was typed, or the text, which is refused by name later."""
    for kind in (int, float):
        try:
            return kind(given)
        except ValueError:
            continue
    return given


def _audit(args: argparse.Namespace) -> int:
    pairs = require_count("--pairs", PAIRS if args.pairs is None else args.pairs, least=40)
    bulk = require_count("--noise-pairs", BULK if args.noise_pairs is None else args.noise_pairs, least=40)
    minutes = require_positive("--minutes", MINUTES if args.minutes is None else args.minutes)
    seed = require_count("--seed", 0 if args.seed is None else args.seed, least=0)
    workers = None if args.workers is None else require_count("--workers", args.workers)
    if args.run is not None and args.only:
        raise InvalidValue("--only", args.only, "nothing beside RUN, which has one method")
    out = args.out or args.run or Path("audit")
    if out.exists() and not out.is_dir():
        raise InvalidValue("--out", str(out), "a folder")

    begun = time.perf_counter()
    effort = {"pairs": pairs, "noise_pairs": bulk, "minutes": minutes, "seed": seed}
    if args.run is None:
        records = _methods(args.only, pairs, bulk, minutes, seed, workers)
    else:
        records = [_run(args.run, pairs, bulk, minutes, seed)]

    from expunge.audit import output

    found = output.document(records, effort, args.only, args.run is not None, time.perf_counter() - begun)
    say(output.as_text(found), styled=True)
    try:
        paths = output.write(found, out)
    except OSError as error:
        raise RunFolderError(f"--out: {out} cannot be written ({error.strerror})") from None
    say(f"\nWritten to {out}: {', '.join(path.name for path in paths)}\n")
    return REFUTES if output.refuted(found) else 0


def _methods(
    only: list[str] | None, pairs: int, bulk: int, minutes: float, seed: int, workers: int | None
) -> list[dict[str, Any]]:
    from tqdm import tqdm

    from expunge.audit.methods import entries
    from expunge.audit.running import audit_all
    from expunge.run.config_files import config_dir

    found = entries(config_dir(), only)
    with tqdm(total=len(found), desc="audited", unit="method", disable=None) as bar:

        def done(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        return audit_all(found, pairs, bulk, minutes, seed, workers, done)


def _run(folder: Path, pairs: int, bulk: int, minutes: float, seed: int) -> dict[str, Any]:
    from expunge.audit.auditing import audit
    from expunge.audit.run_folder import of_run
    from expunge.audit.worlds import Effort

    if not folder.is_dir():
        raise RunFolderError(f"{folder}: no such folder")
    method, data, settings = of_run(folder)
    made = audit(method, data, Effort(pairs, bulk, time.monotonic() + 60 * minutes, minutes), seed)
    if (extractor := (settings.get("extractor") or {}).get("_target_")) != _PIXELS:
        made.world.not_tried.append(f"what lies upstream: the features of {extractor}")
    return made.record(str(method.name), settings["unlearner"])
