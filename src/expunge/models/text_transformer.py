"""A transformer for texts that trains on a CPU: it learns in layers whose units a scrub may choose."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn

from expunge.core.checks import require_choice, require_count, require_name, require_switch
from expunge.core.errors import InvalidValue
from expunge.models.base import require_inputs, require_room
from expunge.models.transformer import Block
from expunge.models.weights import require_weights

_PERIOD = 10_000  # of the slowest position, in tokens over 2 pi, as Vaswani et al.


@dataclass(frozen=True)
class TextTransformer:
    """Blocks of attention over words, (m, length) numbers of them -> (m, classes); 0 is padding.

        x <- project(embedding(ids)) + positions       x <- block(x), as in ``Vit`` (pre-norm), over the words
        head(mean over the words of norm(x))

    Positions are sines and cosines. Unless ``trained`` the embedding stays as it was drawn, a random vector
    for each number: what training rows teach is then in linear layers and LayerNorms alone, all of which a
    scrub reaches. A trained embedding has rows that only rare words have moved, of texts that may have left.

    Attributes:
        vocabulary: Largest number of a word.
        width: Of the embedding; as wide as wanted, for it is looked up.
        trained: Whether the embedding is trained.
        dim: Width of a token; an even multiple of ``heads``.
        depth: Blocks.
        heads: Of the attention.
        mlp: Width of a block's inner linear layer, in widths of a token.
        reads: What a data set of texts gives it: ``tokens``.
        weights, name: As in ``Architecture``.

    Source: Vaswani et al., Attention is all you need, NeurIPS 2017.
    """

    vocabulary: int = 2048
    width: int = 512
    trained: bool = False
    dim: int = 64
    depth: int = 1
    heads: int = 4
    mlp: int = 2
    reads: str = "tokens"
    weights: str | None = None
    name: str = "text_transformer"

    def __post_init__(self) -> None:
        for key in ("vocabulary", "width", "dim", "depth", "heads", "mlp"):
            require_count(key, getattr(self, key))
        if self.dim % self.heads or self.dim % 2:
            raise InvalidValue("dim", self.dim, f"an even multiple of heads, {self.heads}")
        require_switch("trained", self.trained)
        require_choice("reads", self.reads, ("tokens",))
        require_weights(self.weights)
        require_name("name", self.name)

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the network, as in ``Architecture``."""
        if len(shape) != 1:
            got = f"{self.name} on inputs of shape {tuple(shape)}"
            raise InvalidValue(
                "model", got, "numbers of words, (length,): dataset=clauses dataset.inputs=tokens"
            )
        require_inputs(self.name, shape, classes)
        inner = (4 + 2 * self.mlp) * self.dim**2
        looked_up = (1 + self.vocabulary) * self.width
        require_room("width", self.width, looked_up + self.dim * (self.width + classes) + self.depth * inner)
        return _Texts(self, shape[0], classes)


class _Texts(nn.Module):
    """The network of a ``TextTransformer``."""

    positions: Tensor

    def __init__(self, of: TextTransformer, length: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1 + of.vocabulary, of.width, padding_idx=0)
        self.project = nn.Linear(of.width, of.dim)
        self.blocks = nn.ModuleList(Block(of.dim, of.heads, of.mlp * of.dim) for _ in range(of.depth))
        self.norm, self.head = nn.LayerNorm(of.dim), nn.Linear(of.dim, classes)
        self.register_buffer("positions", _positions(length, of.dim), persistent=False)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)
        self.embedding.weight.requires_grad_(of.trained)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for numbers of words, of any type."""
        ids = x.long()
        if x.device.type == "cpu":  # a GPU would have to be waited for
            _require_ids(x, ids, self.embedding.num_embeddings - 1)
        seen = ids != 0
        tokens = self.project(self.embedding(ids)) + self.positions
        for block in self.blocks:
            tokens = block(tokens, seen)
        counted = seen.to(tokens).unsqueeze(-1)
        return self.head((self.norm(tokens) * counted).sum(dim=1) / counted.sum(dim=1))


def _positions(length: int, dim: int) -> Tensor:
    """Sines and cosines of each place in a text, (length, dim), of the size of a projected word."""
    rates = torch.exp(torch.arange(0, dim, 2, dtype=torch.float64) * (-log(_PERIOD) / dim))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()


def _require_ids(x: Tensor, ids: Tensor, most: int) -> None:
    """Raise ``InvalidValue`` unless the inputs are numbers of words, with at least one in each row."""
    whole = ids == x
    if bool(whole.all()) and int(ids.amin()) >= 0 and int(ids.amax()) <= most:
        if bool((ids != 0).any(dim=1).all()):
            return
        raise InvalidValue("model", "a text without words", "at least one number above 0 in each row")
    got = f"inputs from {float(x.amin()):g} to {float(x.amax()):g}"
    allowed = f"numbers of words from 0 to model.vocabulary, {most} (dataset=clauses dataset.inputs=tokens)"
    raise InvalidValue("model", got, allowed)
