"""Command lines of ``expunge-report``, ``-verify``, ``-audit`` and ``-reproduce``."""

from __future__ import annotations

import random

from tests.fuzz.line import Line, drawn, named

_COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "expunge-report": (
        ("--privacy",),
        *((f"--{name}",) for name in ("out", "rows", "batch-size", "epochs", "noise-multiplier", "delta")),
        *((f"--{name}",) for name in ("target-epsilon", "accountant", "sampling")),
        *(
            ("--nope",),
            ("--privacy", "--rows"),
            ("--privacy", "--noise-multiplier"),
            ("--privacy", "--delta"),
        ),
        *(("--privacy", "--epochs"), ("--privacy", "--target-epsilon"), ("--privacy", "--batch-size"), ()),
    ),
    "expunge-verify": (("--no-write",), ("-o",), ("--data-dir",), ("--nope",), ()),
    "expunge-audit": (
        ("--only",),
        ("--pairs",),
        ("--noise-pairs",),
        ("--minutes",),
        ("--seed",),
        ("--workers",),
    ),
    "expunge-reproduce": (
        ("icml2020", "--only"),
        ("icml2020", "--reduced", "--out", "kept.txt", "--only"),
        ("nope",),
        (),
    ),
}
_SHORT = {
    "expunge-audit": (
        "--pairs",
        "40",
        "--noise-pairs",
        "40",
        "--minutes",
        "0.01",
        "--workers",
        "1",
        "--only",
        "none",
    ),
}


def of_another_command(rng: random.Random) -> Line:
    """Flags with values, and folders that hold no run."""
    program = rng.choice(list(_COMMANDS))
    flags = rng.choice(_COMMANDS[program])
    value = rng.choice((drawn(rng, flags[-1]), "40", "1", "1e-5")) if flags else rng.choice(("kept", ""))
    folder = rng.choice(("kept", "kept.txt", "missing", "empty", "fifo", "loop", "/dev/null", "", "."))
    more = (folder,) if rng.random() < 0.5 and program in ("expunge-verify", "expunge-report") else ()
    given = (*more, *flags, value)
    names = (
        *flags,
        *named(flags[-1] if flags else "FOLDER", value),
        *more,
        "FOLDER",
        "RUN",
        "PAPER",
        "KEY=VALUE",
    )
    names = (*names, "--only", "--privacy", "arguments", value)
    return Line(program, (*_SHORT.get(program, ()), *given), names, False, "commands")
