"""``expunge`` as one of several processes: rank 0 is the command, the others work for it."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import TypeVar

from expunge.core.errors import UserError, complain
from expunge.ranks.place import Place, forget, place_of

Told = TypeVar("Told")


def main() -> int | None:
    """Run the command, or help with it."""
    return with_ranks(_command)


def with_ranks(command: Callable[[], int | None]) -> int | None:
    """Run ``command`` in a process that is alone or rank 0; another one helps, and does not return."""
    place = place_of(os.environ)
    if place is None:
        return command()
    forget()
    if place.rank:
        return _helper(place)
    from expunge.core.ends import ended

    if code := ended("expunge", lambda: _join(place)):
        return code
    from expunge.ranks.helpers import Helpers

    Helpers.here = helpers = Helpers(place)
    code = 1
    try:
        code = command() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()  # a bug; no other end may come before the others have ended
    finally:
        if not helpers.end():  # a thread still waits for somebody, and would be in the way of the end
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return code


def cell_of(place: Place, cell: Callable[[], Told]) -> Told | None:
    """Run a cell of a sweep in the task of a job that is rank 0; another task helps, and returns None.

    Raises:
        UserError: The tasks do not find each other.
    """
    _join(place)
    from expunge.ranks.helpers import Helpers

    if place.rank:
        from expunge.linear.shares import Shares
        from expunge.ranks.helping import help_rank_0

        help_rank_0(Shares(), place.rank, stay=True)
        return None
    Helpers.here = helpers = Helpers(place)
    try:
        return cell()
    finally:
        helpers.end()


def _command() -> int | None:
    code: int | None = import_module("expunge.app").main()
    return code


def _join(place: Place) -> None:
    from expunge.ranks.joined import meet

    meet(place)


def _helper(place: Place) -> int:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # nothing is under way yet: it ends without a word
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        _join(place)
    except UserError as error:
        complain(error)
        return 2
    from expunge.linear.shares import Shares
    from expunge.ranks.helping import help_rank_0

    help_rank_0(Shares(), place.rank)
    return 0
