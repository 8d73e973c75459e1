"""What holds of every chart that a test draws: it compiles without a warning, and its SVG is sound."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stderr_in(file: Any) -> Iterator[None]:
    """Send what the process writes on its standard error, not only Python, into a file."""
    before = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def strict(convert: Callable[..., str]) -> Callable[..., str]:
    """The converter of charts, which says its warnings on standard error if at all, with these as errors."""

    def checked(spec: Any, **more: Any) -> str:
        with tempfile.TemporaryFile() as said:
            with stderr_in(said):
                svg = convert(spec, **more, show_warnings=True)
            said.seek(0)
            assert not (words := said.read().decode()), words
        return svg

    return checked


def sound(svg: str, *legend: str) -> None:
    """Check that a chart has this legend, and marks that are in the frame."""
    texts = re.findall(r">([^<]+)</text>", svg)
    for words in legend:
        assert words in texts, (words, texts)
    assert not re.search(r"NaN|undefined|Infinity", svg)
    panels = svg.split('class="mark-group role-frame root"')[-1]
    assert len(re.findall(r"mark-(?:symbol|line|rect|rule) role-mark", panels)) >= 1
