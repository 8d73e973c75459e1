"""Second moments of rows, kept as the rows themselves while that is the smaller form."""

from __future__ import annotations

import torch
from torch import Tensor


class SecondMoment:
    """The sum of r r^T over rows r of length ``width``, one such matrix for each of so many ``groups``.

        sum = R^T R     with R: (rows, width)

    Up to ``width`` rows R itself is kept, which takes less room than R^T R: a Linear of 25,000 inputs has
    5 GB of the latter and, of 128 examples, 26 MB of the former. Rows beyond that are added up.
    """

    def __init__(self, groups: int, width: int) -> None:
        self._groups, self.width = groups, width
        self._rows: list[Tensor] = []
        self._sum: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """Add rows, (groups, m, width) float64."""
        if self._sum is None:
            self._rows.append(rows)
            if sum(part.shape[1] for part in self._rows) <= self.width:
                return
            rows, self._rows = torch.cat(self._rows, dim=1), []
            self._sum = rows.mT @ rows
        else:
            self._sum.baddbmm_(rows.mT, rows)

    def finish(self, device: torch.device) -> None:
        """Put all that is kept together; nothing is added afterwards."""
        empty = torch.zeros(self._groups, 0, self.width, dtype=torch.float64, device=device)
        self._rows = [torch.cat([empty, *self._rows], dim=1)]

    def times(self, matrix: Tensor, group: int) -> Tensor:
        """Return ``matrix`` (m, width) times the sum of one group."""
        if self._sum is not None:
            return matrix @ self._sum[group]
        rows = self._rows[0][group]
        return (matrix @ rows.mT) @ rows

    def matrix(self, group: int) -> Tensor:
        """Return the sum of one group, (width, width)."""
        like = self._rows[0] if self._sum is None else self._sum
        return self.times(torch.eye(self.width, dtype=torch.float64, device=like.device), group)
