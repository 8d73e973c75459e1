"""Convolutional networks of torchvision, for any number of channels and small images; never downloaded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import nn

from expunge.core.checks import require_count, require_name, require_switch
from expunge.core.errors import InvalidValue, last_line
from expunge.core.torchvision_import import import_torchvision
from expunge.models.base import fitting, require_inputs, require_room
from expunge.models.head import identity_head
from expunge.models.weights import require_weights

# Names of the first convolution and of the max-pool after it, by what names of architectures begin with.
_STEMS = {
    **dict.fromkeys(("resnet", "resnext", "wide_resnet"), ("conv1", "maxpool")),
    "mobilenet": ("features.0.0", None),
    "densenet": ("features.conv0", "features.pool0"),
}
_BRANCHED = ("googlenet", "inception")  # in training they return more than scores


@dataclass(frozen=True)
class Vgg11:
    """VGG-11: configuration A of Simonyan and Zisserman (2015), eight convolutions and five max-pools.

    Attributes:
        small_images: True: the mean over positions and one linear map, for images of 32 x 32 pixels. False:
            torchvision's own classifier (7 x 7 positions, three linear layers with dropout).
        batch_norm: Normalise after every convolution.
        weights, name: As in ``Architecture``.
    """

    small_images: bool = True
    batch_norm: bool = False
    weights: str | None = None
    name: str = "vgg11"

    def __post_init__(self) -> None:
        require_switch("small_images", self.small_images)
        require_switch("batch_norm", self.batch_norm)
        require_weights(self.weights)
        require_name("name", self.name)

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the network, as in ``Architecture``."""
        require_inputs(self.name, shape, classes, images=True)
        vgg = import_torchvision().models.vgg
        features = vgg_features(vgg.cfgs["A"], shape[0], self.batch_norm)
        if not self.small_images:
            return fitting(vgg.VGG(features, num_classes=classes), self.name, shape)
        parts = OrderedDict[str, nn.Module](features=features, avgpool=nn.AdaptiveAvgPool2d(1))
        parts |= {"flatten": nn.Flatten(), "classifier": nn.Linear(512, classes)}
        kaiming(features)
        return fitting(nn.Sequential(parts), self.name, shape)


def vgg_features(layout: Sequence[int | str], channels: int, batch_norm: bool) -> nn.Sequential:
    """Return convolutions of 3 x 3 with ReLU, and max-pools of 2 x 2, for images of so many channels.

    In their order, ``layout`` has the width of a convolution or ``"M"`` for a max-pool.
    """
    features: nn.Sequential = import_torchvision().models.vgg.make_layers(list(layout), batch_norm)
    features[0] = _convolution(features[0], channels)  # type: ignore[arg-type]
    return features


def kaiming(layers: nn.Module) -> None:
    """Redraw the convolutions and linear layers of ``layers``, for ReLU after each; biases become 0.

    Torch's own choice shrinks the signal from layer to layer.
    """
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):  # its outputs may be far fewer than its inputs
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        else:
            continue
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Torchvision:
    """A network of torchvision with its own initialisation; only the first and last layers are adapted.

    With an embedding, a linear layer, BatchNorm and ReLU come between the last map's mean and the identity
    head, as in networks for re-identification (OSNet of Zhou et al., ICCV 2019, and those of its library).

    Attributes:
        arch: A classifier in ``torchvision.models``, such as ``resnet34`` or ``vit_b_16``, but for those that
            return more than scores. Transformers that ask for the size of the images get it.
        small_images: Keep more of small images: a first convolution of 3 x 3 with stride 1 and no max-pool
            (ResNet and its likes, DenseNet), or the first convolution with stride 1 (MobileNet, which has no
            max-pool); no others.
        embedding: Width of the embedding layer; None: the head is given the mean over the last map itself.
        weights, name: As in ``Architecture``; the name is that of ``arch`` where it is not given.
    """

    arch: str
    small_images: bool = False
    embedding: int | None = None
    weights: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        _require_classifier(self.arch)
        if require_switch("small_images", self.small_images) and _stem(self.arch) is None:
            allowed = f"false with {self.arch}: it is for {', '.join(_STEMS)}"
            raise InvalidValue("small_images", self.small_images, allowed)
        if self.embedding is not None:
            require_count("embedding", self.embedding)
        require_weights(self.weights)
        object.__setattr__(self, "name", require_name("name", self.arch if self.name == "" else self.name))

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the network, as in ``Architecture``."""
        require_inputs(self.name, shape, classes, images=True)
        network = self._network(shape, classes)
        convolution, pool = _stem(self.arch) or (_first_convolution(network), None)
        stem: Any = network.get_submodule(convolution)
        kernel_stride = (3, 1) if self.small_images else None
        network.set_submodule(convolution, _convolution(stem, shape[0], kernel_stride))
        if self.small_images and pool is not None:
            network.set_submodule(pool, nn.Identity())
        if self.embedding is not None:
            name, head = identity_head(network)
            require_room("embedding", self.embedding, self.embedding * (head.in_features + classes))
            layers = OrderedDict[str, nn.Module](
                embedding=nn.Linear(head.in_features, self.embedding),
                norm=nn.BatchNorm1d(self.embedding),
                relu=nn.ReLU(),
                head=nn.Linear(self.embedding, head.out_features),
            )
            network.set_submodule(name, nn.Sequential(layers))
        return fitting(network, self.name, shape)

    def _network(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Torchvision's own, for images of three channels."""
        models = import_torchvision().models
        sized: dict[str, Any] = {}
        if self.arch.startswith("vit_"):
            sized = {"image_size": shape[1]}
            if shape[1] != shape[2]:
                got = f"{self.arch} on images of {shape[1]} x {shape[2]}"
                raise InvalidValue("model", got, "square images")
        if self.arch.startswith("maxvit"):
            sized = {"input_size": shape[1:]}
        try:
            network: nn.Module = models.get_model(self.arch, weights=None, num_classes=classes, **sized)
        except (RuntimeError, AssertionError, ValueError) as error:
            said = f"images of another size ({last_line(error)})"
            raise InvalidValue("model", f"{self.arch} on inputs of shape {shape}", said) from None
        return network


def _require_classifier(arch: Any) -> None:
    """Raise ``InvalidValue`` unless torchvision has such a network."""
    models = import_torchvision().models
    known = [name for name in models.list_models(module=models) if not name.startswith(_BRANCHED)]
    if arch not in known:
        near = get_close_matches(str(arch), known, n=3) or ["resnet18", "vit_b_16"]
        raise InvalidValue("arch", arch, f"a classifier of torchvision.models, such as {' or '.join(near)}")


def _stem(arch: str) -> tuple[str, str | None] | None:
    if arch.startswith("mobilenet_v3"):  # whose first stages are others
        return None
    return next((names for prefix, names in _STEMS.items() if arch.startswith(prefix)), None)


def _first_convolution(network: nn.Module) -> str:
    return next(name for name, part in network.named_modules() if isinstance(part, nn.Conv2d))


def _convolution(old: nn.Conv2d, channels: int, kernel_stride: tuple[int, int] | None = None) -> nn.Conv2d:
    """Return ``old``, or where it does not fit a convolution like it with other channels, size or stride."""
    kernel, stride = kernel_stride or (old.kernel_size[0], old.stride[0])
    if (old.in_channels, old.kernel_size[0], old.stride[0]) == (channels, kernel, stride):
        return old
    padding: Any = kernel // 2 if kernel_stride else old.padding
    new = nn.Conv2d(channels, old.out_channels, kernel, stride, padding, bias=old.bias is not None)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's own
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    return new
