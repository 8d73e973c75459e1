"""A terminal for commands under test: what they write to it, and what is on its screen then."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

ROWS, COLUMNS = 24, 80
_PARTS = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|(\r|\n)|([^\x1b\r\n]+)")


def on_a_terminal(
    *command: str,
    cwd: Path | None = None,
    code: int = 0,
    interrupt: Callable[[str], bool] = lambda written: False,
    **env: str,
) -> str:
    """What a command writes to a terminal of 80 columns; it is interrupted once, as soon as it is to be."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    known = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
        env={**known, "TERM": "xterm", **env},
    )
    os.close(its)
    written, sent = b"", False
    try:
        while chunk := os.read(ours, 1 << 16):
            written += chunk
            if not sent and interrupt(written.decode(errors="replace")):
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
                sent = True
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait() == code, written.decode()
    return written.decode()


class Screen:
    """What a terminal makes of bytes: every state of it, after each part that was written.

    Attributes:
        states: The lines that were there, from the first on; the terminal's own colours are left out.
    """

    def __init__(self, written: str) -> None:
        self._lines, self._row, self._column = [""], 0, 0
        self.states: list[list[str]] = []
        place = 0
        for part in _PARTS.finditer(written):
            assert part.start() == place, f"nothing that a terminal shows: {written[place : place + 20]!r}"
            place = part.end()
            self._take(*part.groups())
        self.states.append([line.rstrip() for line in self._lines])

    def _take(self, number: str | None, steer: str | None, move: str | None, text: str | None) -> None:
        if text:
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
            self._column += len(text)
            self.states.append([line.rstrip() for line in self._lines])
        elif move == "\r":
            self._column = 0
        elif move == "\n":
            self._row += 1
            self._lines += [""] * (self._row == len(self._lines))
        elif steer == "A":
            self._row -= int(number or 1)
        elif steer == "K":
            self._lines[self._row] = self._lines[self._row][: self._column]
        else:
            assert steer == "m", f"steers a terminal: {number}{steer}"
