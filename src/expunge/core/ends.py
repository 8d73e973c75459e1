"""How a command ends: every end is an exit code and at most one line; a traceback is that of a bug.

The standard library alone is imported here: signals are set up before anything that takes its time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from expunge.core.errors import BrokenInvariant, UserError, complain, one_line
from expunge.core.system_errors import system_error

FAILED, BAD_INPUT = 1, 2
_OF_SIGNALS = 128  # a shell's exit code of a process that a signal has ended, less its number
_SAID = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "terminated (its terminal is gone)"}
_AT_ONCE = 1.0  # seconds within which a signal that is sent twice counts once
_AGAIN = 0.02  # seconds after which a signal is raised again where no exception could be


class Terminated(BaseException):
    """The process was asked to end, by SIGTERM or SIGHUP; what is under way is not recorded."""


def ended_by(code: int) -> BaseException | None:
    """What a command is to raise whose own child has ended with ``code``, by a signal; None for another."""
    number = code - _OF_SIGNALS if code > 0 else -code
    if number not in {wanted for wanted, _ in _defaults()}:
        return None
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated()


class _Ear:
    """What this process has heard. Signals come to the main thread alone, and so does what is raised."""

    heard: signal.Signals | None = None
    because = ""
    at = 0.0
    ending = False


@contextmanager
def listening(for_good: bool = False) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the block by an exception, where nobody else has a say in them.

    A signal that is ignored (``nohup``) stays so. What was before is put back, unless the process ends then
    and it is ``for_good``: a signal that comes so late changes nothing.
    """
    wanted = {number: before for number, before in _defaults() if signal.getsignal(number) is before}
    if threading.current_thread() is not threading.main_thread() or not wanted:
        yield
        return
    unraisable = sys.unraisablehook
    _Ear.heard, _Ear.ending = None, False
    sys.unraisablehook = _where_nothing_can_be_raised(unraisable)
    for number in wanted:
        signal.signal(number, _hear)
    try:
        yield
    finally:
        for number, before in wanted.items():
            signal.signal(number, signal.SIG_IGN if for_good else before)
        if not for_good:
            sys.unraisablehook = unraisable
            _Ear.heard, _Ear.ending = None, False


def heard() -> bool:
    """Whether a signal has asked this process to end: an error may be what a library made of that."""
    return _Ear.heard is not None


def end_because(why: str) -> None:
    """End the command with the line ``why`` and code 1, from any thread: as a signal would end it.

    One that has been asked to end already says that.
    """
    if _Ear.heard is None and not _Ear.ending:
        _Ear.because = why
        os.kill(os.getpid(), signal.SIGTERM)


def _defaults() -> Iterator[tuple[signal.Signals, Any]]:
    yield signal.SIGINT, signal.default_int_handler
    yield signal.SIGTERM, signal.SIG_DFL
    if hasattr(signal, "SIGHUP"):
        yield signal.SIGHUP, signal.SIG_DFL


def _hear(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if _Ear.ending or (_Ear.heard and now - _Ear.at < _AT_ONCE):
        return
    _Ear.heard, _Ear.at = signal.Signals(number), now
    _raise()


def _raise() -> None:
    raise KeyboardInterrupt if _Ear.heard is signal.SIGINT else Terminated


def _where_nothing_can_be_raised(otherwise: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A hook for finalisers, whose exceptions Python drops: ours are raised again when they are done."""

    def again(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if not _Ear.ending:
            _raise()

    def hook(unraisable: Any) -> None:
        if not (_Ear.heard and isinstance(unraisable.exc_value, (KeyboardInterrupt, Terminated))):
            otherwise(unraisable)
        elif hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, again)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)

    return hook


def ended(program: str, work: Callable[[], int | None], then: Callable[[], str] = lambda: "") -> int:
    """Do the work of a command and return its exit code; what went wrong is one line on standard error.

    Bad input is 2, what must not be (``BrokenInvariant``) and what the system refuses 1, a signal 128 and its
    number. Another exception is a bug, and goes on.

    Args:
        program: Its name, which begins the line.
        work: Returns the exit code, None for 0; ``SystemExit`` is left alone.
        then: What there is by now, and how to go on, in words, where the command would have gone on.
    """
    with listening():
        try:
            return work() or 0
        except (Exception, KeyboardInterrupt, Terminated) as error:
            code, line, unasked = _told(error)
            if code is None:
                raise
            _Ear.ending = True
            complain("; ".join(filter(None, (line, _said(then) if unasked else ""))), program)
            return code


def _told(error: BaseException) -> tuple[int | None, str, bool]:
    """Exit code and line of an error, and whether the command would have gone on without it."""
    if _Ear.because:
        return FAILED, _Ear.because, True
    if isinstance(error, (KeyboardInterrupt, Terminated)) or _Ear.heard:  # or what a library made of it
        number = _Ear.heard or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM)
        return _OF_SIGNALS + number, _SAID[number.name], True
    if isinstance(error, UserError):
        return BAD_INPUT, one_line(error), False
    if isinstance(error, BrokenInvariant):
        return FAILED, one_line(error), False
    if line := system_error(error):
        return FAILED, line, True
    return None, "", False


def _said(then: Callable[[], str]) -> str:
    """What ``then`` says; where even that fails, such as on a disk that is full, why."""
    try:
        return then()
    except Exception as error:
        if (line := system_error(error)) or isinstance(error, UserError):
            return line or one_line(error)
        raise
