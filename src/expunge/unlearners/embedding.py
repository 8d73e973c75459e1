"""After a scrub: the embedding, which still knows removed persons, is refitted to the level of a stranger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from expunge.core.checks import LARGEST_SINGLE, require_count, require_positive
from expunge.core.columns import Column
from expunge.core.errors import InvalidValue
from expunge.core.seeds import torch_draws_from, torch_generator
from expunge.curvature.watching import first_input
from expunge.models.head import head_inputs, identity_head
from expunge.predictors.network import NetworkModel
from expunge.scrub import ScrubError
from expunge.training.compute import torch_threads
from expunge.unlearners.tuning import Rows, Tuning, kl_divergence

REFITS = ("embedding",)
FIGURES = {
    "stranger_auc": Column(
        "stranger's AUC",
        "",
        "verification AUC of the removed rows' pairs by untrained networks, which the last refit aimed at",
        over_run="served",
        shown=False,
    ),
    "refitted_auc": Column(
        "refitted AUC",
        "",
        "verification AUC of the removed rows' pairs after the last refit of the embedding",
        over_run="served",
        shown=False,
    ),
}

_UNTRAINED = 3  # networks that saw nobody
_OTHERS = 1000  # rows that stay which the removed ones are compared with
_PAIRS = 256  # of either kind in a step
_STEEP = 5.0  # of the softplus: differences of cosines are within [-2, 2]
_DROPOUT = 4  # which of the streams of a request

Embed = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class EmbeddingRefit:
    """More training after a scrub, while pairs of a removed person's pictures are known for that too well.

    A network that never saw somebody tells their pictures from others' better than by chance: they do look
    alike. How much so is taken from untrained networks. The ``level`` is the area under the ROC curve of the
    removed rows' pairs, same and different persons (the latter with rows that stay), by cosine of centred
    embeddings: the mean over the network as training began and, where that was with random weights, two more
    of the kind. Each step then minimises, with q the scrubbed network's softmax,

        mean_stay KL(q || p) + weight [A > level] mean_{s, d} softplus(5 (cos s - cos d)) / 5

    where s are up to 256 pairs of one removed person's rows, d as many pairs of a removed row with one that
    stays, and A is the area of these; the second term pushes while A is above the level, and then stops.
    Labels of removed rows are used for nothing but whose pairs are whose. No retrained network is needed, and
    no certificate comes of it.

    Attributes:
        epochs: Passes over the rows that stay.
        lr: Learning rate at the beginning; None: that of the network's training.
        weight: Of the second term.
    """

    epochs: int = 5
    lr: float | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        require_count("refit_epochs", self.epochs)
        if self.lr is not None:
            require_positive("refit_lr", self.lr, most=LARGEST_SINGLE)
        require_positive("refit_weight", self.weight, most=LARGEST_SINGLE)

    def __call__(self, model: NetworkModel, index: Rows, served: int) -> dict[str, float]:
        """Refit the network where it is for the rows ``index``; return ``FIGURES``, none without a pair.

        Raises:
            ScrubError: The network has no linear layer, or cannot be trained on a batch; the caller puts
                it back.
        """
        learner, module = model.learner, model.module
        gpus = [learner.device] if learner.device.type == "cuda" else []
        draws = torch_generator(model.seed, "scrub", _DROPOUT, served, again=model.again)
        training = learner.training
        training = replace(training, epochs=self.epochs, lr=self.lr or training.lr, max_batches=None)
        try:
            with torch_threads(learner.threads), torch_draws_from(draws, gpus):
                return self._refit(Tuning(model, index, training, served))
        except InvalidValue as error:
            raise ScrubError(f"refit=embedding: {error}") from None
        finally:
            module.eval().zero_grad(set_to_none=True)

    def _refit(self, tuning: Tuning) -> dict[str, float]:
        model, own = tuning.model, tuning.forget
        others = tuning.retain
        if len(others) > _OTHERS:
            others = np.sort(tuning.rng.choice(others, size=_OTHERS, replace=False))
        level = stranger_level(model, own, others)
        if level is None:
            return {}
        teacher = tuning.teacher()
        for batch in tuning.batches(tuning.retain):
            with torch.no_grad():
                q = teacher(batch.x).double().softmax(dim=1)
            loss = kl_divergence(q, tuning.logits(batch)).mean()
            rows = own
            if len(own) > tuning.training.batch_size:
                rows = tuning.rng.choice(own, size=tuning.training.batch_size, replace=False)
            excess = self._excess(tuning, tuning.take(rows).x, model.codes[rows], batch.x, level)
            tuning.step(loss if excess is None else loss + self.weight * excess)
        left = pair_auc(*_both(model, model.module, own, others), model.codes[own])
        return {} if left is None else {"stranger_auc": level, "refitted_auc": left}

    def _excess(self, tuning: Tuning, own: Tensor, y: Rows, stay: Tensor, level: float) -> Tensor | None:
        """The second term of one step; None where there is no pair, or the level has been reached."""
        i, j = np.nonzero(np.triu(y[:, None] == y, 1))
        if not len(i):
            return None
        h = normalize(embedded(tuning, torch.cat([own, stay])), dim=1, eps=1e-12)
        a, b = h[: len(own)], h[len(own) :]
        chosen = tuning.rng.integers(len(i), size=_PAIRS) if len(i) > _PAIRS else np.arange(len(i))
        same = (a[i[chosen]] * a[j[chosen]]).sum(dim=1)
        k, r = (tuning.rng.integers(len(part), size=_PAIRS) for part in (a, b))
        different = (a[k] * b[r]).sum(dim=1)
        if area(same.detach(), different.detach()) <= level:
            return None
        return softplus(_STEEP * (same[:, None] - different)).mean() / _STEEP


def embedded(tuning: Tuning, x: Tensor) -> Tensor:
    """What the identity head is given, in evaluation mode and with derivatives, (m, d) float64."""
    seen: list[Tensor] = []
    head = identity_head(tuning.module)[1]
    with head.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(first_input(args, kwargs)), with_kwargs=True
    ):
        tuning.outputs(x, train=False)
    return seen[-1].double()


def stranger_level(model: NetworkModel, own: Rows, others: Rows) -> float | None:
    """Verification AUC of the rows ``own`` by networks that saw nobody; see ``EmbeddingRefit``.

    None where no two of them are of one person.
    """
    modules: list[nn.Module] = [model.built()]
    if getattr(model.learner.architecture, "weights", None) is None:
        modules += [model.ignorant(draw).module for draw in range(1, _UNTRAINED)]
    found = []
    for module in modules:
        h, o = _both(model, module, own, others)
        middle = o.mean(dim=0)
        found.append(pair_auc(h - middle, o - middle, model.codes[own]))
    return None if found[0] is None else float(np.mean([f for f in found if f is not None]))


def _both(model: NetworkModel, module: nn.Module, own: Rows, others: Rows) -> tuple[Tensor, Tensor]:
    own_inputs, other_inputs = model.training(own), model.training(others)
    return head_inputs(module, own_inputs), head_inputs(module, other_inputs)


def pair_auc(h: Tensor, others: Tensor, y: NDArray[np.int64]) -> float | None:
    """Chance that two rows of one person are nearer (cosine) than a row and one of ``others``.

    Equal cosines count one half, and so does a row of zeros with everything: its cosine is 0.

    Args:
        h: (m, d) embeddings.
        others: (r, d) embeddings of other persons' rows.
        y: (m,) whose each row of ``h`` is.

    Returns:
        None where no two rows of ``h`` are of one person.
    """
    h, others = (normalize(part, dim=1, eps=1e-12) for part in (h, others))
    i, j = np.nonzero(np.triu(y[:, None] == y, 1))
    if not len(i) or not len(others):
        return None
    return area((h[i] * h[j]).sum(dim=1), (h @ others.T).flatten())


def area(larger: Tensor, smaller: Tensor) -> float:
    """Chance that one of (k,) is above one of (l,), ties one half: the area under the ROC curve."""
    order = smaller.sort().values
    below = torch.searchsorted(order, larger.contiguous(), side="left")
    at_most = torch.searchsorted(order, larger.contiguous(), side="right")
    return float((below + at_most).double().mean()) / (2 * len(order))
