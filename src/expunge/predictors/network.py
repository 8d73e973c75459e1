"""A network as a model: training, prediction, row bookkeeping, saving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from expunge.core.checks import require_from_zero
from expunge.core.files import State, under
from expunge.core.read_back import ids_of
from expunge.core.seeds import seed_again, torch_draws_from, torch_generator
from expunge.core.threads import alone
from expunge.curvature.gradients import cross_entropy, evaluating, example_losses, mean_gradient, norm
from expunge.curvature.losses import log_odds
from expunge.curvature.watching import duplicate
from expunge.datasets.images import Examples, Images
from expunge.models import activation_maps, head_inputs
from expunge.models.weights import require_same_form
from expunge.predictors.base import Predictor
from expunge.training import History, Learner

PUBLIC_CLASSES = (
    "the list of classes is public: a network keeps the output of a class, or person, whose rows have all "
    "been removed, and who sees it learns that they were once there"
)
_FEW_ROWS, _FEW_CLASSES = 8, 3
_REFIT, _REFERENCE = 5, 6  # which of the streams of training
_IGNORANT = 9  # which of the streams of random numbers of training; another than that of first weights
_MODULE, _HISTORY = "module.", "history."


class NetworkModel(Predictor):
    """A network trained by stochastic gradients.

    Updates change its weights where they are: what several threads ask of it comes one after the other. A
    class keeps its output when its last row leaves, and may still be predicted: see ``PUBLIC_CLASSES``.

    Args:
        learner: Architecture, training, device.
    """

    kind = "network"
    not_covered = PUBLIC_CLASSES
    x: Images

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    # -- training ---------------------------------------------------------------------------------------

    def begin(self, x: Any, y: NDArray[np.int64], seed: int | None) -> None:
        """Take over the training data."""
        super().begin(Images.of(x), y, seed)
        self.codes = np.searchsorted(self.classes_, y).astype(np.int64)

    def rehearse(self, x: Any, y: NDArray[np.int64]) -> None:
        """Take a step with a network of the kind, which is thrown away."""
        self.learner.rehearse(Images.of(x), len(np.unique(y)))

    def small(self, x: Any, y: NDArray[np.int64]) -> tuple[NetworkModel, Images, NDArray[np.int64]] | None:
        """The network from random weights, for an epoch; None if it would be compiled for so few rows."""
        images, classes = Images.of(x), len(np.unique(y))
        if self.learner.compiles(images.shape, classes):
            return None
        few = replace(images, raw=images.raw[:_FEW_ROWS])
        return self.untrained(self.learner.short()), few, np.arange(len(few)) % min(classes, _FEW_CLASSES)

    @alone
    def fit(self, x: Any, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train on all rows, or take the network from the cache if it has been trained before."""
        self.begin(x, y, seed)
        self._learn(self.there.here)

    def _learn(self, rows: Any, reuse: bool = True, again: Sequence[int] = ()) -> None:
        seed = self.seed_again(again)
        trained = self.learner.train(self.x, self.codes, rows, len(self.classes_), seed, reuse=reuse)
        self.module, self.history, self.seconds_fit = trained.module, trained.history, trained.seconds

    def seed_again(self, again: Sequence[int]) -> int:
        """What a training draws from: the seed, or for each ``again`` one of its own."""
        return seed_again(self.seed, "training", _REFIT, again=again)

    def untrained(self, learner: Learner) -> NetworkModel:
        """Another of the same settings, which this learner will train."""
        return NetworkModel(learner)

    def built(self) -> nn.Module:
        """The network as it was before any training."""
        return self.learner.build(self.x.shape, len(self.classes_), self.seed)

    def training(self, rows: Any) -> Examples:
        """The training rows ``rows``, whether or not they have been removed."""
        return self._examples(self.x, self.codes, rows)

    def _examples(self, x: Images, codes: NDArray[np.int64], rows: Any) -> Examples:
        dtype = next(self.module.parameters()).dtype
        return Examples(x, torch.from_numpy(codes), rows, dtype=dtype, device=self.learner.device)

    # -- removal ----------------------------------------------------------------------------------------

    def without(self, index: NDArray[np.int64]) -> Examples:
        """The training rows that stay without these."""
        return self.training(self.staying(index))

    @alone
    def refit(self, index: NDArray[np.int64]) -> None:
        """Train again from the first weights, with the same seed; never taken from the cache.

        In another ``repeat`` it is another seed's first weights and order: all of retraining's own chance.
        """
        self._learn(self.staying(index), reuse=False, again=self.again)
        self.leave(index)

    @alone
    def is_finite(self) -> bool:
        """Whether every number of the network's state is one."""
        return all(bool(torch.isfinite(p).all()) for p in self.module.state_dict().values())

    @alone
    def snapshot(self) -> Callable[[], None]:
        """Keep the network's whole state; calling the result puts it back."""
        saved = {name: value.clone() for name, value in self.module.state_dict().items()}

        def put_back() -> None:
            self.module.load_state_dict(saved)

        return put_back

    # -- what the network says --------------------------------------------------------------------------

    @alone
    def predict(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Labels of the inputs ``rows`` of ``x`` (None: all), (m,)."""
        with evaluating(self.module), torch.no_grad():
            found = [self.module(batch).argmax(dim=1).cpu() for batch, _ in self._unlabelled(x, rows)]
        return self.classes_[torch.cat(found).numpy() if found else np.zeros(0, dtype=np.int64)]

    @alone
    def probabilities(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Softmax of the outputs, (m, K) float64, for the inputs ``rows`` of ``x`` (None: all)."""
        examples = self._unlabelled(x, rows)
        with evaluating(self.module), torch.no_grad():
            found = [self.module(batch).double().softmax(dim=1).cpu() for batch, _ in examples]
        return torch.cat(found).numpy() if found else np.zeros((0, len(self.classes_)))

    @alone
    def log_odds(self, x: Any, y: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """``log((1 - p_i) / p_i)`` of the own labels of some rows, (m,); see ``Graded``."""
        codes = np.searchsorted(self.classes_, y).astype(np.int64)
        with evaluating(self.module), torch.no_grad():
            found = [
                log_odds(self.module(batch).double(), own).cpu()
                for batch, own in self._examples(Images.of(x), codes, rows)
            ]
        return np.asarray(torch.cat([torch.zeros(0, dtype=torch.float64), *found]).numpy())

    @alone
    def embeddings(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """What the identity head, the last linear layer, is given, (m, d), for the inputs ``rows`` of ``x``.

        In evaluation mode; ``rows`` None is all of them.

        Raises:
            InvalidValue: The network has no linear layer.
        """
        return np.asarray(head_inputs(self.module, self._unlabelled(x, rows)).numpy())

    @alone
    def activation_maps(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64] | None:
        """Energy of the last feature maps at each position, (m, h, w); see ``expunge.models.feature_maps``.

        In evaluation mode; ``rows`` None is all of them. None for a network without convolutions.
        """
        maps = activation_maps(self.module, self._unlabelled(x, rows))
        return None if maps is None else np.asarray(maps.numpy())

    def _unlabelled(self, x: Any, rows: NDArray[np.int64] | None = None) -> Examples:
        inputs = Images.of(x)
        chosen = np.arange(len(inputs)) if rows is None else rows
        return self._examples(inputs, np.zeros(len(inputs), dtype=np.int64), chosen)

    @alone
    def losses(self, x: Any, y: NDArray[np.int64], rows: Any) -> NDArray[np.float64]:
        """Cross-entropy of each of these training rows, (m,)."""
        return np.asarray(example_losses(self.module, cross_entropy, self.training(rows)).numpy())

    @alone
    def gradient_norm(self, x: Any, y: NDArray[np.int64], rows: Any) -> float:
        """2-norm of the gradient of the mean cross-entropy of these training rows."""
        return norm(mean_gradient(self.module, cross_entropy, self.training(rows)).values())

    @alone
    def mean_loss(
        self, x: Any, y: NDArray[np.int64], rows: Any
    ) -> tuple[Tensor, Callable[[Tensor], tuple[float, Tensor]]]:
        """The mean cross-entropy of these training rows as a function of all parameters that are trained.

        In evaluation mode: statistics of BatchNorm stay as they are.
        """
        module, examples = duplicate(self.module), self.training(rows)
        parameters = [p for p in module.parameters() if p.requires_grad]

        def loss_and_gradient(w: Tensor) -> tuple[float, Tensor]:
            vector_to_parameters(w, parameters)
            loss = float(example_losses(module, cross_entropy, examples).mean())
            return loss, parameters_to_vector(mean_gradient(module, cross_entropy, examples).values())

        return parameters_to_vector(parameters).detach().clone(), loss_and_gradient

    def retrained(self, x: Any, y: NDArray[np.int64], rows: Any) -> NetworkModel:
        """Return the same network trained from scratch, with the same seed, on ``rows`` alone."""
        return self.reference(x, y, rows)

    def reference(self, x: Any, y: NDArray[np.int64], rows: Any, again: Sequence[int] = ()) -> NetworkModel:
        """The same, with a seed of its own for each ``again``."""
        other = self.untrained(self.learner)
        other.begin(x, y, seed_again(self.seed, "training", _REFERENCE, again=again))
        other._learn(rows)
        return other

    def ignorant(self, draw: int, again: Sequence[int] = ()) -> NetworkModel:
        """Number ``draw`` of the networks of this kind with random weights, whatever file these come from.

        Each is another than the one that training begins with, and none uses up random numbers of others.
        Those of each ``again`` are others.
        """
        learner, other = self.learner, self.untrained(self.learner)
        other.begin(self.x, self.y, self.seed)
        with torch_draws_from(torch_generator(self.seed, "training", _IGNORANT, draw, again=again)):
            module = learner.architecture.build(self.x.shape, len(self.classes_))
        other.module, other.history = module.to(learner.device).eval(), None
        return other

    # -- saving -----------------------------------------------------------------------------------------

    @alone
    def model(self) -> dict[str, NDArray[Any]]:
        """The network's state by the names that torch gives it."""
        return {name: _array(value) for name, value in self.module.state_dict().items()}

    @alone
    def state(self) -> State:
        """The network, what training recorded, and which rows have left."""
        arrays = {_MODULE + name: value for name, value in self.model().items()}
        if self.history is not None:
            arrays |= {_HISTORY + name: _array(value) for name, value in self.history.tensors().items()}
        arrays["removed_rows"] = self.there.gone
        return State(arrays, {"seed": self.seed, "seconds_fit": self.seconds_fit})

    @alone
    def load_state(self, state: State, x: Any, y: NDArray[np.int64]) -> None:
        """Continue from ``state`` with the training data that ``fit`` was given.

        Nothing but the file's digest says that the numbers are those of this training: it has no bound.

        Raises:
            DataError: The state is that of another architecture or of other rows; nothing is loaded.
        """
        gone = ids_of(state.arrays, "removed_rows", len(y))
        self.begin(x, y, state.values["seed"])
        module = self.built()
        require_same_form(module, found := _under(state, _MODULE))
        module.load_state_dict(found)
        recorded = _under(state, _HISTORY)
        self.module = module
        self.history = History.of(recorded, self.learner.device) if recorded else None
        self.leave(gone)
        seconds = state.values["seconds_fit"]
        self.seconds_fit = None if seconds is None else require_from_zero("seconds_fit", seconds)


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.asarray(tensor.detach().cpu().numpy()).copy()


def _under(state: State, prefix: str) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value) for name, value in under(state.arrays, prefix).items()}
