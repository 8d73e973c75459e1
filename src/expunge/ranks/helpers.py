"""What rank 0 has of the other processes: who they are, what they answer, and whether they are there."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from expunge.core.ends import FAILED, end_because
from expunge.core.errors import DataError, PeerLost, complain
from expunge.ranks.joined import last_word_of, last_word_to, leave
from expunge.ranks.place import Place
from expunge.ranks.wire import Message, receive, send, words

ANSWER, REFUSED, BROKEN = 1, 2, 3
_UNTIL_HARD = 7.0  # seconds after which a process that is to end, and has not, is ended
_UNTIL_LEFT = 2.0  # seconds that the last words may take
Job = tuple[Callable[[], Message], bool]


class Helpers:
    """The other processes of rank 0; one group a process.

    Attributes:
        size: Processes, rank 0 among them.
        local: How many are on this machine.
    """

    here: Helpers | None = None

    def __init__(self, place: Place) -> None:
        self.size, self.local = place.size, place.local
        self._lock = threading.RLock()
        self._jobs: dict[int, SimpleQueue[Job | None]] = {}
        self._answers: dict[int, SimpleQueue[Message | PeerLost]] = {}
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        for rank in range(1, place.size):
            self._jobs[rank], self._answers[rank] = SimpleQueue(), SimpleQueue()
            for work in (self._talk, self._watch):
                name = f"{work.__name__.strip('_')}_{rank}"
                thread = threading.Thread(target=work, args=(rank,), name=name, daemon=True)
                thread.start()
                self._threads.append(thread)

    def tell(self, rank: int, message: Message) -> None:
        """Send a message that nobody answers, after all before it."""
        self._jobs[rank].put((lambda: message, False))

    def ask(self, messages: dict[int, Callable[[], Message]], meanwhile: Callable[[], Any]) -> Any:
        """Send messages, do something meanwhile, and return what it returns and the answers, by rank.

        Raises:
            DataError: A process cannot do what it is asked for.
            PeerLost: A process is gone.
        """
        with self._lock:
            for rank, message in messages.items():
                self._jobs[rank].put((message, True))
            try:
                own = meanwhile()
            finally:  # an answer that is left would be taken for the next one
                answers = {rank: self._answers[rank].get() for rank in messages}
            return own, {rank: _checked(rank, answer) for rank, answer in answers.items()}

    def _talk(self, rank: int) -> None:
        while (job := self._jobs[rank].get()) is not None:
            message, answered = job
            try:
                send(message(), rank)
                if answered:
                    self._answers[rank].put(receive(rank))
            except Exception as error:
                gone = isinstance(error, RuntimeError)
                said = _gone(rank) if gone else f"rank {rank} cannot be talked to: {error}"
                self._answers[rank].put(PeerLost(said))
                return

    def _watch(self, rank: int) -> None:
        """End this process soon after a process that it needs: whatever it does, and even if it cannot."""
        if last_word_of(rank) or self._ended.is_set():
            return
        said = _gone(rank)
        end_because(said)
        if not self._ended.wait(_UNTIL_HARD):
            complain(said)
            sys.stderr.flush()
            os._exit(FAILED)

    def end(self) -> bool:
        """Tell all that are there to end; False where one has not answered: a thread still waits for it.

        A thread that is within torch when the interpreter ends takes the process with it (SIGABRT).
        """
        self._ended.set()
        for rank, jobs in self._jobs.items():
            jobs.put(None)
            told = threading.Thread(target=_quietly, args=(last_word_to, rank), daemon=True)
            told.start()
            self._threads.append(told)
        until = time.monotonic() + _UNTIL_LEFT
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        Helpers.here = None
        if any(thread.is_alive() for thread in self._threads):
            return False
        _quietly(leave)
        return True


def _checked(rank: int, answer: Message | PeerLost) -> Message:
    if isinstance(answer, PeerLost):
        raise answer
    if answer.what == REFUSED:
        raise DataError(f"rank {rank}: {words(answer.arrays[0])}")
    if answer.what == BROKEN:
        raise PeerLost(f"rank {rank} has failed: {words(answer.arrays[0])}")
    return answer


def _gone(rank: int) -> str:
    return f"rank {rank} has ended before its time (killed, or out of memory); so all ranks end"


def _quietly(work: Callable[..., Any], *args: Any) -> None:
    with suppress(RuntimeError):  # it is gone
        work(*args)
