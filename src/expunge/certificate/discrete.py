"""Discrete Gaussian numbers, exactly: P(Z = z) proportional to exp(-z^2 / (2 s^2)), s the float64 given.

The law is that of Canonne, Kamath and Steinke (NeurIPS 2020). The way to draw from it is ours, made for
whole vectors of random words: rejection, from blocks of B whole numbers each of which has half the weight of
the block before. Let B be the largest power of two that is at most s, or 1 where s < 1, and M at least

    max over j = 0, 1, 2, ... of  2^j exp(-(j B)^2 / (2 s^2)).

- Proposal: j is geometric, P(j) = 2^-(j+1); y = j B + i, with i uniform in 0, ..., B - 1; Z is y or, as a
  fair coin has it, -1 - y. So each whole number z is proposed with probability 2^-(j+2) / B, where j is that
  of its block. All of it is plain bits: j counts the zeros up to the first one, i is bits as they come, and
  so is the coin.
- Acceptance, with probability p = 2^j exp(-z^2 / (2 s^2)) / M. It is at most 1, since |z| >= y >= j B.

z is proposed and accepted with probability exp(-z^2 / (2 s^2)) / (4 B M), and B and M are the same for all
z: what is accepted has the law that is asked for, and does not depend on how many proposals it took. Of s >=
1 between .48 and .58 of them are accepted, and .25 or more of s < 1.

**p is never rounded.** Of the uniform real number u that decides (accepted if u < p) 31 bits are drawn: with
k = floor(2^31 u) and L = 2^31 p, Z is accepted if k + 1 <= L and not if k >= L, whatever the other bits are.
L is computed in float64, so precisely that it is off by far less than 1, and taken to be off by up to 33
(``_SLACK``). Where k is no farther from it than twice that (of 2^24 proposals one) the decision is made in
decimals, of any number of digits, between limits that are rounded outwards, and by further bits of u:
``exp`` comes correctly rounded there, and all else is a quotient of whole numbers. So numpy's ``exp`` might
as well be of single precision: it matters for speed, and not for the law.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context, Decimal, InvalidOperation
from fractions import Fraction
from math import ceil, exp, frexp, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_positive
from expunge.core.errors import BrokenInvariant, InvalidValue

Bits = Callable[[int], bytes]

LARGEST_SCALE = 2.0**47  # so B <= 2^47, of fewer than 2^15 blocks: z is below 2^62
SMALLEST_SCALE = float(np.finfo(np.float64).tiny)  # below it float64 has fewer digits
_ZEROS = 2**14  # in a row that no generator of random bits brings

# How far k is to be from the computed L. The computed q = z^2 / (2 s^2) is off by 5 roundings at most, q
# 5.01 2^-53; numpy's exp, which is right to 4 units in the last place, is taken to be right to 2^-26 of
# its value, and the quotient is to 2^-53. As p <= 1, the computed L is off by at most 2^31 (64 * 5.01
# 2^-53 + 2^-26 + 2^-52) < 33 for q <= 64. For q > 64 nothing is left of it: j <= sqrt(2 q) s / B < 2
# sqrt(2 q), so L <= 2^31 exp(1.97 sqrt(q) - q) < 2^-38, and the computed one is below 1 (or 0, where it
# underflows, or z / s overflows). Whole numbers in place of real ones: 2 more.
_SLACK = 64
_BITS = 31  # of u that are drawn at first; one of 32 is the coin
_ROOM = 1 + 2.0**-20  # M is above its maximum by this, and its exp is right to half of it
_AT_ONCE = 2**14  # proposals: what a processor has at hand


def discrete_gaussian(size: int, scale: float, bits: Bits = os.urandom) -> NDArray[np.int64]:
    """Independent whole numbers, (size,), each k with probability proportional to exp(-k^2 / (2 scale^2)).

    Args:
        size: How many.
        scale: s, at most 2^47; no more than about the standard deviation where it is small.
        bits: Gives that many random bytes; the operating system's generator, which no fork copies.

    Raises:
        InvalidValue: ``scale`` is out of range.
        BrokenInvariant: The generator gives zeros alone.
    """
    proposals = Proposals.of(scale)
    drawn = np.empty(size, dtype=np.int64)
    filled = 0
    while filled < size:
        missing = size - filled
        enough = ceil((missing + 3 * sqrt(missing) + 8) / proposals.rate)
        some = proposals.accepted(min(enough, _AT_ONCE), bits)[:missing]
        drawn[filled : filled + some.size] = some
        filled += some.size
    return drawn


@dataclass(frozen=True)
class Proposals:
    """What is drawn from for one scale, and what of it is accepted; see above.

    Attributes:
        scale: s.
        width: log2 of B.
        most: M.
        rate: About how much is accepted.
    """

    scale: float
    width: int
    most: float
    rate: float

    @classmethod
    def of(cls, scale: float) -> Proposals:
        """Those of this scale.

        Raises:
            InvalidValue: It is out of range.
        """
        scale = require_positive("scale", scale)
        if not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
            allowed = f"a number from {SMALLEST_SCALE:.3g} to {LARGEST_SCALE:.0f}, which is 2^47"
            raise InvalidValue("scale", scale, allowed)
        width = max(frexp(scale)[1] - 1, 0)
        block = 2.0**width / scale  # B / s > 1/2: of all real j the maximum is at ln 2 / block^2 < 2.8
        most = _ROOM * max(2.0**j * exp(-0.5 * (j * block) * (j * block)) for j in range(4))
        mass = max(1.0, scale * sqrt(2 * pi))  # about the sum over z of exp(-z^2 / (2 s^2))
        return cls(scale, width, most, mass / (4 * 2.0**width * most))

    def accepted(self, count: int, bits: Bits, slack: int = _SLACK) -> NDArray[np.int64]:
        """Those of ``count`` proposals that are accepted, in their order.

        Raises:
            BrokenInvariant: The generator gives zeros alone.
        """
        drawn = bits(12 * count)
        places = np.frombuffer(drawn, "<i8", count)
        coins = np.frombuffer(drawn, "<i4", count, offset=8 * count)
        high = places >> self.width
        block = np.bitwise_count(~high & (high - 1)).astype(np.int64)  # the zeros at its end
        for i in np.flatnonzero(high == 0):
            block[i] = self._block_beyond(bits)
        y = (block << self.width) | (places & ((1 << self.width) - 1))
        z = y ^ (coins >> _BITS)  # that is 0 or -1, and y ^ -1 is -1 - y
        k = coins & (2**_BITS - 1)
        with np.errstate(over="ignore"):
            ratio = z / self.scale
            limit = np.ldexp(np.exp(-0.5 * ratio * ratio), block + _BITS) / self.most
        ahead = limit.astype(np.int64) - k
        kept = ahead > 0
        for i in np.flatnonzero(np.abs(ahead) <= slack):
            kept[i] = self.exactly(int(z[i]), int(block[i]), int(k[i]), bits)
        return z[kept]

    def exactly(self, z: int, block: int, k: int, bits: Bits) -> bool:
        """Whether u < p, where floor(2^31 u) = k: by as many more bits of u as it takes."""
        exponent = Fraction(z) ** 2 / (2 * Fraction(self.scale) ** 2)
        unit = Fraction(self.most) / 2 ** (block + _BITS)
        digits = 40
        while True:
            low, high = exp_between(-exponent, digits)
            if _rounded((k + 1) * unit, ROUND_CEILING, digits) <= low:
                return True
            if _rounded(k * unit, ROUND_FLOOR, digits) >= high:
                return False
            k, unit, digits = k << 64 | int.from_bytes(bits(8), "little"), unit / 2**64, digits + 20

    def _block_beyond(self, bits: Bits) -> int:
        """The j of a proposal where all bits that were to tell it are zeros: it goes on in further words."""
        block = 64 - self.width
        while block < _ZEROS:
            if word := int.from_bytes(bits(8), "little"):
                return block + (word & -word).bit_length() - 1
            block += 64
        raise BrokenInvariant("the generator of random bits", "of zeros", "one with ones, too")


def exp_between(power: Fraction, digits: int) -> tuple[Decimal, Decimal]:
    """Two numbers of so many digits that exp(power) lies between."""
    context = _context(ROUND_FLOOR, digits)  # whatever it says, exp is rounded to the nearest
    low, high = (_rounded(power, way, digits) for way in (ROUND_FLOOR, ROUND_CEILING))
    return context.next_minus(context.exp(low)), context.next_plus(context.exp(high))


def _rounded(value: Fraction, way: str, digits: int) -> Decimal:
    """``value`` in so many digits, rounded this way."""
    return _context(way, digits).divide(Decimal(value.numerator), Decimal(value.denominator))


def _context(way: str, digits: int) -> Context:
    return Context(digits, way, MIN_EMIN, MAX_EMAX, traps=[InvalidOperation])
