"""``--forgotten`` of ``expunge-report``: a page of a run's requests, with the data that were to be erased."""

from __future__ import annotations

import argparse
from pathlib import Path

from expunge.core.errors import UserError, say
from expunge.core.files import write_atomically
from expunge.core.folders import writing
from expunge.forgotten.chosen import MOST
from expunge.record.folders.watched import NotWritten

FILE = "forgotten.html"
_OWN = ("forgotten", "requests", "data_dir")
_BESIDE = ("folders", "out", *_OWN)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--forgotten``, and ``--requests`` and ``--data-dir`` beside it."""
    help_ = (
        "a page of each request of one run with the images (or texts) that left, read again from the data "
        f"set: {FILE} in the DIR of --out, which is to be given, readable by its owner alone; no report and "
        "no run folder holds any of it"
    )
    parser.add_argument("--forgotten", action="store_true", help=help_)
    help_ = f"with --forgotten: which requests, such as 7 or 1-20,35 (default: the first {MOST})"
    parser.add_argument("--requests", metavar="N", help=help_)
    help_ = "with --forgotten: where the data lie (default: as the run's configuration or $EXPUNGE_DATA says)"
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help=help_)


def answered(args: argparse.Namespace) -> int | None:
    """Write the page if it is asked for, and return the exit code; None where it is not.

    Raises:
        UserError: An option stands where it means nothing, or the page cannot be made.
    """
    if not args.forgotten:
        for name in _OWN:
            if getattr(args, name) not in (None, False):
                raise UserError(f"--{name.replace('_', '-')}: only with --forgotten")
        return None
    if args.out is None:
        raise UserError(
            "--forgotten: only with --out DIR: what was to be erased is kept nowhere that nobody has named"
        )
    more = [
        name for name, value in vars(args).items() if value not in (None, False, []) if name not in _BESIDE
    ]
    if more or len(args.folders) != 1:
        raise UserError("--forgotten: takes one run folder and --out, --requests, --data-dir, nothing beside")
    from expunge.forgotten.page import made  # with it comes all that reads data

    html, shown, count = made(args.folders[0], args.requests, args.data_dir)
    try:
        with writing(args.out):
            write_atomically(args.out / FILE, html.encode(), secret=True)
    except OSError as error:
        raise NotWritten(f"{args.out}: the page cannot be written ({error.strerror})") from None
    say(f"Written to {args.out}: {FILE}, with {shown:,} of {count:,} requests\n")
    say("It holds data that were asked to be erased: delete it when you have seen it.\n")
    return 0
