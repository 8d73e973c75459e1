"""The outputs of labels that no training row has any more: what training without them would leave there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, softmax
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.curvature import Block
from expunge.curvature.losses import Losses, cross_entropy, is_cross_entropy
from expunge.curvature.watching import watching
from expunge.datasets.images import Examples
from expunge.models.head import head_inputs, identity_head
from expunge.scrub.coverage import movable
from expunge.scrub.problem import Problem
from expunge.scrub.scrub_error import ScrubError

Array = NDArray[np.float64]

_TOL = 1e-6  # largest entry of the gradient that a minimum may have; the search aims at a hundredth
_STEPS = 5000
_ENTRIES = 1 << 22  # of outputs held at once, in float64: 32 MB
_LOOKED_AT = 32  # rows on which outputs are compared: a ReLU may leave those of a single one as they are
_WAY_OUT = "unlearner.refit_outputs=false leaves the outputs of labels without rows as they are"


@dataclass(frozen=True)
class Refit:
    """What is to be done to the outputs of labels without rows; see ``refit``.

    Attributes:
        retained: The rows that stay.
        labels: The labels that none of them has, ascending.
        penalty: That of the training.
    """

    retained: Examples
    labels: list[int]
    penalty: float

    @classmethod
    def of(cls, problem: Problem, penalty: Callable[[], float]) -> Refit | None:
        """Return what a removal leaves to be done: None where no label with an output loses its last row.

        A label has an output of its own where targets are class numbers and the network puts out one number
        a class; ``penalty`` is asked for only where there is something to do.

        Raises:
            ScrubError: The loss is not the cross-entropy of the outputs.
        """
        x, y = problem.sample
        if y.is_floating_point():
            return None
        labels = emptied(y.tolist(), problem.retained)
        if not labels:
            return None
        with watching(problem.module), torch.no_grad():
            outputs = problem.module(x[:1])
        if outputs.ndim != 2 or outputs.shape[1] < 2:
            return None
        if not _is_cross_entropy(problem.losses, outputs, y[:1]):
            raise ScrubError(f"the loss is not the cross-entropy of one output a label; {_WAY_OUT}")
        return cls(problem.retained, labels, penalty())

    def apply(self, module: nn.Module) -> Callable[[], None]:
        """Do it; return what takes it back."""
        return refit(module, self.retained, self.labels, self.penalty)


def _is_cross_entropy(losses: Losses, outputs: Tensor, targets: Tensor) -> bool:
    if is_cross_entropy(losses):
        return True
    if not bool(((targets >= 0) & (targets < outputs.shape[1])).all()):
        return False
    found, expected = losses(outputs, targets), cross_entropy(outputs, targets)
    return torch.allclose(found.double(), expected.double(), rtol=1e-3, atol=1e-6, equal_nan=True)


def emptied(targets: Iterable[int], retained: Examples) -> list[int]:
    """Return the targets of removed rows that no retained row has, ascending."""
    return sorted(set(targets) - set(retained.y[torch.from_numpy(retained.rows)].tolist()))


def refit(module: nn.Module, retained: Examples, labels: Sequence[int], penalty: float) -> Callable[[], None]:
    """Put the output units of ``labels`` where the penalised loss of the retained rows is smallest.

    All else fixed, the loss is convex in these units, and no retained row has one of the labels:

        min over V:  mean_i log(sum_k exp(z_ik) + sum_l exp(x_i . v_l)) + (penalty / 2) ||V||^2

    with x_i the input of the last linear layer (and 1, where that has a bias) and z_ik the outputs of the
    other labels. It is solved in float64 by L-BFGS, to a gradient whose entries are below 1e-6. Removed rows
    are not in it: where few other labels are left, some may still be predicted to have theirs, and since the
    minimum takes the place of what a step did to these units, more of them than after the step alone.
    ``penalty`` is that of the training; at 0 the loss has no minimum, only outputs ever lower, and the search
    ends where the gradient does. The network is changed in place; what is returned takes the change back.

    Raises:
        ScrubError: The last linear layer is not the network's output, or is frozen or parametrised; or no
            minimum is found.
    """
    name, head = _output_layer(module, retained)
    if len(movable(head)) < 1 + (head.bias is not None):
        raise ScrubError(f"the network's last linear layer is frozen, pruned or parametrised; {_WAY_OUT}")
    inputs = head_inputs(module, retained)
    block = Block.of(module, {name: list(labels)})
    x = inputs.numpy() if head.bias is None else np.hstack([inputs.numpy(), np.ones((len(inputs), 1))])
    others = _others(head, inputs, labels)
    units = torch.from_numpy(_minimum(x, others, len(labels), penalty))
    saved = block.save(module)
    with torch.no_grad():
        head.weight[list(labels)] = units[:, : head.in_features].to(head.weight)
        if head.bias is not None:
            head.bias[list(labels)] = units[:, -1].to(head.bias)
    return lambda: block.restore(module, saved)


def _others(head: nn.Linear, inputs: Tensor, labels: Sequence[int]) -> Array:
    """Return the log-sum-exp of all outputs but those of ``labels``, (n,); of a few rows at a time.

    All of them at once would be n x K numbers: 9 GB for 200,000 rows of 5,749 people.
    """
    stay = torch.tensor(sorted(set(range(head.out_features)) - set(labels)), device=head.weight.device)
    with torch.no_grad():
        weight = head.weight[stay].double().cpu()
        bias = None if head.bias is None else head.bias[stay].double().cpu()
        parts = inputs.split(max(1, _ENTRIES // max(1, len(stay))))
        found = [nn.functional.linear(part, weight, bias).logsumexp(dim=1) for part in parts]
    return np.asarray(torch.cat(found).numpy())


def _minimum(x: Array, others: Array, units: int, penalty: float) -> Array:
    """Return V, (units, d), for inputs ``x`` (n, d) and ``others`` (n,), log-sum-exp of the other outputs."""

    def loss(flat: Array) -> tuple[float, Array]:
        v = flat.reshape(units, -1)
        own = x @ v.T
        odds = logsumexp(own, axis=1) - others
        share = expit(odds)[:, None] * softmax(own, axis=1)
        value = np.mean(np.logaddexp(0.0, odds)) + penalty / 2 * float(flat @ flat)
        return float(value), (share.T @ x / len(x) + penalty * v).ravel()

    options = {"gtol": _TOL / 100, "ftol": 0.0, "maxiter": _STEPS}
    found = minimize(loss, np.zeros(units * x.shape[1]), jac=True, method="L-BFGS-B", options=options)
    left = float(np.abs(found.jac).max())
    if not left < _TOL:  # NaN is not
        raise ScrubError(f"no minimum found for the outputs of labels without rows: a gradient of {left:.1e}")
    return np.asarray(found.x).reshape(units, -1)


def _output_layer(module: nn.Module, retained: Examples) -> tuple[str, nn.Linear]:
    """Return the last linear layer, if what it puts out is what the network does."""
    try:
        name, head = identity_head(module)
    except InvalidValue:
        raise ScrubError(f"the network has no linear layer; {_WAY_OUT}") from None
    x, _ = retained.take(retained.rows[:_LOOKED_AT])
    seen: list[Tensor] = []
    watched = head.register_forward_hook(lambda _, inputs, output: seen.append(output.clone()))
    with watched, watching(module), torch.no_grad():
        output = module(x)
    if len(seen) != 1 or not torch.equal(output, seen[0]):  # a copy: what follows may work in place
        raise ScrubError(f"the network's last linear layer is not its output; {_WAY_OUT}")
    return name, head
