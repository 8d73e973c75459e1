"""The linear model keeps matrices of features x features: whether they fit is asked before any is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt

from expunge.core.errors import InvalidValue
from expunge.core.memory import available_memory, in_words

BUILDING = 2.5
"""Matrices of float64 that building one inverse Hessian takes besides those that are kept.

Its sums and their parts in float32, and the inverse; a Hessian that needs float64 takes more.
"""
_ENTRY = 8
_SMALL = 2**30  # bytes that are never asked for: the system's figures are no better than that


def require_matrices(dim: int, width: int, count: float) -> None:
    """Refuse what cannot be computed here.

    Args:
        dim: Features d.
        width: Weight vectors K, for the message.
        count: d x d matrices of float64 that are there at one time, at the least: 8 count d^2 bytes. That
            much is surely needed, so that nothing is refused that would have worked.

    Raises:
        InvalidValue: ``features``: they are more than fit into the memory that is to be had.
    """
    need, room = _ENTRY * count * dim**2, available_memory()
    if need < _SMALL or room is None or need <= room:
        return
    most = int(sqrt(room / (_ENTRY * count)))
    raise InvalidValue("features", dim, f"at most {most} {_why(dim, width, need, in_words(room))}")


@contextmanager
def enough_memory(dim: int, width: int, count: float) -> Iterator[None]:
    """Say the same where memory runs out in spite of it; ``count`` is of one more matrix than there was."""
    try:
        yield
    except MemoryError:
        need = _ENTRY * count * dim**2
        raise InvalidValue("features", dim, f"fewer {_why(dim, width, need, 'less')}") from None


def _why(dim: int, width: int, need: float, room: str) -> str:
    vectors = "1 weight vector" if width == 1 else f"{width} weight vectors, one a class,"
    return (
        f"here, where {room} of memory is left: the linear model of {vectors} needs {in_words(need)} for "
        f"matrices of {dim} x {dim}; choose fewer features (an extractor, a projection) or fewer classes"
    )
