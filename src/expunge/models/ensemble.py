"""Several networks that vote as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

VOTES = ("mean", "majority")


class Ensemble(nn.Module):
    """A network whose outputs z are the logarithms of what its members agree on, so that softmax(z) is that.

    With p_s the softmax of member s of S, and n_k the number of members whose largest probability is that of
    class k: ``mean`` is ``sum_s p_s / S``. ``majority`` is ``(n_k + sum_s p_s,k / S) / (S + 1)``: the class
    with most votes is in front, of several the one with the largest mean, and no probability is 0.

    Args:
        members: Networks (m, ...) -> (m, K).
        vote: One of ``VOTES``.

    Attributes:
        heard: (S,) bool, the members that vote, which others do not; one at least, or nothing can be put out.
    """

    heard: Tensor

    def __init__(self, members: Sequence[nn.Module], vote: str = "mean") -> None:
        super().__init__()
        self.members, self.vote = nn.ModuleList(members), vote
        self.register_buffer("heard", torch.ones(len(members), dtype=torch.bool))

    def voters(self) -> list[nn.Module]:
        """The members that vote."""
        return [member for member, heard in zip(self.members, self.heard.tolist(), strict=True) if heard]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs for a batch, (m, K)."""
        each = torch.stack([member(x).log_softmax(dim=1) for member in self.voters()])
        mean = each.logsumexp(dim=0) - math.log(len(each))
        if self.vote == "mean":
            return mean
        votes = one_hot(each.argmax(dim=2), each.shape[2]).sum(dim=0)
        return torch.logaddexp(votes.to(mean.dtype).log(), mean) - math.log(len(each) + 1)
