"""What each row has done to a training, to first order: vectors that are carried along with the steps.

A row u of weight 1 - e takes part in

    v_{t+1} = mu v_t + g_t + lambda w_t,      w_{t+1} = w_t - eta_t v_{t+1},

g_t the sum over a batch of weight times gradient over its size m_t. At e = 0 the derivatives with respect to
e are, for w, a_t and, for v, b_t:

    b_{t+1} = mu b_t + (H_t + lambda) a_t - [u in batch t] grad l_u(w_t) / m_t
    a_{t+1} = a_t - eta_t b_{t+1}

with H_t the Hessian of the batch's mean loss. Without momentum that is ``a <- (I - eta H) a + eta grad / m``
of Qiao et al., *Hessian-Free Online Certified Unlearning*, ICLR 2025. ``w + a`` is training along the same
batches without the row, up to second order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from expunge.core.errors import InvalidValue
from expunge.curvature.gradients import cross_entropy
from expunge.training.settings import Training

_NOT_FOLLOWED = ("torch.nn.modules.dropout", "torch.nn.modules.normalization")
_AT_ONCE = 1 << 24  # numbers of products that are in the making


class Recollection:
    """The vectors of some rows of a training; ``follow`` is what a training tells of its steps.

    Args:
        rows: (n,) their ids, ascending.
        dim: Numbers of the parameters that are trained.
        training: How it is done.

    Raises:
        InvalidValue: ``optimizer``: there is a recursion for SGD alone.
    """

    def __init__(self, rows: NDArray[np.int64], dim: int, training: Training) -> None:
        if training.optimizer != "sgd":
            raise InvalidValue("training.optimizer", training.optimizer, "sgd with unlearner=hessian_free")
        self.rows, self.dim, self.training = rows, dim, training
        self._a: Tensor | None = None
        self._b: Tensor | None = None

    @property
    def vectors(self) -> Tensor:
        """The a of each row, (n, dim)."""
        assert self._a is not None
        return self._a

    def follow(self, module: nn.Module, x: Tensor, y: Tensor, rows: NDArray[np.int64], rate: float) -> None:
        """Carry all vectors over a step on this batch, which is about to be taken."""
        named = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
        like = torch.cat([p.reshape(-1) for p in named.values()])
        if self._a is None or self._b is None:
            self._a, self._b = (like.new_zeros(len(self.rows), self.dim) for _ in range(2))
        how, a, b = self.training, self._a, self._b

        def loss(w: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
            parts = dict(zip(named, w.split([p.numel() for p in named.values()]), strict=True))
            weights = {name: part.view_as(named[name]) for name, part in parts.items()}
            return cross_entropy(functional_call(module, weights, (inputs,)), targets).mean()

        def product(v: Tensor) -> Any:
            return jvp(lambda w: grad(loss)(w, x, y), (like,), (v,))[1]

        b *= how.momentum
        known = a.any(dim=1).nonzero()[:, 0]  # 0 of rows that no batch has had
        for part in known.split(max(1, _AT_ONCE // max(1, self.dim * 8))) if len(known) else ():
            b[part] += vmap(product)(a[part]) + how.weight_decay * a[part]
        single = vmap(grad(loss), in_dims=(None, 0, 0))(like, x[:, None], y[:, None])
        place = torch.from_numpy(np.searchsorted(self.rows, rows)).to(a.device)
        b[place] -= single / len(rows)
        a -= rate * b

    def done(self) -> None:
        """The training is: velocities are wanted no more."""
        self._b = None

    def take(self, rows: NDArray[np.int64]) -> Tensor:
        """The sum of the vectors of some rows, (dim,)."""
        return self.vectors[np.searchsorted(self.rows, rows)].sum(dim=0)

    def drop(self, rows: NDArray[np.int64]) -> None:
        """Keep the vectors of the other rows alone."""
        stay = ~np.isin(self.rows, rows)
        self._a = self.vectors[torch.from_numpy(stay).to(self.vectors.device)].clone()
        self.rows = self.rows[stay]

    def put(self, vectors: Tensor) -> None:
        """Let these be the vectors, (n, dim)."""
        self._a = vectors


def require_followed(module: nn.Module) -> None:
    """Refuse a network of which the loss of a batch is not the mean of losses that a row has by itself.

    Raises:
        InvalidValue: It has statistics of batches, draws random numbers, or normalises: of layers that do,
            torch.func's second derivatives are not to be relied on (they differ from those of autograd).
    """
    for name, part in module.named_modules():
        kind = type(part).__module__
        if (
            kind in _NOT_FOLLOWED
            or "norm" in type(part).__name__.lower()
            or list(part.buffers(recurse=False))
        ):
            allowed = "layers without normalisation, statistics or dropout with unlearner=hessian_free"
            raise InvalidValue("model", f"{type(part).__name__} ({name})", allowed)
