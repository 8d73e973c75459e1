"""Rows that are out of reach: known by their number, and by that alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import UserError
from expunge.linear.operations import RowOperations


class RowsOutOfReach(UserError):
    """The rows are needed, and are not here; nothing has changed."""

    def __init__(self, said: str | None = None) -> None:
        usual = "the training rows are needed, and out of reach; allowed: a model loaded with X and y"
        super().__init__(usual if said is None else said)


def _out_of_reach(*args: Any, **kwargs: Any) -> NoReturn:
    raise RowsOutOfReach


class RowsAway(RowOperations):
    """``count`` of n rows of d features, elsewhere. What would pass through them raises ``RowsOutOfReach``.

    ``sampled`` says that not all rows are in use, and that it is not known here which are.
    """

    def __init__(self, n: int, dim: int, count: int, sampled: bool = False) -> None:
        vars(self).update(index=None, count=count, _n=n, _dim=dim, _sampled=sampled)

    @property
    def dim(self) -> int:
        """Number of features d."""
        return int(vars(self)["_dim"])

    def __len__(self) -> int:
        return int(vars(self)["_n"])

    def uses(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """All that have not been removed are in use, (m,)."""
        if vars(self)["_sampled"]:
            raise RowsOutOfReach
        return np.ones(len(index), dtype=bool)

    def without(self, index: Sequence[int] | NDArray[np.int64]) -> RowsAway:
        """The same without these rows."""
        return RowsAway(len(self), self.dim, self.count - len(index), vars(self)["_sampled"])

    scores = gradient = curved = squares = weighted_gram = absolute = alone = few = rehearse = _out_of_reach
    part = contents = _out_of_reach
    dtype = property(_out_of_reach)

    def erased(self, gone: NDArray[np.bool_]) -> RowsAway:
        """These: there is nothing of any row."""
        return self

    def __getattr__(self, name: str) -> Any:
        """What a pass needs is not here."""
        if name == "scale":
            raise RowsOutOfReach
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self))
