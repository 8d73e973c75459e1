"""Certified removal from a network: into a small ball, noisy steps on the rows that stay, then repair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.certificate.composition import Claim
from expunge.certificate.indistinguishable import NOISES
from expunge.certificate.iteration import IterationAccount, IterationGuarantee
from expunge.core.checks import require_choice, require_count, require_probability, require_switch
from expunge.core.columns import Column
from expunge.core.errors import DataError, InvalidValue
from expunge.core.files import State
from expunge.core.read_back import read_as, same
from expunge.core.seeds import Noise, SystemNoise, stream
from expunge.core.threads import alone
from expunge.curvature.gradients import cross_entropy
from expunge.predictors.network import NetworkModel
from expunge.training import Training
from expunge.unlearners.base import Outcome
from expunge.unlearners.descent import InPlace
from expunge.unlearners.invariants import require_outcome
from expunge.unlearners.noisy_steps import Array, flat, gradient, passes, put, trained
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Rows, Tuning

WEIGHTS = "what the weights that training began from (model.weights) have learned of the rows, if any"


class NoisyFinetune(InPlace):
    """Noisy fine-tuning (Koloskova et al., *Certified Unlearning for Neural Networks*, 2025), proved anew.

    All trained parameters together, in float64: ``x_0`` is their projection to the ball of ``radius`` around
    0, and ``x <- x - lr (clip(g) + weight_decay x) + N(0, s^2 I)``, ``steps`` times, g the gradient of the
    mean cross-entropy of a batch of rows that stay, cut to the length ``clip``. What comes out is
    (epsilon, delta)-alike, whichever network it began from, one that was never trained on the rows among
    them: ``expunge.certificate.iteration``. The noise follows from the promise. ``repair_epochs`` passes
    without noise come after: whatever is done to what is out already, without the rows, takes nothing back.

    Nothing is decided by looking at the model: there is no guard, and a request is refused for the count of
    releases alone. Batches are drawn by the seed, the request's number and the rows that stay.

    Args:
        model: The network; without statistics that are no weights (BatchNorm).
        epsilon: With ``delta``, what all releases together are to keep to.
        delta: In (0, 1).
        releases: Models that may leave, the trained one first.
        radius: C_0.
        clip: C_1.
        steps: T.
        lr: Of the noisy steps.
        weight_decay: Of the noisy steps; ``lr weight_decay <= 1``.
        batch_size: Rows of a step.
        noise: ``lattice`` (exact, from the operating system) or ``float``; None: ``float`` with a seed.
        repair_epochs: Passes over the rows that stay afterwards, by SGD as the network is trained.
        repair_lr: Its learning rate at the beginning; it falls to 0.
        name: What the run files call the method.
    """

    role = "certified"
    keeps_secret = True
    COLUMNS = {
        "noise_gathered": Column(
            "noise gathered",
            "",
            "standard deviation of what the noise of all steps of a request leaves in one weight",
            over_run="served",
            shown=False,
        ),
        "steps_counted": Column(
            "steps counted",
            "",
            "noisy steps after which nothing more is hidden: more of them only cost",
            "count",
            over_run="served",
            shown=False,
        ),
    }
    search_space = {
        "radius": Range(1e-4, 1.0, log=True),
        "clip": Range(1e-3, 10.0, log=True),
        "steps": Range(1, 100),
        "lr": Range(1e-4, 0.1, log=True),
        "repair_epochs": Range(1, 10),
        "repair_lr": Range(0.01, 0.5, log=True),
    }
    guarantee: IterationGuarantee
    released = 0

    def __init__(
        self,
        model: NetworkModel,
        epsilon: float = 1.0,
        delta: float = 1e-5,
        releases: int = 2,
        radius: float = 0.003,
        clip: float = 1.0,
        steps: int = 10,
        lr: float = 1e-4,
        weight_decay: float = 0.0,
        batch_size: int = 128,
        noise: str | None = None,
        repair_epochs: int = 5,
        repair_lr: float = 0.1,
        name: str = "noisy_finetune",
    ) -> None:
        require_count("steps", steps)
        how, own = model.learner.training, Training("sgd", steps, lr, 0.0, weight_decay, batch_size)
        super().__init__(model, name, None, own)
        self.epsilon, self.delta = epsilon, require_probability("delta", delta)
        self.releases, self.radius, self.clip, self.steps = releases, radius, clip, steps
        self.lr, self.weight_decay = lr, weight_decay
        self.noise = None if noise is None else require_choice("noise", noise, NOISES)
        require_count("repair_epochs", repair_epochs, least=0)
        decay = how.weight_decay
        try:
            self.repair = Training("sgd", repair_epochs, repair_lr, 0.9, decay, batch_size, "cosine")
        except InvalidValue as error:
            raise InvalidValue("repair_lr", repair_lr, error.allowed) from None
        self._planned(1, self.noise or "float")  # what is wrong with the settings is said at once

    # -- training ---------------------------------------------------------------------------------------

    def fit(self, x: Any, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train on all rows; what training records besides the weights is not kept: no noise covers it."""
        super().fit(x, y, seed)
        self._begun()
        self.released = 1

    def _begun(self) -> None:
        """Plan the noise for the network that is there.

        Raises:
            InvalidValue: It has statistics that are no weights.
        """
        model = self.predictor
        if buffers := [name for name, _ in model.module.named_buffers()]:
            allowed = (
                "a network without such with a certificate: they are made of all rows, and have no noise"
            )
            raise InvalidValue("model", f"a network with the statistics {buffers[0]}", allowed)
        model.history = None
        noise = self.noise or ("float" if model.seeded else "lattice")
        self.guarantee = self._planned(sum(p.numel() for p in trained(model.module)), noise)

    def _planned(self, dim: int, noise: str) -> IterationGuarantee:
        return IterationGuarantee.planned(
            *(self.epsilon, self.delta, self.releases, noise, dim),
            radius=self.radius,
            clip=self.clip,
            lr=self.lr,
            decay=self.weight_decay,
            steps=self.steps,
        )

    # -- removal ----------------------------------------------------------------------------------------

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Serve a request, or refuse it where all releases are out.

        Raises:
            InvalidValue: A row is out of range, named twice or gone already, or no row would stay.
            ScrubError: The steps cannot be taken; the network is as it was.
        """
        index = self.predictor.checked(rows)
        self.served += 1
        if self.released >= self.releases:
            reason = f"all {self.releases} releases that the noise covers are out (releases)"
            return self._outcome("refused", index, reason)
        figures = self.update(index)[0]
        self.released += 1
        self.predictor.leave(index)
        return self._outcome("removed", index, None, figures)

    def _outcome(
        self, outcome: str, index: Rows, reason: str | None, figures: dict[str, float] | None = None
    ) -> Outcome:
        covered = self.guarantee.sensitivity
        found = Outcome(
            outcome,
            tuple(index.tolist()),
            reason,
            residual_bound=covered,
            budget=covered,
            epsilon_spent=self.account.epsilon_spent,
            figures=figures or {},
        )
        return require_outcome(found, index, self.guarantee.epsilon)

    def change(self, tuning: Tuning) -> dict[str, float]:
        """The noisy steps, and the repair."""
        noise = self._source()
        x = self.guarantee.start(self.flat())
        for batch in islice(passes(tuning), self.steps):
            self.put(x)
            x = self.guarantee.noisy(self.guarantee.moved(x, gradient(tuning, batch)), noise)
        self.put(x)
        self._repair(tuning)
        found = {"noise_gathered": self.guarantee.gathered, "steps_counted": self.guarantee.counted}
        return {name: float(value) for name, value in found.items()}

    def _source(self) -> Noise:
        """What float noise of this request comes from."""
        model = self.predictor
        if not model.seeded:
            return SystemNoise()
        return stream(model.seed, "release", self.released, again=model.again)

    def _repair(self, tuning: Tuning) -> None:
        """Train on the rows that stay, without noise; where that diverges, it is left out."""
        before = self.flat()
        tuning.use(self.repair)
        for batch in tuning.batches(tuning.retain):
            tuning.step(cross_entropy(tuning.logits(batch), batch.y).mean())
        if not np.isfinite(self.flat()).all():
            self.put(before)

    def flat(self) -> Array:
        """All trained parameters, (p,) float64."""
        return flat(self.predictor.module)

    def put(self, x: Array) -> None:
        """Let the trained parameters be these, rounded to their type."""
        put(self.predictor.module, x)

    # -- what is promised -------------------------------------------------------------------------------

    @property
    def account(self) -> IterationAccount:
        """What has left, against what the noise covers."""
        return IterationAccount(self.guarantee, self.released)

    def claim(self) -> Claim:
        """What holds for whom, in words; of a run whose noise can be known, that it does not."""
        plan, besides = self.guarantee, [self.predictor.not_covered]
        if getattr(self.predictor.learner.architecture, "weights", None) is not None:
            besides.append(WEIGHTS)
        if plan.noise == "lattice":
            who = f"whoever sees all of up to {plan.releases} models and chooses requests after them"
            what = "the same noisy fine-tuning of networks that were never trained on the rows that left"
            said = f"release: {who} cannot tell them from {what}, beyond ({plan.epsilon:g}, {plan.delta:g})"
            return Claim(said, "; ".join(filter(None, besides)))
        source = "from a seed" if self.predictor.seeded else "in floating point"
        figures = f"figures only: the noise is drawn {source}; the figures are right, and protect nobody"
        return Claim(figures, "; ".join(filter(None, (figures, *besides))))

    # -- saving -----------------------------------------------------------------------------------------

    @property
    def draws_anew(self) -> bool:
        """Whether who serves a request again would release another model."""
        return self.guarantee.noise == "lattice"

    @property
    def weights_out(self) -> Array:
        """(p, 1), what is out: for whoever must not draw it again."""
        return self.flat()[:, None]

    @alone
    def put_back(self, released: Array) -> None:
        """Let these weights (p, 1) be out, which left with the last request when it was served before."""
        self.put(np.ascontiguousarray(released[:, 0]))

    @alone
    def count_released(self, count: int) -> None:
        """Count models that left besides: with requests whose records have been replaced."""
        self.released += count

    def state(self) -> State:
        """The network that is out, the noise as it was planned, and the count."""
        state = super().state()
        own = {"released": self.released, "seeded": self.predictor.seeded}
        state.values["iteration"] = {**asdict(self.guarantee), **own}
        return state

    def load_state(self, state: State, x: Any, y: NDArray[np.int64]) -> None:
        """Continue from ``state``.

        Raises:
            DataError: The noise is not that of these settings and this network.
        """
        super().load_state(state, x, y)
        with read_as(f"the state of {self.name}"):
            plan = dict(state.values["iteration"])
            released = require_count("released", plan.pop("released"))
            model = self.predictor
            model.seeded = require_switch("seeded", plan["seeded"])
            self._begun()
            for key, value in asdict(self.guarantee).items():
                same(f"iteration.{key}", plan[key], value)
            if model.there.count < model.there.size and released < 2:
                raise DataError(f"released: got {released}, and rows have left, each with a release")
            self.released = released

    def require_served(self, outcomes: Mapping[str, int]) -> None:
        """Refuse a count of releases below what was served."""
        if self.released < (least := 1 + outcomes["removed"]):
            raise DataError(f"released: got {self.released}, and the records say {least} or more")
