"""Certified removal by Newton steps: noise at release, and as published (Guo et al., ICML 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from expunge.certificate import CERTIFICATES, Account, ReleaseAccount
from expunge.certificate.composition import Claim
from expunge.core.checks import (
    require_choice,
    require_count,
    require_from_zero,
    require_positive,
    require_probability,
)
from expunge.core.files import State, under
from expunge.core.read_back import of_file, read_as
from expunge.core.threads import alone, whole
from expunge.linear.brought import Brought
from expunge.linear.certified_column import CertifiedColumn
from expunge.linear.classes import width_of
from expunge.linear.given import Array
from expunge.linear.memory import enough_memory, of_anchors, of_training, require_matrices
from expunge.linear.operations import RowOperations
from expunge.linear.parallel import one_blas_thread
from expunge.linear.removal import UPDATES
from expunge.linear.rowless_column import RowlessColumn
from expunge.predictors import NothingLeft
from expunge.predictors.linear import LinearModel
from expunge.predictors.remainder import Remainder
from expunge.unlearners.base import RESIDUAL, Outcome
from expunge.unlearners.engine import Engine
from expunge.unlearners.published import Published
from expunge.unlearners.release import Release
from expunge.unlearners.rowless import PASSES, Rowless
from expunge.unlearners.sound import require_drawn

PERTURBATIONS = ("release", "gaussian", "pure_eps")
POLICIES = ("retrain", "refuse")


class Newton(Engine):
    """Removal-enabled logistic regression: every release carries a bound on its gradient residual.

    With ``perturbation=release`` the model stays inside and what leaves it is drawn around it anew at every
    release (``expunge.unlearners.release``): the certificate holds for who sees all of them. With
    ``gaussian`` and ``pure_eps`` the perturbation is in the objective (``expunge.unlearners.published``).

    Of more than two classes (one-vs-rest) the (d, K) residual is bounded jointly, and a request changes
    only the columns of classes that use its rows. A class whose last row leaves takes its column along; the
    others are served as always. The guarantee stays that of the classes of the fit: for as many b is drawn
    again, of which those that are there take their own. Solved for directly one inverse Hessian a class is
    kept, 8 K d^2 bytes (of many classes 4, see ``linear.stack``), and as much again while a release is
    prepared; the Gram matrix (8 d^2) is made once where all classes use all rows (see
    ``RowOperations.gram``), once a class where they use subsamples.
    Solved for by iteration (``LinearModel``, ``solver``) nothing of d x d a class is made.

    Args:
        model: The linear model; its ``std`` is that of b in the objective, > 0, or 0 with ``release``.
        epsilon: Guarantee, with ``delta``; see ``Guarantee``, and ``ReleaseGuarantee`` for ``release``.
        delta: In (0, 1); 0 with ``perturbation=pure_eps``.
        certificate: ``worst_case``, ``data_dependent``, ``third_order`` or ``measured``.
        update: ``fresh``, ``frozen``, ``corrected`` or ``rowless``; see ``expunge.linear.removal``. With
            ``release`` one of the last two: ``rowless`` looks at the rows that stay only now and then.
        at_limit: ``retrain`` (to the minimiser of the loss with a fresh b, from the weights that are out) or
            ``refuse`` when the bound would pass the budget. A release has no such limit.
        perturbation: ``release``, ``gaussian`` or ``pure_eps``.
        anchor: Replace the accumulated bound by the measured residual every this many requests, and before
            giving up at the limit; 0 never.
        correct_to: ``corrected`` steps until the residual is at most this share of the budget; ``frozen``
            rebuilds its Hessians whenever inexact solves have cost this share. None: a half with
            ``release``, which takes 0.7 at most, 0.01 otherwise.
        name: What the run files call it.
        std: Standard deviation of the noise of a release; None: derived from ``residual``.
        residual: Norm of the summed gradient, over all rows, that the noise of a release is to cover; None:
            that of ``std``, or the smallest that is held comfortably (``rowless``: that of a noise which is
            hardly felt).
        releases: Models that may leave, the first one included.
        noise: ``lattice`` (exact, from the operating system) or ``float`` (for figures); None: the former
            where no seed is given.
    """

    role = "certified"
    COLUMNS = RESIDUAL
    supports = ("logistic",)

    def __init__(
        self,
        model: LinearModel,
        epsilon: float = 1.0,
        delta: float = 1e-4,
        certificate: str = "data_dependent",
        update: str = "fresh",
        at_limit: str = "retrain",
        perturbation: str = "gaussian",
        anchor: int = 0,
        correct_to: float | None = None,
        name: str = "newton",
        std: float | None = None,
        residual: float | None = None,
        releases: int = 1000,
        noise: str | None = None,
    ) -> None:
        super().__init__(model, name)
        self.epsilon = require_positive("epsilon", epsilon)
        self.perturbation = require_choice("perturbation", perturbation, PERTURBATIONS)
        allowed = require_from_zero if perturbation == "pure_eps" else require_probability
        self.delta = allowed("delta", delta)
        self.certificate = require_choice("certificate", certificate, CERTIFICATES)
        self.update = require_choice("update", update, (*UPDATES, "rowless"))
        self.at_limit = require_choice("at_limit", at_limit, POLICIES)
        self.anchor = require_count("anchor", anchor, least=0)
        self.releases = require_count("releases", releases)
        self.std, self.residual, self.noise = std, residual, noise
        usual = 0.5 if perturbation == "release" else 0.01
        self.correct_to = usual if correct_to is None else require_probability("correct_to", correct_to)
        self.scheme = self._scheme()
        self.scheme.check(self)
        self.COLUMNS = RESIDUAL | PASSES if isinstance(self.scheme, Rowless) else RESIDUAL

    def _scheme(self) -> Release | Published:
        if self.perturbation != "release":
            return Published()
        return Rowless() if self.update == "rowless" else Release()

    # -- training ---------------------------------------------------------------------------------------

    def fit(self, x: RowOperations, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train, and open the account at the optimiser's own leftover.

        Args:
            x: RowOperations with ||x_i|| <= 1.
            y: (n,) labels of two classes or more.
            seed: Seed of b, or of the noise, which must stay as secret as they; None draws them from the
                operating system.

        Raises:
            InvalidValue: ``features``: their matrices do not fit into memory; or a setting is not allowed.
        """
        width = width_of(len(np.unique(y)))
        shared = self.predictor.subsample_ratio == 1
        count = of_training(width, shared, self.needs_gram, self.update != "fresh")
        self.predictor.matrices = max(count, of_anchors(width)) if self.update == "rowless" else count
        with (
            whole(self, self.predictor),
            one_blas_thread(),
            enough_memory(x.dim, width, self.predictor.matrices + 1),
        ):
            self.predictor.begin(x, y, seed)
            self.served = 0
            self.scheme.fit(self)

    # -- removal ----------------------------------------------------------------------------------------

    @property
    def account(self) -> Account | ReleaseAccount:
        """The certificate as it stands, of all columns together."""
        return self.scheme.account(self, self.columns)

    def remove(self, rows: Sequence[int], brought: Brought | None = None) -> Outcome:
        """Remove training rows from the model, in one release.

        Whatever is raised, be it from the keyboard, leaves the model as it was. With ``update=rowless`` the
        rows may be ``brought`` along: they must be those that the model was trained on, bit for bit.

        Raises:
            InvalidValue: A row is out of range, named twice or gone already, or no row would stay; or memory
                runs out.
            BrokenInvariant: What would go out is not what its bound says.
            RowsOutOfReach: A pass over the rows is needed, and they were not loaded.
        """
        index, model = self.predictor.checked(rows), self.predictor
        try:
            labels = None if brought is None else brought.labels
            left = cast("Remainder[CertifiedColumn]", model.without(index, labels))
        except NothingLeft as error:
            self.served += 1
            return self.scheme.refused(self, index, str(error))
        made = sum(column.makes_inverse(index) for column in left.columns)
        size = model.x.dim, model.width
        require_matrices(*size, made + 1 if made else 0)  # 1 more while it is made
        with whole(self, model), one_blas_thread(), enough_memory(*size, made + 1):
            self.served += 1
            return self.scheme.serve(self, index, left, brought)

    def claim(self) -> Claim:
        """What the runs promise, in words."""
        return self.scheme.claim(self)

    # -- saving -----------------------------------------------------------------------------------------

    @property
    def keeps_secret(self) -> bool:
        """Whether what leaves is not the model itself, so that a run keeps the latter apart."""
        return self.perturbation == "release"

    @property
    def draws_anew(self) -> bool:
        """Whether who serves a request again, from the state before it, would release another model."""
        return self.predictor.protected

    @alone
    def put_back(self, released: Array) -> None:
        """Let these weights (d, K) be out, which left with the last request when it was served before.

        What has been drawn instead must not have been seen.

        Raises:
            DataError: They are not around this model.
        """
        require_drawn(self, released)
        self.predictor.put(self.columns, released)

    @alone
    def count_released(self, count: int) -> None:
        """Count models that left besides: with requests whose records have been replaced."""
        self.released += count if self.keeps_secret else 0

    def state(self) -> State:
        """Model, account and kept factors: a loaded model goes on removing exactly where this one stands.

        It holds b, or the model that releases are drawn around: secrets, like the seed of later perturbations
        where one was given. Of a release nothing of a departed row is in it (see ``settle``).
        """
        if self.keeps_secret:
            self.settle()
        return self._state()

    @alone
    @one_blas_thread()
    def live_state(self) -> State:
        """The same without training anew, for who cannot: the rows are out of reach.

        What has left since the last time can be made out in it: of one row that did, the kept gradient has
        the direction.
        """
        columns = [column.folded() for column in self.columns]
        self.predictor.put(columns, self.predictor.out.drawn)
        return self._state()

    def _state(self) -> State:
        state = super().state()
        saved = [column.state() for column in self.columns]
        for k, column in enumerate(saved):
            state.arrays |= {f"column{k}.{key}": array for key, array in column.arrays.items()}
        state.values["columns"] = [column.values for column in saved]
        state.values |= self.scheme.values(self)
        return state

    @read_as("the state of a certified linear model")
    def load_state(self, state: State, x: RowOperations, y: NDArray[np.int64] | None) -> None:
        """Continue from ``state`` with the rows and labels that ``fit`` was given; see ``LinearModel``.

        The gradient is measured once over the rows that stay, each column's: what is above the bound that was
        recorded is not taken over. With rows out of reach (``y`` None) the state can only agree with itself.

        Raises:
            DataError: A bound does not hold, or the state is not one that this method wrote.
            InvalidValue: A value in it is not allowed.
        """
        # of a release it must be there: without it the model inside would be out
        drawn = state.arrays["drawn"] if self.keeps_secret else None
        super().load_state(state, x, cast("Any", y))
        opened, saved = self.scheme.opened(self, state.values), state.values["columns"]
        # the first versions kept the columns of classes without rows
        kept = range(len(saved)) if "class_places" in state.values else self.predictor.out.classes.columns
        columns = []
        for k, column in zip(kept, self.predictor.columns, strict=True):
            with of_file(f"column {k}"):
                own = State(under(state.arrays, f"column{k}."), saved[k])
                columns.append(self._kind.loaded(column, opened, own))
                if y is not None:
                    columns[-1].require_held()
        self.predictor.put(columns, drawn)
        self.scheme.require_sound(self)

    def require_served(self, outcomes: Mapping[str, int]) -> None:
        """Refuse a loaded state with other releases, or retrains, than came of its requests."""
        self.scheme.require_served(self, outcomes)

    @property
    def _kind(self) -> type[CertifiedColumn]:
        return RowlessColumn if isinstance(self.scheme, Rowless) else CertifiedColumn

    @one_blas_thread()
    def settle(self) -> None:
        """Train anew on the rows that stay, where some have left since."""
        if not self.predictor.is_settled:
            self.scheme.settle(self)
