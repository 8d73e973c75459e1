"""The other end of the scale: a model that forgets nothing."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.unlearners.base import Outcome
from expunge.unlearners.retrain import Retrain


class NoOp(Retrain):
    """Trained like ``Retrain``; every request is refused and the model stays as it is.

    Args:
        lam: Regularisation per example.
        std: Standard deviation of b, >= 0.
        name: What the run files call it.
        tol: Training stops at ||grad||_2 < tol.
        max_iter: Newton steps at most.
    """

    def __init__(
        self, lam: float = 1e-3, std: float = 10.0, name: str = "none", tol: float = 1e-8, max_iter: int = 200
    ) -> None:
        super().__init__(lam, std, name, tol, max_iter)

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Refuse."""
        index = self._checked(rows)
        return Outcome("refused", tuple(index.tolist()), "no-op baseline: nothing is removed")
