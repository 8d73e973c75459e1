"""Networks of the package timm, for any number of channels and classes; never downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import nn

from expunge.core.checks import require_name
from expunge.core.errors import InvalidValue, UserError, last_line
from expunge.core.torchvision_import import import_torchvision
from expunge.models.base import fitting, require_inputs
from expunge.models.weights import require_weights


@dataclass(frozen=True)
class Timm:
    """A classifier of timm with its own initialisation, built for the images and the number of classes.

    Attributes:
        architecture: A name of ``timm.list_models()`` without the tag of weights, such as ``resnet10t`` or
            ``vit_tiny_patch16_224``. Those that are made for one size of images are made for the given one.
        weights, name: As in ``Architecture``; the name is that of ``architecture`` where it is not given.
    """

    architecture: str
    weights: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        known = _timm().list_models()
        if self.architecture not in known:
            near = get_close_matches(str(self.architecture).partition(".")[0], known, n=3)
            allowed = f"a name of timm.list_models(), such as {' or '.join(near or ['resnet18'])}"
            raise InvalidValue("architecture", self.architecture, f"{allowed}; weights come from a file")
        require_weights(self.weights)
        given = self.architecture if self.name == "" else self.name
        object.__setattr__(self, "name", require_name("name", given))

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the network, as in ``Architecture``."""
        require_inputs(self.name, shape, classes, images=True)
        settings: dict[str, Any] = {"num_classes": classes, "in_chans": shape[0]}
        config = _timm().get_pretrained_cfg(self.architecture)
        if config is not None and config.fixed_input_size:
            settings["img_size"] = shape[1:]
        got = f"{self.architecture} on inputs of shape {tuple(shape)}"
        try:
            network: nn.Module = _timm().create_model(self.architecture, pretrained=False, **settings)
            _require_patches(network, got, shape)
            return fitting(network, self.name, shape)
        except (RuntimeError, AssertionError, ValueError, TypeError, IndexError) as error:
            if isinstance(error, InvalidValue):
                raise
            allowed = f"images of another shape ({last_line(error)})"
            raise InvalidValue("model", got, allowed) from None


def _timm() -> Any:
    """The package.

    Raises:
        UserError: It is not installed; the extra that brings it is named.
    """
    import_torchvision()  # which timm imports: declared here where its extension does not load
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise UserError(
            "model: needs the package timm, which is not installed: pip install 'expunge[timm]'"
        ) from None
    return timm


def _require_patches(network: nn.Module, got: str, shape: tuple[int, ...]) -> None:
    """Raise ``InvalidValue`` where patches would leave out the last rows or columns of the images."""
    sides = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if isinstance(sides, tuple) and any(size % side for size, side in zip(shape[1:], sides, strict=True)):
        raise InvalidValue("model", got, f"images whose sides are multiples of {sides[0]}, its patches'")
