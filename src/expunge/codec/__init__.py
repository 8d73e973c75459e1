"""CODEC, L-CODEC, FOCI and L-FOCI: exact, in float64, for NumPy arrays and torch tensors.

Imports nothing from the rest of the package. The very first calls compile the kernels, for some seconds; what
is compiled is kept for later processes.
"""

from expunge.codec.blanket import markov_blanket
from expunge.codec.independence import IndependenceTest, independence_test
from expunge.codec.selection import Selection, foci
from expunge.codec.statistic import UndefinedCodecWarning, codec

__all__ = [
    "IndependenceTest",
    "Selection",
    "UndefinedCodecWarning",
    "codec",
    "foci",
    "independence_test",
    "markov_blanket",
]
