"""``nn.MultiheadAttention`` written out: torch uses the weights of its projections without calling them."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

See = Callable[[tuple[Tensor, ...], Tensor], Tensor]
"""What is told of a call, inputs and answers, and gives the answers that the call goes on with."""


def opens(part: nn.Module) -> bool:
    """Whether ``attend`` computes what ``part`` does: no learned or zero token besides, one width for all."""
    return (
        isinstance(part, nn.MultiheadAttention)
        and type(part).forward is nn.MultiheadAttention.forward
        and "in_proj_weight" in part._parameters  # pruned, it is computed
        and part.in_proj_weight is not None
        and part.bias_k is None
        and not part.add_zero_attn
    )


def attend(
    part: nn.MultiheadAttention,
    see: See | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None] | None:
    """Return what ``part`` puts out in evaluation mode, by its own weights and in plain operations.

        out = out_proj(softmax(q k^T / sqrt(d) + mask) v)     with (q, k, v) = in_proj(query, key, value)

    ``see`` is told of the inputs, three of (m, tokens, E), and of the answers (m, tokens, 3E) of the inner
    projections, q first; ``out_proj`` is called as a layer. There are derivatives of every order. The
    arguments are those of ``part``; ``is_causal`` only says what ``attn_mask`` is.

    Returns:
        Outputs and, where they are asked for, the shares; None for inputs of other numbers of tokens, or not
        in batches, which it leaves to torch.
    """
    given = query, key, value
    if query.ndim != 3 or query.is_nested or not query.shape == key.shape == value.shape:
        return None
    inputs = given if part.batch_first else tuple(tensor.transpose(0, 1) for tensor in given)
    weights = part.in_proj_weight.chunk(3)
    biases = (None,) * 3 if part.in_proj_bias is None else part.in_proj_bias.chunk(3)
    answers = torch.cat(
        [functional.linear(*one) for one in zip(inputs, weights, biases, strict=True)], dim=-1
    )
    if see is not None:
        answers = see(inputs, answers)
    q, k, v = (one.unflatten(-1, (part.num_heads, -1)).transpose(1, 2) for one in answers.chunk(3, dim=-1))
    scores = q @ k.mT / sqrt(part.head_dim)
    for mask in (
        _by_head(attn_mask, len(q)),
        None if key_padding_mask is None else key_padding_mask[:, None, None],
    ):
        if mask is not None:
            scores = scores.masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    shares = scores.softmax(dim=-1)
    out = part.out_proj((shares @ v).transpose(1, 2).flatten(2))
    out = out if part.batch_first else out.transpose(0, 1)
    if not need_weights:
        return out, None
    return out, shares.mean(dim=1) if average_attn_weights else shares


def _by_head(mask: Tensor | None, rows: int) -> Tensor | None:
    """A mask of (tokens, tokens), or of (m x heads, tokens, tokens), as one of (m, heads, ...)."""
    return mask if mask is None or mask.ndim == 2 else mask.unflatten(0, (rows, -1))
