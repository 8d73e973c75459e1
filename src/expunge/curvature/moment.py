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

    def cpu(self) -> None:
        """Move all that is kept to the CPU; nothing is added afterwards."""
        empty = torch.zeros(self._groups, 0, self.width, dtype=torch.float64)
        self._rows = [torch.cat([empty, *(part.cpu() for part in self._rows)], dim=1)]
        self._sum = None if self._sum is None else self._sum.cpu()

    def times(self, matrix: Tensor, group: int) -> Tensor:
        """Return ``matrix`` (m, width) times the sum of one group, on the CPU."""
        if self._sum is not None:
            return matrix @ self._sum[group]
        rows = self._rows[0][group]
        return (matrix @ rows.mT) @ rows

    def matrix(self, group: int) -> Tensor:
        """Return the sum of one group, (width, width), on the CPU."""
        return self.times(torch.eye(self.width, dtype=torch.float64), group)
