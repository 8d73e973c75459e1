"""dlib's face recognition network: a residual network of 29 convolutions, a face to 128 numbers.

Two pictures of one person are near each other in Euclidean distance, below about 0.6.

Source: D. E. King, ``dnn_face_recognition_ex`` of dlib (2017), after He et al., Deep Residual Learning (CVPR
2016) with fewer layers and half the channels; written from the table of its layers.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from expunge.core.errors import DataError
from expunge.models.weight_files import read_safetensors
from expunge.models.weights import assign

SIDE = 150
"""Height and width of the pictures that it was trained on."""
FEATURES = 128
MEAN, UNIT = (122.782, 117.001, 104.298), 256.0
"""Of a pixel from 0 to 255: what is subtracted from red, green and blue, and what it is divided by then."""

_FIRST = 32  # channels of the first convolution
_BLOCKS = {  # in their order; channels of one that halves the map (a down block), None of one that does not
    **dict.fromkeys(("conv32_1", "conv32_2", "conv32_3")),
    "conv64_down": 64,
    **dict.fromkeys(("conv64_1", "conv64_2", "conv64_3")),
    "conv128_down": 128,
    **dict.fromkeys(("conv128_1", "conv128_2")),
    "conv256_down": 256,
    **dict.fromkeys(("conv256_1", "conv256_2")),
    "conv256_down_out": 256,
}


class Layer(nn.Module):
    """``y = conv(x) scale + shift``, channel by channel; the affine map is a batch norm, frozen.

    Args:
        inputs, outputs: Channels.
        kernel: Side of the convolution, which has no bias.
        stride, padding: Of the convolution.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, kernel, kernel))
        self.scale, self.shift = nn.Parameter(torch.ones(outputs)), nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(m, inputs, h, w) -> (m, outputs, ...)."""
        y = functional.conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        return y * self.scale[:, None, None] + self.shift[:, None, None]


class Block(nn.Module):
    """Two layers of 3 x 3 beside a branch without any: ``ReLU(conv2(ReLU(conv1(x))) + branch(x))``.

    The branch is the input itself or, where the block is one ``down``, the mean over each 2 x 2 of it, an odd
    last row and column left out. There the first layer has stride 2 and no padding, and of two branches that
    differ in size the smaller is filled up by zeros after its last channel, row and column.
    """

    def __init__(self, inputs: int, outputs: int, down: bool) -> None:
        super().__init__()
        self.down = down
        self.conv1 = Layer(inputs, outputs, 3, *((2, 0) if down else (1, 1)))
        self.conv2 = Layer(outputs, outputs, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(m, inputs, h, w) -> (m, outputs, ...)."""
        y = self.conv2(functional.relu(self.conv1(x)))
        branch = functional.avg_pool2d(x, 2) if self.down else x
        shape = [max(sizes) for sizes in zip(y.shape, branch.shape, strict=True)]
        return functional.relu(_filled(y, shape) + _filled(branch, shape))


class DlibFace(nn.Module):
    """(m, 3, 150, 150) pixels less ``MEAN`` over ``UNIT`` -> (m, 128).

    Its parts bear the names of the table, ``conv32_1.conv1.weight``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv32_down = Layer(3, _FIRST, 7, 2)
        before = _FIRST
        for name, outputs in _BLOCKS.items():
            self.add_module(name, Block(before, outputs or before, outputs is not None))
            before = outputs or before
        self.fc = nn.Linear(before, FEATURES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = functional.max_pool2d(functional.relu(self.conv32_down(x)), 3, 2)
        for name in _BLOCKS:
            y = self.get_submodule(name)(y)
        features: Tensor = self.fc(y.mean(dim=(2, 3)))
        return features


def load_dlib_face(path: Path | str) -> DlibFace:
    """Return the network with the weights of a safetensors file: every name of it, no other.

    Raises:
        DataError: ``weights``: the file is missing or damaged, is no safetensors file, or another network's.
    """
    tensors, network = read_safetensors(path), DlibFace()
    try:
        assign(network, tensors)
    except DataError as error:
        raise DataError(f"{path}: not the weights of dlib's face network ({error})", "weights") from None
    return network


def _filled(x: Tensor, shape: list[int]) -> Tensor:
    """Zeros after the last channel, row and column, up to ``shape`` (m, c, h, w)."""
    channels, rows, columns = (wanted - there for wanted, there in zip(shape[1:], x.shape[1:], strict=True))
    return functional.pad(x, (0, columns, 0, rows, 0, channels)) if channels or rows or columns else x
