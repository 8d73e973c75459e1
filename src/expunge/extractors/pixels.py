"""No extractor: the raw values themselves, as rows for linear models or as images for networks.

The per-row normalisation of linear models depends on no other row: it is safe for a removal certificate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from expunge.certificate.composition import Upstream
from expunge.core.checks import require_choice
from expunge.core.errors import InvalidValue
from expunge.datasets import Dataset
from expunge.extractors.scaling import SCALINGS, cost, scaled
from expunge.linear.rows import Rows

if TYPE_CHECKING:
    from expunge.datasets.images import Images


class Pixels:
    """The stored arrays, without copying them unless ``scaling`` is ``dataset``.

    Args:
        network: True: images ``raw / unit - offset``. False: flattened, each divided by its L2 norm.
        scaling: Of flattened images: one of ``extractors.scaling.SCALINGS``.

    Raises:
        InvalidValue: ``scaling`` is not allowed.
    """

    name = "none"

    def __init__(self, network: bool = False, scaling: str = "row") -> None:
        self.network, self.scaling = network, require_choice("scaling", scaling, SCALINGS)
        if network and scaling != "row":
            raise InvalidValue("scaling", scaling, "row with a network as model")

    def extract(self, dataset: Dataset) -> tuple[Rows, Rows] | tuple[Images, Images]:
        """Return the training and the test inputs of ``dataset``."""
        of = f"dataset {dataset.name}"
        if self.network:
            from expunge.datasets.images import Images  # and with it torch, which linear models do without

            unit, offset = dataset.unit, dataset.offset
            return (
                Images.of(dataset.x_train, unit, offset, f"{of}: training images"),
                Images.of(dataset.x_test, unit, offset, f"{of}: test images"),
            )
        train, test = (x.reshape(len(x), -1) for x in (dataset.x_train, dataset.x_test))
        return scaled(train, test, self.scaling, of, dataset.raw_offset)

    def upstream(self) -> Upstream:
        """What the features have cost the training rows."""
        return cost(self.scaling)

    def facts(self) -> dict[str, Any]:
        """Nothing: there is no extractor."""
        return {}
