"""No extractor: the raw values themselves, as rows for linear models or as images for networks.

The per-row normalisation of linear models depends on no other row: it is safe for a removal certificate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from expunge.datasets import Dataset
from expunge.linear.rows import Rows

if TYPE_CHECKING:
    from expunge.datasets.images import Images


class Pixels:
    """The stored arrays, without copying them.

    Args:
        network: True: images ``raw / unit - offset``. False: flattened, each divided by its L2 norm.
    """

    name = "none"

    def __init__(self, network: bool = False) -> None:
        self.network = network

    def extract(self, dataset: Dataset) -> tuple[Rows, Rows] | tuple[Images, Images]:
        """Return the training and the test inputs of ``dataset``."""
        if self.network:
            from expunge.datasets.images import Images  # and with it torch, which linear models do without

            unit, offset = dataset.unit, dataset.offset
            of = f"dataset {dataset.name}"
            return (
                Images.of(dataset.x_train, unit, offset, f"{of}: training images"),
                Images.of(dataset.x_test, unit, offset, f"{of}: test images"),
            )
        train, test = (
            Rows.normalised(x.reshape(len(x), -1), dataset.raw_offset, f"dataset {dataset.name}: {part} row")
            for part, x in (("training", dataset.x_train), ("test", dataset.x_test))
        )
        return train, test
