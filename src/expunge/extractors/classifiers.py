"""The classifiers of torchvision by name, with their published weights, without their last layer."""

from __future__ import annotations

import socket
import sys
import warnings
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn

from expunge.core.errors import DataError, InvalidValue, last_line
from expunge.core.homes import expanded
from expunge.core.seeds import torch_draws_from
from expunge.core.torchvision_import import import_torchvision
from expunge.models.weights import load_body, require_tensors_only

_FILES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl")  # as they are often called
_PATIENCE = 60.0  # seconds without an answer after which a download is given up


class Classifier:
    """An architecture and where its weights come from.

    Args:
        architecture, weights: As in ``extractors.pretrained.Pretrained``.

    Raises:
        InvalidValue: There is no such architecture, or it has no such weights.
    """

    def __init__(self, architecture: str, weights: str | None) -> None:
        self._models = import_torchvision().models
        known = self._models.list_models(module=self._models)
        if architecture not in known:
            near = get_close_matches(str(architecture), known, n=3) or ["resnet18", "vit_b_16"]
            allowed = f"a classifier of torchvision.models, such as {' or '.join(near)}"
            raise InvalidValue("architecture", architecture, allowed)
        self.architecture, self.random = architecture, weights is None
        published = self._models.get_model_weights(architecture)
        self._file: str | None = None
        self._named: Any = None
        if weights is not None:
            self._named = _published(weights, published)
        if weights is not None and self._named is None:
            self._file = _file(architecture, weights, published)
        self._like = self._named or published.DEFAULT

    @property
    def label(self) -> str:
        """What the summary calls the weights: of a file its name, whose folder differs between machines."""
        return "random" if self.random else Path(self._file).name if self._file else str(self._named)

    @property
    def image_size(self) -> int:
        """Height and width of the images that the weights were evaluated on."""
        return int(self._like.transforms().crop_size[0])

    @property
    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each colour, as the weights want them taken out."""
        preset = self._like.transforms()
        return tuple(preset.mean), tuple(preset.std)

    def body(self, generator: torch.Generator, progress: bool) -> nn.Module:
        """Return the network with its last linear layer replaced by the identity, on the CPU.

        Args:
            generator: Of random weights; the global random numbers of torch are left alone.
            progress: Show the bar of a download (on a terminal only).

        Raises:
            InvalidValue: The architecture does not end in a linear layer.
            DataError: The weights cannot be downloaded or read, or are another network's.
        """
        if self._named is not None:
            self._fetch(progress)
        with torch_draws_from(generator), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of how some will be initialised one day
            network = self._models.get_model(self.architecture, weights=self._named)
        head = self._head(network)
        network.set_submodule(head, nn.Identity())
        if self._file is not None:
            load_body(network, self._file, head)
            if hasattr(network, "transform_input"):  # published weights of these were trained so
                network.transform_input = True
        return network

    def published(self, progress: bool) -> Path | None:
        """The file of torchvision's weights, downloaded unless it is there; None where others are asked for.

        Raises:
            DataError: It cannot be had, or holds more than tensors.
        """
        return None if self._named is None else self._fetch(progress)

    def _head(self, network: nn.Module) -> str:
        """Name of the last linear layer with an output for each class."""
        classes = len(self._like.meta["categories"])
        parts = network.named_modules()
        linear = [name for name, p in parts if isinstance(p, nn.Linear) and p.out_features == classes]
        if not linear:
            allowed = "a classifier whose last layer is linear, such as resnet18"
            raise InvalidValue("architecture", self.architecture, allowed)
        return linear[-1]

    def _fetch(self, progress: bool) -> Path:
        """Download the named weights unless they are there, and see that the file holds nothing but tensors.

        For torchvision, which reads it afterwards, would unpickle anything.
        """
        url = str(self._named.url)
        file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        if not file.is_file():
            checksum = file.stem.rpartition("-")[2]  # first digits of the SHA-256
            bar, before = progress and sys.stderr.isatty(), socket.getdefaulttimeout()
            socket.setdefaulttimeout(_PATIENCE)  # by default a silent server is waited for without end
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(url, str(file), checksum, bar)
            except Exception as error:  # sockets and file systems raise whatever they like
                got = f"{self._named} cannot be downloaded from {url} ({last_line(error)})"
                cure = f"put {file.name} into {file.parent}, or give the path of a file of weights"
                raise DataError(f"{got}; {cure}", "weights") from None
            finally:
                socket.setdefaulttimeout(before)
        require_tensors_only(file)
        return file


def _published(name: Any, published: Any) -> Any:
    """The weights that torchvision has under ``name``, with or without its prefix; None for none."""
    short = str(name).removeprefix(f"{published.__name__}.")
    return published[short] if short in published.__members__ else None


def _file(architecture: str, weights: Any, published: Any) -> str:
    """The path of a file of weights, whether or not it is there; ``InvalidValue`` for what cannot be one."""
    if isinstance(weights, (str, Path)):
        path = Path(weights)
        if path.suffix in _FILES or len(path.parts) > 1 or expanded(path).exists():
            return str(weights)
    names = f"{' or '.join(['DEFAULT', *(member.name for member in published)])} (of {architecture})"
    raise InvalidValue("weights", weights, f"{names}, the path of a file of weights, or null")
