"""Curvature of a loss in the weights of selected units, and its solves: pure tensor mathematics.

``Block`` turns the units' weights into one vector. ``Hessian``, ``GaussNewton``, ``KroneckerFactored`` and
``LowRank`` are curvatures: each is called with a vector and returns the product. ``LowRank`` solves itself;
for the others there is ``conjugate_gradient``.
"""

from expunge.curvature.block import Block
from expunge.curvature.cg import Product, Solution, conjugate_gradient
from expunge.curvature.each_loss import each_loss
from expunge.curvature.gradients import (
    Batches,
    Losses,
    cross_entropy,
    evaluating,
    example_losses,
    mean_gradient,
    norm,
)
from expunge.curvature.kfac import KroneckerFactored
from expunge.curvature.lowrank import LowRank, combine, outer, secant
from expunge.curvature.products import GaussNewton, Hessian
from expunge.curvature.solve_error import SolveError

__all__ = [
    "Batches",
    "Block",
    "GaussNewton",
    "Hessian",
    "KroneckerFactored",
    "Losses",
    "LowRank",
    "Product",
    "Solution",
    "SolveError",
    "combine",
    "conjugate_gradient",
    "cross_entropy",
    "each_loss",
    "evaluating",
    "example_losses",
    "mean_gradient",
    "norm",
    "outer",
    "secant",
]
