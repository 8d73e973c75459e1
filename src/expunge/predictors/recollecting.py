"""A network that keeps, from its training, what each row has done to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from expunge.core.errors import InvalidValue
from expunge.core.files import State
from expunge.core.read_back import array_of
from expunge.datasets.images import Images
from expunge.predictors.network import NetworkModel
from expunge.training import Learner
from expunge.training.recollection import Recollection, require_followed

_KEY = "recollections"


class RecollectingNetwork(NetworkModel):
    """A network whose training is followed; see ``Recollection``. It is never taken from the cache.

    Args:
        learner: Architecture, training, device.
        limit: The most numbers that the vectors, one for each row, may be.
    """

    def __init__(self, learner: Learner, limit: float) -> None:
        super().__init__(learner)
        self.limit = limit

    def small(self, x: Any, y: NDArray[np.int64]) -> tuple[NetworkModel, Images, NDArray[np.int64]] | None:
        """The same with the vectors of a few rows."""
        found = super().small(x, y)
        if found is None:
            return None
        return RecollectingNetwork(found[0].learner, self.limit), found[1], found[2]

    def _learn(self, rows: Any, reuse: bool = True, again: Sequence[int] = ()) -> None:
        rows = np.sort(np.asarray(rows))
        module = self.built()
        require_followed(module)
        dim = sum(p.numel() for p in module.parameters() if p.requires_grad)
        if len(rows) * dim > self.limit:
            got = f"{len(rows)} rows with {dim} parameters, {len(rows) * dim:.3g} numbers"
            raise InvalidValue("limit", self.limit, f"at least {len(rows) * dim:.3g}, for {got}")
        kept = Recollection(rows, dim, self.learner.training)
        kept.put(next(module.parameters()).new_zeros(len(rows), dim))
        how = self.x, self.codes, rows, len(self.classes_), self.seed_again(again)
        trained = self.learner.train(*how, reuse=False, record=False, follow=kept.follow)
        kept.done()
        self.module, self.history, self.seconds_fit = trained.module, None, trained.seconds
        self.recollection = kept

    def leave(self, index: NDArray[np.int64]) -> None:
        """Count these rows as gone, their vectors with them."""
        super().leave(index)
        self.recollection.drop(index)

    @property
    def stored_bytes(self) -> int:
        """Size of the vectors."""
        found = self.recollection.vectors
        return found.numel() * found.element_size()

    def state(self) -> State:
        """The network, and the vectors of the rows that stay."""
        state = super().state()
        state.arrays[_KEY] = self.recollection.vectors.detach().cpu().numpy()
        return state

    def load_state(self, state: State, x: Any, y: NDArray[np.int64]) -> None:
        """Continue from ``state``.

        Raises:
            DataError: The vectors are not those of the rows that stay.
        """
        self.recollection = Recollection(np.arange(len(y)), 0, self.learner.training)
        self.recollection.put(torch.zeros(len(y), 0))
        super().load_state(state, x, y)
        named = [p for p in self.module.parameters() if p.requires_grad]
        dim, kind = sum(p.numel() for p in named), named[0]
        own = kind.detach().cpu().numpy().dtype
        vectors = array_of(state.arrays, _KEY, own, (self.there.count, dim))
        self.recollection = Recollection(np.sort(self.there.here), dim, self.learner.training)
        self.recollection.put(torch.from_numpy(vectors.copy()).to(kind))
