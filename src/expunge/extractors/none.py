"""No extractor: the raw values themselves, flattened and L2-normalised row by row.

Per-row normalisation depends on no other row, so it is safe for a removal certificate.
"""

from __future__ import annotations

from expunge.datasets import Dataset
from expunge.linear.rows import Rows


class Pixels:
    """Rows ``(raw / unit - offset) / ||.||_2``, without copying the stored array."""

    name = "none"

    def extract(self, dataset: Dataset) -> tuple[Rows, Rows]:
        """Return the training and the test rows of ``dataset``."""
        train, test = (
            Rows.normalised(x.reshape(len(x), -1), dataset.raw_offset, f"dataset {dataset.name}: {part} row")
            for part, x in (("training", dataset.x_train), ("test", dataset.x_test))
        )
        return train, test
