"""CODEC, L-CODEC, FOCI and L-FOCI: exact, in float64, for NumPy arrays and torch tensors.

Imports nothing from the rest of the package. The very first calls compile the kernels, for some seconds; what
is compiled is kept for later processes. ``CodecSelector`` and ``FociSelector`` are scikit-learn transformers,
which is imported when one of them is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from expunge.codec.blanket import markov_blanket
from expunge.codec.independence import IndependenceTest, independence_test
from expunge.codec.selection import Selection, foci
from expunge.codec.statistic import UndefinedCodecWarning, codec

if TYPE_CHECKING:
    from typing import Any

    from expunge.codec.selectors import CodecSelector, FociSelector

__all__ = [
    "CodecSelector",
    "FociSelector",
    "IndependenceTest",
    "Selection",
    "UndefinedCodecWarning",
    "codec",
    "foci",
    "independence_test",
    "markov_blanket",
]


def __getattr__(name: str) -> Any:
    if name not in ("CodecSelector", "FociSelector"):
        raise AttributeError(f"module 'expunge.codec' has no attribute {name!r}")
    from expunge.codec import selectors

    return getattr(selectors, name)
