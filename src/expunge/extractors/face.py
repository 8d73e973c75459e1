"""dlib's face network, frozen: 128 numbers of a face, near those of other pictures of the same person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from expunge.core.checks import require_share
from expunge.core.errors import DataError, InvalidValue
from expunge.core.homes import expanded
from expunge.datasets.images import Images
from expunge.extractors.frozen import Frozen, Prepared, is_image
from expunge.models.dlib_face import MEAN, SIDE, UNIT, load_dlib_face

_LEAST = 16  # pixels a side: there is no face in less


class Face(Frozen):
    """The 128 features of ``expunge.models.dlib_face``, for grey or colour images of faces of any one size.

    The inner share ``crop`` of both sides is resized to 150 x 150 (bilinear, whatever the ratio of the
    sides); grey images are repeated in three channels. The network was trained on upright faces that were
    aligned by their landmarks and fill most of the picture: others cost accuracy.

    Args:
        weights: A safetensors file, ``weights/dlib_face_resnet.safetensors`` under ``data_dir``.
        crop: Share of height and width that is looked at, in (0, 1].
        settings: As in ``Frozen``.

    Raises:
        InvalidValue: A value is not allowed.
    """

    name = "face"

    def __init__(
        self,
        weights: str = "weights/dlib_face_resnet.safetensors",
        crop: float = 0.85,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if not isinstance(weights, (str, Path)) or not str(weights):
            raise InvalidValue("weights", weights, "the path of a safetensors file")
        self.weights, self.crop = weights, require_share("crop", crop)

    def network(self, images: Images) -> tuple[nn.Module, dict[str, Any]]:
        """See ``Frozen``."""
        least = min(images.shape[1:], default=0)
        if not is_image(images) or least < _LEAST:
            got = f"the face network on inputs of shape {images.shape}"
            allowed = f"grey or colour images: (1 or 3, height, width), of at least {_LEAST} pixels a side"
            raise InvalidValue("extractor", got, allowed)
        if not expanded(self.weights).exists():
            here = expanded(self.weights).is_absolute()
            looked = "no such file" if here else "neither here nor in data_dir"
            raise DataError(f"{self.weights}: {looked}; allowed: the file of dlib's face network", "weights")
        mean, std = tuple(mean / 255 for mean in MEAN), (UNIT / 255,) * 3
        network = Prepared(load_dlib_face(self.weights), mean, std, SIDE, self.crop)
        return network.eval(), {"architecture": "dlib_face", "crop": self.crop, "side": SIDE}

    def named(self) -> dict[str, Any]:
        """See ``Frozen``; of the file its name, whose folder differs between machines."""
        return {"extractor_architecture": "dlib_face", "extractor_weights": Path(self.weights).name}
