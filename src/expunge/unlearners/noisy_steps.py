"""What noisy steps are made of: all trained weights as one float64 vector, gradients, and batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from expunge.curvature.gradients import cross_entropy
from expunge.unlearners.tuning import Batch, Tuning

Array = NDArray[np.float64]


def trained(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that are trained."""
    return [p for p in module.parameters() if p.requires_grad]


def flat(module: nn.Module) -> Array:
    """All trained parameters, (p,) float64."""
    return _array(parameters_to_vector(trained(module)))


def put(module: nn.Module, x: Array) -> None:
    """Let the trained parameters be ``x`` (p,), rounded to their type."""
    own = trained(module)
    with torch.no_grad():
        vector_to_parameters(torch.from_numpy(x).to(own[0]), own)


def gradient(tuning: Tuning, batch: Batch) -> Array:
    """Of the mean cross-entropy of a batch, (p,) float64, at the weights that are in."""
    loss, own = cross_entropy(tuning.logits(batch), batch.y).mean(), tuning.trained()
    found = torch.autograd.grad(loss, own, allow_unused=True, materialize_grads=True)
    return _array(torch.cat([part.reshape(-1) for part in found]))


def passes(tuning: Tuning) -> Iterator[Batch]:
    """Batches of rows that stay without an end: a function of these, the seed and the request's number."""
    for _ in count():
        yield from tuning.batches(tuning.retain, epochs=1)


def _array(found: Tensor) -> Array:
    return np.asarray(found.detach().cpu().to(torch.float64).numpy()).copy()
