"""What a process that is not rank 0 does: as it is told, until it is told to end or rank 0 is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType

from expunge.core.ends import FAILED
from expunge.core.errors import UserError, complain, one_line
from expunge.core.system_errors import system_error
from expunge.ranks.helpers import ANSWER, BROKEN, REFUSED
from expunge.ranks.joined import last_word_of, last_word_to, leave
from expunge.ranks.wire import Message, Unreadable, receive, send, text

Answer = Callable[[Message], Message | None]
_GRACE = 6.0  # seconds after a signal within which rank 0, which has it too, says how all end


def help_rank_0(answer: Answer, rank: int, stay: bool = False) -> None:
    """Answer rank 0's messages, and end when it ends; if ``stay``, where it ends well, return.

    The threads that wait for it cannot be interrupted, so that signals are the main thread's. SIGINT comes to
    all processes of a terminal, and rank 0 answers it. After SIGTERM it has some seconds to end all in order.
    """
    ends: SimpleQueue[int] = SimpleQueue()

    def leave_later(number: int, frame: FrameType | None) -> None:
        timer = threading.Timer(_GRACE, ends.put, (128 + number,))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            signal.signal(getattr(signal, name), leave_later)
    serving = threading.Thread(target=_serve, args=(answer, ends), daemon=True)
    serving.start()
    threading.Thread(target=lambda: ends.put(_wait(rank)), daemon=True).start()
    code = ends.get()
    if stay and code == 0:
        serving.join(_GRACE)  # rank 0 closes its connections
        if not serving.is_alive():
            leave()
            return
    sys.stderr.flush()
    os._exit(code)  # the threads that wait would be in the way of any other end


def _wait(rank: int) -> int:
    """Wait for the end of rank 0, and return the exit code: it is rank 0's to say what has failed."""
    if last_word_of(0):
        with suppress(RuntimeError):  # it did not wait
            last_word_to(0)
        return 0
    if rank == 1:  # one line of all
        complain(
            "rank 0 has ended before its time (killed, or out of memory); what is recorded is kept; the same "
            "command with resume=true goes on"
        )
    return FAILED


def _serve(answer: Answer, ends: SimpleQueue[int]) -> None:
    """Answer until rank 0 is gone, which the thread that waits for its last word sees too."""
    trouble: Message | None = None
    with suppress(RuntimeError):
        while True:
            try:
                message = receive(0)
            except Unreadable as error:  # by a rank 0 of another version
                complain(error)
                ends.put(FAILED)
                return
            found = _answered(answer, message)
            if is_asked(message):
                send(trouble or found or Message(ANSWER), 0)
                trouble = None
            else:
                trouble = trouble or found  # for who asks next


def _answered(answer: Answer, message: Message) -> Message | None:
    """The answer, or what is in its way; never an error."""
    try:
        return answer(message)
    except UserError as error:
        return Message(REFUSED, (), [text(one_line(error))])
    except Exception as error:
        said = system_error(error) or f"{type(error).__name__}: {one_line(error)}"
        return Message(BROKEN, (), [text(said)])


def is_asked(message: Message) -> bool:
    """Whether rank 0 waits for an answer: such messages have odd numbers."""
    return message.what % 2 == 1
