"""Solving directly takes matrices of features x features: whether they fit is asked before any is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt

from expunge.core.errors import InvalidValue
from expunge.core.memory import available_memory, in_words
from expunge.linear.operations import RowOperations
from expunge.linear.sparse_rows import SparseRows

BUILDING = 1.5
"""Matrices of float64 that building an inverse Hessian takes at the least, the inverse among them.

Two parts of its sum in float32 and a product that is added to one, or their sum and its inverse.
"""
_SUMMING = 3.0  # the same of a Gram matrix, whose parts and products are in float64
_ANCHORING = 6.0  # two sums, in two parts each, and what those come to
_ENTRY = 8
SOLVERS = ("auto", "direct", "iterative")
SOLVER_MEMORY = 4e9
"""Bytes that the inverse Hessians of a model may take together, where it is not said how to solve."""
_WIDEST_DIRECT = 1024  # features of sparse rows above which an inverse costs more than some passes

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
    if fits(dim, count):
        return
    need, room = _ENTRY * count * dim**2, available_memory() or 0
    most = int(sqrt(room / (_ENTRY * count)))
    raise InvalidValue("features", dim, f"at most {most} {_why(dim, width, need, in_words(room))}")


def iterates(solver: str, rows: RowOperations, width: int, count: float, most: float) -> bool:
    """Whether a model of ``width`` weight vectors is to be solved for without matrices of d x d.

    ``auto`` inverts where that is cheap: where the inverses take at most ``most`` bytes, and all ``count``
    matrices of the training are to be had here; of sparse rows, where there are few features besides.
    """
    if solver != "auto":
        return solver == "iterative"
    wide = isinstance(rows, SparseRows) and rows.dim > _WIDEST_DIRECT
    return wide or _ENTRY * width * rows.dim**2 > most or not fits(rows.dim, count)


def fits(dim: int, count: float) -> bool:
    """Whether so many d x d matrices of float64 are surely not too many for the memory that is left."""
    need = _ENTRY * count * dim**2
    if need < _SMALL:  # nor is the system asked, which takes a third of the time of a small removal
        return True
    room = available_memory()
    return room is None or need <= room


def of_training(width: int, shared: bool, gram: bool, at_the_end: bool) -> float:
    """Matrices that a certified training has at one time, at the least: none may need a second Hessian.

    Args:
        width: Weight vectors K.
        shared: Whether they start from one inverse, that of the rows that all of them use.
        gram: Whether a Gram matrix is that start.
        at_the_end: Whether each gets an inverse of its own where it ended.
    """
    starts = 1 if shared else width
    training = starts - 1 + (_SUMMING if gram else BUILDING)
    return max(training, starts + width - 1 + BUILDING) if at_the_end else training


def of_anchors(width: int) -> float:
    """The same of a training whose columns are anchored: each keeps its inverse and two matrices.

    Before the last of them is there its sums are, and the inverse that it was trained with.
    """
    return 3 * (width - 1) + 1 + _ANCHORING


@contextmanager
def enough_memory(dim: int, width: int, count: float) -> Iterator[None]:
    """Say the same where memory runs out in spite of it; ``count`` is of one more matrix than there was."""
    try:
        yield
    except MemoryError:
        need = _ENTRY * count * dim**2
        raise InvalidValue("features", dim, f"fewer {_why(dim, width, need, 'less')}") from None
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # of torch, which is not loaded for it
            raise
        said = f"it has no room for what rows of {dim} features and {width} weight vectors need besides"
        raise InvalidValue("device", "cuda", f"auto or cpu: {said}") from None


def _why(dim: int, width: int, need: float, room: str) -> str:
    vectors = "1 weight vector" if width == 1 else f"{width} weight vectors, one a class,"
    return (
        f"here, where {room} of memory is left: the linear model of {vectors} needs {in_words(need)} for "
        f"matrices of {dim} x {dim}; choose solver=iterative, fewer features (an extractor, a projection) or "
        "fewer classes"
    )
