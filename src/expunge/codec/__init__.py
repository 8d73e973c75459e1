"""CODEC, L-CODEC, FOCI and L-FOCI: exact, in float64, for NumPy arrays and torch tensors.

Imports nothing from the rest of the package.
"""

from expunge.codec.selection import Selection, foci
from expunge.codec.statistic import UndefinedCodecWarning, codec

__all__ = ["Selection", "UndefinedCodecWarning", "codec", "foci"]
