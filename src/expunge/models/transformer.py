"""A vision transformer that trains on a CPU, of plain layers that can all be watched."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from expunge.core.checks import require_choice, require_count, require_name
from expunge.core.errors import InvalidValue
from expunge.models.base import require_inputs, require_room
from expunge.models.weights import require_weights

POOLS = ("mean", "class")
_SPREAD = 0.02  # of positions and class token, as Dosovitskiy et al.


@dataclass(frozen=True)
class Vit:
    """ViT: patches as tokens, blocks of attention and two linear layers, LayerNorm before each (pre-norm).

        x <- x + proj(attention(qkv(norm1(x))))        x <- x + fc2(gelu(fc1(norm2(x))))

    Queries, keys and values of a block are one Linear, ``qkv``; positions are learned.

    Attributes:
        patch: Side of a patch, in pixels; it divides those of the images.
        dim: Width of a token; a multiple of ``heads``.
        depth: Blocks.
        heads: Of the attention.
        mlp: Width of a block's inner linear layer, in widths of a token.
        pool: What the head is given: the ``mean`` of the normalised tokens, or the ``class`` token, one more.
        weights, name: As in ``Architecture``.

    Source: Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021; mean and no class token as Beyer et
    al., Better plain ViT baselines (2022).
    """

    patch: int = 4
    dim: int = 64
    depth: int = 2
    heads: int = 4
    mlp: int = 2
    pool: str = "mean"
    weights: str | None = None
    name: str = "vit"

    def __post_init__(self) -> None:
        for key in ("patch", "dim", "depth", "heads", "mlp"):
            require_count(key, getattr(self, key))
        if self.dim % self.heads:
            raise InvalidValue("dim", self.dim, f"a multiple of heads, {self.heads}")
        require_choice("pool", self.pool, POOLS)
        require_weights(self.weights)
        require_name("name", self.name)

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the network, as in ``Architecture``."""
        require_inputs(self.name, shape, classes, images=True)
        channels, height, width = shape
        if height % self.patch or width % self.patch:
            sides = [str(p) for p in range(2, min(height, width) + 1) if height % p == width % p == 0]
            allowed = f"a side that divides {height} and {width}: {', '.join(sides) or '1'}"
            raise InvalidValue("patch", self.patch, allowed)
        tokens = (height // self.patch) * (width // self.patch) + (self.pool == "class")
        block = 4 * self.dim**2 + 2 * self.mlp * self.dim**2
        patches = channels * self.patch**2
        require_room("dim", self.dim, self.dim * (patches + tokens + classes) + self.depth * block)
        blocks = [Block(self.dim, self.heads, self.mlp * self.dim) for _ in range(self.depth)]
        parts = OrderedDict[str, nn.Module](
            embedding=Positions(channels, self.patch, self.dim, tokens, self.pool == "class"),
            blocks=nn.Sequential(*blocks),
            norm=nn.LayerNorm(self.dim),
            pool=_Pool(self.pool == "class"),
            head=nn.Linear(self.dim, classes),
        )
        network = nn.Sequential(parts)
        for part in network.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)
        return network


class Positions(nn.Module):
    """Images (m, channels, height, width) -> tokens (m, tokens, dim), each with its position."""

    def __init__(self, channels: int, patch: int, dim: int, tokens: int, with_class: bool) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, dim, patch, stride=patch)
        self.positions = nn.Parameter(_SPREAD * torch.randn(1, tokens, dim))
        self.class_token = nn.Parameter(_SPREAD * torch.randn(1, 1, dim)) if with_class else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens, the class token first."""
        tokens = self.patches(x).flatten(2).mT
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        return tokens + self.positions


class Attention(nn.Module):
    """Self-attention of several heads, (m, tokens, dim) -> likewise.

    ``seen`` (m, tokens), bool, are the tokens that there are; None: all.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """See the class."""
        split = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = split.unbind()
        mask = None if seen is None else seen[:, None, None]
        mixed = functional.scaled_dot_product_attention(q, k, v, mask)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and two linear layers, each added to what it was given normalised; ``seen`` as there."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(dim), Attention(dim, heads)
        self.norm2, self.fc1, self.fc2 = nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """See the class."""
        x = x + self.attention(self.norm1(x), seen)
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class _Pool(nn.Module):
    """Tokens (m, tokens, dim) -> their mean, or the first one, (m, dim)."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0] if self.first else x.mean(dim=1)
