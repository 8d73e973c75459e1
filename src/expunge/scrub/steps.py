"""How the selected weights are changed: block curvature H', the update, the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from expunge.curvature import (
    Block,
    GaussNewton,
    Hessian,
    KroneckerFactored,
    LowRank,
    Product,
    combine,
    conjugate_gradient,
    outer,
    secant,
)
from expunge.curvature.double import doubles, inputs_in_float64
from expunge.curvature.gradients import Batches, example_losses, mean_gradient
from expunge.curvature.kfac import COLUMNS, require_memory
from expunge.curvature.losses import precise
from expunge.curvature.recorded import Recorded
from expunge.curvature.watching import duplicate, known_code, watching
from expunge.datasets.images import Examples
from expunge.scrub.problem import Problem
from expunge.scrub.scrub_error import ScrubError

CURVATURES = ("fd", "fisher", "exact", "ggn", "kfac")
MODES = ("sekhari", "cr", "ascent")
_SAMPLE_STEP = 1e-3  # length of the gradient step whose change of gradient gives ``fd`` of the sample
_SOLVED_BY_PRODUCTS = ("exact", "ggn", "kfac")
_PRODUCTS: dict[str, type[Hessian | GaussNewton]] = {"exact": Hessian, "ggn": GaussNewton}


@dataclass(frozen=True)
class CurvatureChoice:
    """Which curvature, and over how much data.

    Attributes:
        name: ``fd`` and ``fisher`` are of rank one for the training set and for the sample, and solved in
            O(|S|); ``fd`` is a heuristic, and neither has an error bound. ``exact`` (Hessian), ``ggn`` and
            ``kfac`` are solved by conjugate gradients.
        rows: Retained rows, drawn at random for every request, that ``exact``, ``ggn`` and ``kfac`` are
            averaged over; None: all. A share of the rows is an estimate without a bound.
        tol: Relative residual at which conjugate gradients stop. To stop early leaves out the directions in
            which the curvature is smallest and the step would be longest: it is a damping.
        columns: Of ``kfac``, see ``KroneckerFactored``: with more outputs its factors are sampled.
    """

    name: str = "fd"
    rows: int | None = None
    tol: float = 1e-4
    columns: int | None = COLUMNS

    def of(
        self, problem: Problem, examples: Batches, block: Block, rng: np.random.Generator | None = None
    ) -> Product:
        """Return the products of ``exact``, ``ggn`` or ``kfac`` over some examples; ``rng`` draws columns.

        Raises:
            InvalidValue: ``kfac`` takes more memory than there is.
        """
        how = problem.module, problem.losses, examples, block
        if self.name == "kfac":
            count = len(examples) if isinstance(examples, Examples) else problem.m
            require_memory(problem.module, block, count, self.columns)
            return KroneckerFactored(*how, columns=self.columns, rng=rng)
        return _PRODUCTS[self.name](*how)

    def solve(self, product: Product, rhs: Tensor, l2: float) -> Tensor:
        """Return (A + l2 I)^{-1} ``rhs`` for such a product, (|S|,) float64 on the CPU; solved where A is."""
        there = rhs.to(getattr(product, "device", rhs.device))
        replayed = Recorded(product) if there.device.type == "cuda" else product
        return conjugate_gradient(replayed, there, l2, self.tol).x.cpu()


def sekhari(
    problem: Problem,
    block: Block,
    curvature: CurvatureChoice,
    l2: float,
    rng: np.random.Generator,
    penalty: float,
) -> Tensor:
    """Return ``m/(n-m) (H' + l2 I)^{-1} (grad f(w) + penalty w)_S``, (|S|,) float64.

    f is the mean loss of the m rows to be removed, and ``H' = (n H_F - m H_f) / (n - m)`` the curvature of
    the mean loss of the rows that stay, both without the penalty. With the exact curvature, all units, and
    ``l2 = penalty`` that of the training, this is the Newton step from the trained weights for the objective
    of the rows that stay, ``mean loss + penalty/2 ||w||^2``: a row takes its share of the penalty with it,
    hence ``penalty w``. A larger ``l2`` damps the step; it changes nothing of where the step should lead.

    Source: Mehta et al., CVPR 2022, Algorithm 1, after Sekhari et al., NeurIPS 2021; there the penalty is
    part of f, and its weight and the damping are one number.
    """
    module, m, n = problem.module, problem.m, problem.n
    solved = curvature.name in _SOLVED_BY_PRODUCTS
    whole = None if solved else _low_rank_of_training(problem, block, curvature)
    slope, change = _slope_and_change(problem, block, curvature)
    rhs = slope + penalty * block.read(module)
    if whole is None:
        kept = some_of(problem.retained, curvature.rows, rng)
        product = curvature.of(problem, kept, block, rng)
        solution = curvature.solve(product, rhs, l2)
    else:
        part = outer(slope) if change is None else secant(*change)
        solution = combine(n, whole, m, part).solve(rhs, l2)
    return m / (n - m) * solution


def some_of(examples: Examples, rows: int | None, rng: np.random.Generator) -> Examples:
    """Return ``rows`` of the examples, drawn at random; all of them where there are no more, or for None."""
    if rows is None or rows >= len(examples):
        return examples
    return examples.only(np.sort(rng.choice(examples.rows, size=rows, replace=False)))


def mean_loss(
    problem: Problem, examples: Examples, block: Block | None = None, step: Tensor | None = None
) -> float:
    """Mean loss of some examples, of the network as it is or, with ``step``, as it would be after it.

    The network is left as it is, bit for bit.
    """
    if block is None or step is None:
        return float(example_losses(problem.module, problem.losses, examples).mean())
    saved = block.save(problem.module)
    try:
        block.add(problem.module, step)
        return mean_loss(problem, examples)
    finally:
        block.restore(problem.module, saved)


def cr(problem: Problem, block: Block, curvature: CurvatureChoice, l2: float) -> Tensor:
    """Return ``(H_f + l2 I)^{-1} grad f(w)_S``, (|S|,) float64: a step of the sample's own, whatever n is."""
    slope, change = _slope_and_change(problem, block, curvature)
    if curvature.name in _SOLVED_BY_PRODUCTS:
        product = curvature.of(problem, [problem.sample], block)
        return curvature.solve(product, slope, l2)
    return (outer(slope) if change is None else secant(*change)).solve(slope, l2)


def ascent(problem: Problem, block: Block, lr: float) -> Tensor:
    """Return ``lr grad f(w)_S``, (|S|,) float64."""
    return lr * _sample_gradient(problem, block)


def noise_std(
    n: int, m: int, l2: float, epsilon: float, delta: float, smoothness: float = 0.25, lipschitz: float = 1.0
) -> float:
    """Return ``s = (Gamma / epsilon) sqrt(2 ln(1.25 / delta))``, ``Gamma = 2 M Lip^2 m^2 / (n^2 l2^3)``.

    Of n training rows m are removed. ``l2`` is the strong convexity of the objective, in theory; here, as
    published, the damping. ``smoothness`` is M, the Lipschitz constant of the Hessian, ``lipschitz`` Lip,
    that of the loss (published: 0.25, 1; epsilon 0.1, delta 0.01). The network is not convex: they stand for
    no guarantee.
    """
    gamma = 2 * smoothness * lipschitz**2 * m**2 / (n**2 * l2**3)
    return gamma / epsilon * sqrt(2 * log(1.25 / delta))


def _sample_gradient(problem: Problem, block: Block) -> Tensor:
    return block.gather(mean_gradient(problem.module, problem.losses, [problem.sample]))


def _low_rank_of_training(problem: Problem, block: Block, curvature: CurvatureChoice) -> LowRank:
    history = problem.history
    if history is None:
        raise ScrubError(f"curvature {curvature.name} needs what training records, and nothing was trained")
    if curvature.name == "fisher":
        return outer(block.gather(history.gradient))
    return secant(block.gather(history.gradient_change), block.gather(history.weight_change))


def _slope_and_change(
    problem: Problem, block: Block, curvature: CurvatureChoice
) -> tuple[Tensor, Sequence[Tensor] | None]:
    """The sample's gradient, and for ``fd`` what ``_sample_change`` gives."""
    if curvature.name != "fd":
        return _sample_gradient(problem, block), None
    if _runs_without_copies(problem):  # the gradient is in it
        change = _change_without_copies(problem, block, _SAMPLE_STEP)
        return change[1] / -_SAMPLE_STEP, change
    return _sample_gradient(problem, block), _sample_change(problem, block, _SAMPLE_STEP)


def _runs_without_copies(problem: Problem) -> bool:
    return problem.sample[0].device.type == "cuda" and known_code(problem.module)


def _sample_change(problem: Problem, block: Block, step: float) -> Sequence[Tensor]:
    """The changes of the sample's gradient and of the weights over one gradient step of all parameters.

    In float64: of a small gradient, the change would drown in float32's rounding and come out as zero.
    """
    x, y = problem.sample
    double = duplicate(problem.module).double()
    sample: Batches = [(inputs_in_float64(x), y)]
    gradient = mean_gradient(double, problem.losses, sample)
    before = block.gather(gradient)
    _require_gradient(before)
    with torch.no_grad():
        for name, parameter in double.named_parameters():
            if name in gradient:
                parameter.sub_(gradient.pop(name), alpha=step)
    after = block.gather(mean_gradient(double, problem.losses, sample))
    return after - before, -step * before


def _require_gradient(gradient: Tensor) -> None:
    if not gradient.any():
        raise ScrubError("curvature fd: the loss of the removed rows has no gradient in the selected units")


def _change_without_copies(problem: Problem, block: Block, step: float) -> Sequence[Tensor]:
    """The same by tensors in place of the network's own, see ``as_in_float64``."""
    x, y = problem.sample
    held = doubles(problem.module)
    names = [name for name, p in problem.module.named_parameters() if p.requires_grad]

    def gradient(points: Sequence[Tensor]) -> dict[str, Tensor]:
        leaves = {name: point.requires_grad_() for name, point in zip(names, points, strict=True)}
        with watching(problem.module), torch.enable_grad():
            outputs = functional_call(problem.module, {**held, **leaves}, (inputs_in_float64(x),))
            loss = precise(problem.losses, outputs, y).mean()
            slopes = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
        return dict(zip(names, slopes, strict=True))

    first = gradient([held[name] for name in names])
    before = block.gather(first)
    _require_gradient(before)
    points = torch._foreach_add([held[n].detach() for n in names], [first[n] for n in names], alpha=-step)
    after = block.gather(gradient(points))
    return after - before, -step * before
