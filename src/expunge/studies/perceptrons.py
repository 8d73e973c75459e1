"""Networks with one hidden layer, hundreds at a time: what ``Heads`` is to linear maps, by ``torch.func``.

Weights are (M, P), the parameters of each network in the order in which torch names them. The gradient of all
M is one ``vmap`` of one ``grad``; the rules of training and unlearning are those of ``Heads``.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from expunge.core.seeds import torch_draws_from
from expunge.models import Mlp
from expunge.studies.heads import Heads

Array = NDArray[np.float64]
Ids = NDArray[np.int64]

_TOGETHER = 16  # networks that are evaluated together


class Perceptrons(Heads):
    """What M networks d - hidden - K with ReLU are trained on.

    Args:
        x: (n, d) rows.
        y: (n,) numbers of their classes.
        classes: K.
        hidden: Width of the hidden layer.
        dtype: Of the weights and of all that is computed; what is evaluated is float64.
    """

    def __init__(
        self, x: Array, y: Ids, classes: int, hidden: int, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(x, y, classes, dtype)
        self.x = torch.from_numpy(x).to(dtype)
        self.codes, self.hidden, self.classes = torch.from_numpy(y), hidden, classes
        self.one = self._built().to(dtype)
        self.sizes = {name: p.shape for name, p in self.one.named_parameters()}

    def _built(self) -> nn.Module:
        return Mlp(hidden=(self.hidden,)).build((self.x.shape[1],), self.classes)

    def begin(self, models: int, rng: np.random.Generator) -> Tensor:
        """Random weights as torch's layers have them, (M, P)."""
        with torch_draws_from(torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))):
            modules = [self._built() for _ in range(models)]
        stacked = stack_module_state(modules)[0]
        flat = torch.cat([stacked[name].detach().reshape(models, -1) for name in self.sizes], dim=1)
        return flat.to(self.x.dtype)

    def gradient(self, w: Tensor, rows: Ids) -> Tensor:
        """Gradient of the mean cross-entropy over each network's rows, (M, m) ids; (M, P)."""
        at = torch.from_numpy(rows)
        found: Tensor = vmap(grad(self._loss))(w, self.x[at], self.codes[at])
        return found

    def _loss(self, w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(self._outputs(w, x), y)

    def _outputs(self, w: Tensor, x: Tensor) -> Tensor:
        """Of one network, (m, K)."""
        parts = torch.split(w, [size.numel() for size in self.sizes.values()])
        named = {name: part.view(size) for part, (name, size) in zip(parts, self.sizes.items(), strict=True)}
        found: Tensor = functional_call(self.one, named, (x,))
        return found

    def outputs(self, w: Array, x: Array) -> Array:
        """Of all networks on the same rows in float64, (M, m, K)."""
        rows = torch.from_numpy(x)
        with torch.no_grad():
            blocks = torch.from_numpy(w).split(_TOGETHER)
            found = [vmap(self._outputs, in_dims=(0, None))(block, rows) for block in blocks]
        return np.asarray(torch.cat(found).numpy())
