"""Certified removal by Newton steps (Guo et al., ICML 2020); cheaper updates, tighter certificates."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from expunge.certificate import CERTIFICATES, Account, Guarantee, StepFacts
from expunge.certificate.guarantee import PERTURBATIONS
from expunge.errors import (
    InvalidValue,
    require_choice,
    require_count,
    require_positive,
    require_probability,
)
from expunge.linear.factor import Factor
from expunge.linear.logistic import LogisticProblem, spectral_norm, weighted_gram
from expunge.linear.newton import build_factor, train
from expunge.linear.parallel import one_blas_thread
from expunge.linear.removal import UPDATES, Step, correct, depart
from expunge.linear.rows import Array, Rows
from expunge.seeds import stream
from expunge.unlearners.base import Outcome, State
from expunge.unlearners.linear import LinearModel

POLICIES = ("retrain", "refuse")


@dataclass(frozen=True)
class _Proposal:
    """A model that would be released if its account fits the budget."""

    w: Array
    gradient: Array | None
    factor: Factor | None
    account: Account
    drift: float


class Newton(LinearModel):
    """Removal-enabled logistic regression: every release carries a bound on its gradient residual.

    Args:
        lam: Regularisation per example.
        std: Standard deviation of the perturbation b of the summed loss.
        epsilon: Guarantee, with ``delta``; see ``Guarantee``.
        delta: In (0, 1); 0 with ``perturbation=pure_eps``.
        certificate: ``worst_case``, ``data_dependent``, ``third_order`` or ``measured``.
        update: ``fresh``, ``frozen`` or ``corrected``; see ``expunge.linear.removal``.
        at_limit: ``retrain`` (with a fresh b) or ``refuse`` when the bound would pass the budget.
        perturbation: ``gaussian`` or ``pure_eps``.
        anchor: Replace the accumulated bound by the measured residual every this many requests, and before
            giving up at the limit; 0 never.
        correct_to: ``corrected`` steps until the residual is at most this share of the budget; ``frozen``
            rebuilds its Hessian whenever inexact solves have cost this share.
        name: What the run files call it.
        tol: Training stops at ||grad||_2 < tol.
        max_iter: Newton steps at most in training.
    """

    def __init__(
        self,
        lam: float = 1e-3,
        std: float = 10.0,
        epsilon: float = 1.0,
        delta: float = 1e-4,
        certificate: str = "data_dependent",
        update: str = "fresh",
        at_limit: str = "retrain",
        perturbation: str = "gaussian",
        anchor: int = 0,
        correct_to: float = 0.01,
        name: str = "newton",
        tol: float = 1e-8,
        max_iter: int = 200,
    ) -> None:
        super().__init__(lam, tol, max_iter)
        self.std = require_positive("std", std)
        self.epsilon = require_positive("epsilon", epsilon)
        self.perturbation = require_choice("perturbation", perturbation, PERTURBATIONS)
        self.delta = delta if perturbation == "pure_eps" else require_probability("delta", delta)
        self.certificate = require_choice("certificate", certificate, CERTIFICATES)
        self.update = require_choice("update", update, UPDATES)
        self.at_limit = require_choice("at_limit", at_limit, POLICIES)
        self.anchor = require_count("anchor", anchor, least=0)
        self.correct_to = require_probability("correct_to", correct_to)
        self.name = name
        Guarantee(self.epsilon, self.delta, self.std, 1, self.perturbation)  # refuse what can't hold, early

    # -- training ---------------------------------------------------------------------------------------

    @one_blas_thread()
    def fit(self, x: Rows, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train, and open the account at the optimiser's own leftover.

        Args:
            x: Rows with ||x_i|| <= 1.
            y: (n,) labels of two classes.
            seed: Seed of b; None draws one from the operating system. It must stay as secret as b.
        """
        self._secret = secrets.randbits(64) if seed is None else seed
        self.guarantee = Guarantee(self.epsilon, self.delta, self.std, x.dim, self.perturbation)
        problem = self._encode(x, y, np.zeros(x.dim))
        self._served = 0
        self._learn(problem, epoch=0)

    def _learn(self, problem: LogisticProblem, epoch: int) -> None:
        """Train from scratch with a fresh b; nothing changes if the result could not be certified."""
        problem = replace(problem, b=self.guarantee.draw(stream(self._secret, "perturbation", epoch)))
        gram = weighted_gram(problem.rows) if self.certificate in ("data_dependent", "third_order") else None
        start = None
        if gram is not None:  # it is also four times the loss's Hessian at zero
            start = Factor.of(gram / 4 + problem.lam * problem.n * np.eye(problem.rows.dim))
        fit = train(problem, self.tol, self.max_iter, factor=start)
        leftover = fit.gradient_norm + problem.rounding(fit.w)
        account = Account(self.guarantee, self.certificate, leftover, epoch)
        if not account.within_budget:
            least = self.std * leftover / self.guarantee.budget
            raise InvalidValue(
                "std", self.std, f"at least {least:.3g} here: training leaves a residual of {leftover:.3g}"
            )
        self.problem, self.w, self.account, self.fit_report = problem, fit.w, account, fit
        self.spectral = np.inf if gram is None else spectral_norm(gram, problem.n)
        self._measured_last: Array | None = fit.gradient
        self._gradient: Array | None = fit.gradient if self.update == "corrected" else None
        # Later removals start from the optimum, so the kept Hessian is built there.
        self._factor = None if self.update == "fresh" else build_factor(problem, fit.w)
        self._drift = 0.0

    # -- removal ----------------------------------------------------------------------------------------

    @one_blas_thread()
    def remove(self, rows: Sequence[int]) -> Outcome:
        """Remove training rows from the model, in one release.

        Raises:
            InvalidValue: A row is out of range, named twice or gone already, or no row would stay.
        """
        index = self._checked(rows)
        after = self.problem.without(index)
        self._served += 1
        proposal = (self._corrected if self.update == "corrected" else self._stepped)(after, index)
        if self.anchor and (self._served % self.anchor == 0 or not proposal.account.within_budget):
            proposal = self._anchored(after, proposal)
        if proposal.account.within_budget:
            self._release(after, proposal)
            return self._outcome("removed", index)
        reason = (
            f"residual bound {proposal.account.beta:.4g} would pass the budget {self.guarantee.budget:.4g}"
        )
        if self.at_limit == "refuse":
            return self._outcome("refused", index, reason)
        try:
            self._learn(after, self.account.epoch + 1)
        except InvalidValue as error:
            return self._outcome("refused", index, f"{reason}, and so would a retrained model ({error})")
        return self._outcome("retrained", index, reason)

    def _stepped(self, after: LogisticProblem, index: NDArray[np.int64]) -> _Proposal:
        """One Newton step for the removed gradient (``fresh`` and ``frozen``)."""
        if self.update == "fresh":
            factor = Factor.of(after.hessian(self.w))
        else:
            assert self._factor is not None
            factor = depart(self._factor, self.problem, self.w, index)
        removed = self.problem.removed_gradient(self.w, index)
        step = Step(self.w, factor.solve(removed), removed)
        if not self.account.needs_facts:
            return self._measured(after, step.w, factor)
        account = self.account.after(self._facts(after, step, aims_at_residual=False))
        drift = self._drift + account.solve_error - self.account.solve_error
        return _Proposal(step.w, None, factor, account, drift)

    def _corrected(self, after: LogisticProblem, index: NDArray[np.int64]) -> _Proposal:
        """Steps for the removed gradient and the measured residual together."""
        assert self._factor is not None
        assert self._gradient is not None
        gradient = self._gradient - self.problem.removed_gradient(self.w, index)
        factor = depart(self._factor, self.problem, self.w, index)
        target = self.correct_to * self.guarantee.budget
        found = correct(after, self.w, gradient, factor, target, int(self._drift))
        rounding = after.rounding(found.w)
        measured = replace(self.account, beta=float(np.linalg.norm(found.gradient)) + rounding)
        if self.account.needs_facts and found.last is not None:
            measured = self.account.after(self._facts(after, found.last, aims_at_residual=True))
        return _Proposal(found.w, found.gradient, found.factor, measured, found.extra_steps)

    def _measured(self, after: LogisticProblem, w: Array, factor: Factor) -> _Proposal:
        gradient = after.gradient(w)
        beta = float(np.linalg.norm(gradient)) + after.rounding(w)
        drift = self._drift + max(0.0, beta - self.account.beta)
        return _Proposal(w, gradient, factor, replace(self.account, beta=beta), drift)

    def _anchored(self, after: LogisticProblem, proposal: _Proposal) -> _Proposal:
        gradient = after.gradient(proposal.w) if proposal.gradient is None else proposal.gradient
        account = proposal.account.anchored(float(np.linalg.norm(gradient)), after.rounding(proposal.w))
        return replace(proposal, gradient=gradient, account=account)

    def _facts(self, after: LogisticProblem, step: Step, aims_at_residual: bool) -> StepFacts:
        along, scores, squared = after.curvature_along(step.origin, step.step)
        corrects = step.origin is not self.w  # a later step of one request: the rows have left already
        return StepFacts(
            removed=0 if corrects else self.problem.n - after.n,
            retained=after.n,
            lam=self.lam,
            residual=float(np.linalg.norm(step.rhs)) if corrects else self.account.beta,
            aims_at_residual=aims_at_residual,
            perturbation_norm=float(np.linalg.norm(after.b)),
            spectral=self.spectral,
            step_norm=float(np.linalg.norm(step.step)),
            scores_norm=scores,
            scores_squared_norm=squared,
            tau=float(np.linalg.norm(along - step.rhs)),
            rounding=after.rounding(step.origin) + after.rounding(step.w),
        )

    def _release(self, after: LogisticProblem, proposal: _Proposal) -> None:
        self.problem, self.w, self.account = after, proposal.w, proposal.account
        self._measured_last = proposal.gradient
        if self.update == "corrected":
            self._gradient = proposal.gradient
        self._factor, self._drift = proposal.factor, proposal.drift
        if self.update == "frozen" and self._drift > self.correct_to * self.guarantee.budget:
            self._factor, self._drift = Factor.of(after.hessian(self.w)), 0.0
        if self.update == "fresh":
            self._factor = None

    def _outcome(self, outcome: str, index: NDArray[np.int64], reason: str | None = None) -> Outcome:
        known = None if outcome == "refused" else self._measured_last
        return Outcome(
            outcome,
            tuple(index.tolist()),
            reason,
            residual_bound=self.account.beta,
            residual_measured=None if known is None else float(np.linalg.norm(known)),
            budget=self.guarantee.budget,
            epsilon_spent=self.account.epsilon_spent,
        )

    # -- saving -----------------------------------------------------------------------------------------

    def state(self) -> State:
        """Model, account and kept factor: a loaded model goes on removing exactly where this one stands.

        It holds b and the seed of later perturbations, which must stay secret.
        """
        state = super().state()
        if self._gradient is not None:
            state.arrays["gradient"] = self._gradient
        state.values |= {
            "beta": self.account.beta,
            "epoch": self.account.epoch,
            "solve_error": self.account.solve_error,
            "spectral": None if np.isinf(self.spectral) else self.spectral,
            "secret": self._secret,
            "served": self._served,
            "drift": self._drift,
        }
        if self._factor is not None:
            state.values["shift"] = self._factor.shift
            state.arrays |= {
                "factor_inverse": self._factor.inverse,
                "factor_v": self._factor.v,
                "factor_core": self._factor.core,
            }
        return state

    def load_state(self, state: State, x: Rows, y: NDArray[np.int64]) -> None:
        """Continue from ``state`` with the rows and labels that ``fit`` was given."""
        super().load_state(state, x, y)
        arrays, values = state.arrays, state.values
        self.guarantee = Guarantee(self.epsilon, self.delta, self.std, x.dim, self.perturbation)
        self.account = Account(
            self.guarantee, self.certificate, values["beta"], values["epoch"], values["solve_error"]
        )
        self.spectral = np.inf if values["spectral"] is None else values["spectral"]
        self._secret, self._served, self._drift = values["secret"], values["served"], values["drift"]
        self._gradient = arrays.get("gradient")
        self._measured_last = None
        self._factor = None
        if "factor_inverse" in arrays:
            inverse = np.asfortranarray(arrays["factor_inverse"])
            self._factor = Factor(inverse, arrays["factor_v"], arrays["factor_core"], values["shift"])
