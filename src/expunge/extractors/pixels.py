"""No extractor: the raw values themselves, as rows for linear models or as images for networks.

The per-row normalisation of linear models depends on no other row: it is safe for a removal certificate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import scipy.sparse as sp

from expunge.certificate.composition import Upstream
from expunge.core.checks import LARGEST, require_choice, require_positive, require_probability, require_seed
from expunge.core.errors import InvalidValue, UserError
from expunge.datasets import Dataset
from expunge.extractors.dp_scaling import Moments
from expunge.extractors.ranges import ranges_of
from expunge.extractors.scaling import SCALINGS, cost, declared, flat, scaled
from expunge.linear.operations import RowOperations

if TYPE_CHECKING:
    from expunge.datasets.images import Images

_BY_RANGES = ("declared", "dp")


class Pixels:
    """The stored arrays, without copying them unless they are scaled or have a constant beside them.

    Args:
        network: True: images ``raw / unit - offset``. False: flattened, each divided by its L2 norm.
        scaling: Of flattened images: one of ``extractors.scaling.SCALINGS``; or, of flattened images and of
            rows of features for a network, ``declared``: ``(x - centre) / half`` by ``ranges``, which depends
            on no row; or ``dp``: less a mean, over a deviation, which are learned from the training rows with
            (epsilon, delta)-differential privacy, see ``Moments``.
        ranges: Where the values of each feature lie, see ``ranges_of``; of ``declared`` and ``dp``, which
            learns from values that are clipped to them.
        epsilon, delta: What ``dp`` costs each training row.
        seed: Of its noise; to be kept secret. None: 0, but of a run its own seed.
        constant: As in ``extractors.scaling.scaled``, in units of the features.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    name = "none"

    def __init__(
        self,
        network: bool = False,
        scaling: str = "row",
        ranges: Any = None,
        epsilon: float | None = None,
        delta: float | None = None,
        seed: int | None = None,
        constant: float = 0.0,
    ) -> None:
        self.network, self.constant = network, constant
        self.scaling = require_choice("scaling", scaling, (*SCALINGS[:1], *_BY_RANGES, *SCALINGS[1:]))
        if network and scaling == "dataset":
            raise InvalidValue("scaling", scaling, "row, declared or dp with a network as model")
        self.ranges, self.seed = ranges, require_seed("seed", 0 if seed is None else seed)
        if (ranges is None) == (scaling in _BY_RANGES):
            needs = (
                "none" if ranges is not None else "where the values of each feature lie, such as [0, 100],"
            )
            raise InvalidValue("ranges", ranges, f"{needs} with scaling={scaling}")
        self.privacy: tuple[float, float] | None = None
        if scaling == "dp":
            own = require_positive("epsilon", epsilon, most=LARGEST), require_probability("delta", delta)
            self.privacy = own
        elif given := [(k, v) for k, v in (("epsilon", epsilon), ("delta", delta)) if v is not None]:
            raise InvalidValue(*given[0], "null but with scaling=dp")
        self._noise: float | None = None

    def extract(self, dataset: Dataset) -> tuple[RowOperations, RowOperations] | tuple[Images, Images]:
        """Return the training and the test inputs of ``dataset``.

        Raises:
            UserError: The rows hold texts, and model or extractor are not for these.
            InvalidValue: ``ranges`` does not fit its features, or would make sparse rows dense.
            DataError: A row holds NaN or infinity.
        """
        of = f"dataset {dataset.name}"
        if dataset.holds != "numbers" and (dataset.holds, self.network) != ("tokens", True):
            allowed = "words, tokens with a network (model=text_transformer), letters with extractor=text"
            raise UserError(f"dataset.inputs: got {dataset.holds!r}, allowed: {allowed}")
        unit, offset = dataset.unit, dataset.offset
        train, test = dataset.x_train, dataset.x_test
        if self.scaling in _BY_RANGES:
            if self.network and train.ndim > 2:
                raise InvalidValue("scaling", self.scaling, "row with images and a network as model")
            train, test = self._by_ranges(dataset)
            unit, offset = 1.0, 0.0
        if self.network:
            from expunge.datasets.images import Images  # and with it torch, which linear models do without

            return (
                Images.of(train, unit, offset, f"{of}: training images"),
                Images.of(test, unit, offset, f"{of}: test images"),
            )
        scaling = "row" if self.scaling in _BY_RANGES else self.scaling
        constant = self.constant * (1.0 if scaling == "dataset" else unit)
        return scaled(flat(train), flat(test), scaling, of, offset * unit, constant)

    def _by_ranges(self, dataset: Dataset) -> tuple[Any, Any]:
        train, test = flat(dataset.x_train), flat(dataset.x_test)
        ranges = ranges_of(self.ranges, dataset.features, train.shape[1])
        if self.privacy is not None:
            if sp.issparse(train):
                raise InvalidValue(
                    "scaling", "dp", "row or declared with sparse rows, which a mean makes dense"
                )
            moments = Moments.of(train, ranges, *self.privacy, self.seed)
            self._noise, ranges = moments.noise, moments.within(ranges)
        return declared(train, test, ranges, f"dataset {dataset.name}")

    def upstream(self) -> Upstream:
        """What the features have cost the training rows."""
        return cost(self.scaling) if self.privacy is None else Upstream(*self.privacy)

    def facts(self) -> dict[str, Any]:
        """What ``dp`` has cost, and its noise; asked for after ``extract``."""
        if self.privacy is None:
            return {}
        names = ("extractor_epsilon", "extractor_delta", "extractor_noise_multiplier")
        return dict(zip(names, (*self.privacy, self._noise), strict=True))
