"""What a linear model minimises: settings, rows, the loss of each column, and how it is solved for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import (
    LARGEST,
    require_choice,
    require_count,
    require_from_zero,
    require_positive,
    require_share,
    require_switch,
)
from expunge.core.errors import InvalidValue, UserError
from expunge.core.seeds import Noise, SystemNoise, stream
from expunge.linear.classes import width_of
from expunge.linear.example_weights import checked_class_weight
from expunge.linear.given import Array
from expunge.linear.logistic import LogisticProblem
from expunge.linear.memory import BUILDING, SOLVER_MEMORY, SOLVERS, iterates, require_matrices
from expunge.linear.one_vs_rest import one_vs_rest
from expunge.linear.operations import RowOperations
from expunge.predictors.linear_columns import LinearColumns

LARGEST_LAM = 1e30  # times any number of rows it is a number of float32
SETTINGS = (
    *("lam", "std", "tol", "max_iter", "subsample_ratio", "joint_training", "progress", "solver"),
    *("solver_memory", "class_weight"),
)


class LinearProblems(LinearColumns):
    """The part of ``LinearModel`` that says what is to be minimised; the settings are told there.

    Attributes:
        class_weight: As it is given, divided by ``divided_by``; None for none.
        divided_by: The largest weight of a class, 1 at least: ``lam`` is what is given, divided by it.
        iterative: Whether the model is solved for without matrices of d x d; it stays so.
        matrices: How many of them training makes at one time, at the least, where they are made.
        inverts: Whether they must be.
    """

    x: RowOperations
    iterative = False
    matrices = BUILDING
    inverts = False

    def __init__(
        self,
        lam: float = 1e-3,
        std: float = 10.0,
        tol: float = 1e-8,
        max_iter: int = 200,
        subsample_ratio: float = 1.0,
        joint_training: bool = True,
        progress: bool = False,
        solver: str = "auto",
        solver_memory: float = SOLVER_MEMORY,
        class_weight: Mapping[Any, float] | None = None,
    ) -> None:
        self.class_weight, self.divided_by = checked_class_weight(class_weight)
        self.lam = require_positive("lam", lam, most=LARGEST_LAM) / self.divided_by
        self.std = require_from_zero("std", std, most=LARGEST)
        self.tol = require_positive("tol", tol)
        self.max_iter = require_count("max_iter", max_iter)
        self.subsample_ratio = require_share("subsample_ratio", subsample_ratio)
        self.joint_training = require_switch("joint_training", joint_training)
        self.progress = progress
        self.solver = require_choice("solver", solver, SOLVERS)
        self.solver_memory = require_positive("solver_memory", solver_memory)

    def begin(self, x: RowOperations, y: NDArray[np.int64], seed: int | None) -> None:
        """Take over the training data.

        Raises:
            UserError: There is only one class.
            InvalidValue: ``subsample_ratio`` is not 1 with two, or there are too many features to invert.
        """
        width = width_of(len(np.unique(y)))
        self.iterative = self.iterates(x, width)
        if not self.iterative:
            require_matrices(x.dim, width, self.matrices)
        super().begin(x, y, seed)
        if len(self.classes_) < 2:
            raise UserError(
                f"labels: got one class ({self.classes_[0]}), allowed: two or more; see dataset.classes"
            )
        if len(self.classes_) == 2 and self.subsample_ratio != 1:
            raise InvalidValue("subsample_ratio", self.subsample_ratio, "1 with two classes")

    def iterates(self, x: RowOperations, width: int) -> bool:
        """Whether a model of these rows with ``width`` columns is to be solved for without matrices."""
        solver = "direct" if self.inverts else self.solver
        return iterates(solver, x, width, self.matrices, self.solver_memory)

    def noise(self, epoch: int) -> Noise:
        """What the perturbation of an epoch is drawn from: the given seed, or the operating system.

        The first is the original's; a later one is drawn to serve a request, and follows ``repeat``.
        """
        again = self.again if epoch else ()
        return stream(self.seed, "perturbation", epoch, again=again) if self.seeded else SystemNoise()

    def problems(self, b: Array | None = None) -> list[LogisticProblem]:
        """The columns' losses over all rows; b is (d,) or (d, K), None for zeros."""
        x = self.x
        b = np.zeros((x.dim, self.width)) if b is None else b.reshape(x.dim, self.width)
        rng = stream(self.seed, "subsample")
        how = self.subsample_ratio, rng, self.iterative, self.sizes
        return one_vs_rest(x, self.y, self.out.classes, self.lam, b, *how)
