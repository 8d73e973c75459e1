"""A bar of the cells that are done, whichever process or machine works on them, and what is said above it."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from tqdm import tqdm

from expunge.core.errors import say
from expunge.core.files_read import apart
from expunge.core.screen import Page
from expunge.sweep.jobs import ended_jobs, has_begun

_LOOK_EVERY = 0.5  # seconds
_CLEAR = "\r\x1b[K"  # to the beginning of the line, and nothing on it


class Watch:
    """Looks at a sweep's folder while its cells are run: says once what is run, and moves the bar.

    Only what jobs have written down counts, so that it is the same for every launcher. In a pipe there is no
    bar.

    Args:
        sweep: The folder.
        total: Number of cells, None where that is not known before.
        asked: What the command line asks for.
        progress: Whether there is to be a bar.
    """

    def __init__(self, sweep: Path, total: int | None, asked: Sequence[str], progress: bool) -> None:
        self.sweep, self.total, self.asked = sweep, total, asked
        self.shows = progress and sys.stderr.isatty()
        self._lock, self._told, self._closed = Lock(), False, Event()
        self._thread = Thread(target=self._follow, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Say what is run, unless it has been said: the first cell begins, so that it is not refused."""
        with self._lock:
            if self._told or self._closed.is_set():
                return
            self._told = True
            page, many = (
                Page(),
                "cells" if self.total is None else f"{self.total:,} cell{'s' * (self.total != 1)}",
            )
            page.whole(f"Sweep folder: {page.near(self.sweep)}", "bold")
            page.text(f"{many}: {' '.join(self.asked)}" if self.asked else many, "dim")
            say(f"{page}", styled=True)

    def close(self) -> None:
        """Take the bar off the screen: what comes next is the sweep's end. A second time nothing happens."""
        self._closed.set()
        self._thread.join()

    def _follow(self) -> None:
        apart()  # a sweep's folder is no input of a cell that loads its data meanwhile
        while not self._told and not self._closed.wait(_LOOK_EVERY):
            if has_begun(self.sweep):  # in another process, which says nothing of it
                self.begin()
        if self.shows and not self._closed.is_set():
            with tqdm(total=self.total, unit="cell", dynamic_ncols=True, leave=False) as bar:
                self._move(bar)

    def _move(self, bar: Any) -> None:
        ended: dict[int, str] = {}
        while not self._closed.wait(_LOOK_EVERY):
            ended |= ended_jobs(self.sweep, but=ended)
            failed = sum(status == "failed" for status in ended.values())
            bar.set_postfix_str(f"{failed} failed" if failed else "", refresh=False)
            bar.n = len(ended)
            bar.refresh()


class _Above:
    """A stream to a terminal with a bar on it: what is written comes above the bar."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write whole lines."""
        with tqdm.external_write_mode(file=self._stream):
            self._stream.write(f"{_CLEAR}{text}" if self._stream.isatty() else text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


def make_way(config: Any, watch: Watch | None) -> None:
    """Keep a cell from drawing over the sweep's bar: it has none of its own, and says warnings alone.

    In a worker process nobody knows of the bar but by the terminal, which it shares with the command.
    """
    works = multiprocessing.parent_process() is not None
    shows = config.progress and sys.stderr.isatty() if works else watch is not None and watch.shows
    if works or shows:
        config.progress = False  # the bars of several workers would write over each other, too
    for handler in logging.getLogger().handlers if shows else ():
        stream = getattr(handler, "stream", None)
        if (
            isinstance(handler, logging.StreamHandler)
            and stream in (sys.stdout, sys.stderr)
            and stream.isatty()
        ):
            handler.setLevel(logging.WARNING)
            handler.setStream(_Above(stream))
