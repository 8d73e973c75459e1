"""A network in shards, each trained slice by slice: what has seen a row can be trained again without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expunge.core.checks import require_choice, require_count
from expunge.core.errors import InvalidValue
from expunge.core.files import State, under
from expunge.core.row_ids import row_ids
from expunge.core.seeds import stream
from expunge.core.threads import alone
from expunge.models import activation_maps, head_inputs
from expunge.models.ensemble import VOTES, Ensemble
from expunge.models.weights import require_same_form
from expunge.predictors.network import NetworkModel
from expunge.training import Learner

Weights = Mapping[str, Tensor]

_MEMBER, _PLACE = 3, 4  # which of the streams of training; those below are of each network's own
_FEW = 2  # shards, and slices, of a rehearsal
_SLICE = "slice."


@dataclass(frozen=True)
class Shard:
    """What one shard's training leaves.

    Attributes:
        module: Its network.
        stored: Its weights after each slice but the last.
        heard: Whether it has a row, and so a vote.
        seconds: Time of the training.
    """

    module: nn.Module
    stored: tuple[Weights, ...]
    heard: bool
    seconds: float


class ShardedNetwork(NetworkModel):
    """An ensemble of networks, each of which has seen the rows of its shard alone (SISA).

    Bourtoule et al., *Machine Unlearning*, IEEE S&P 2021. The seed alone, and the number of rows, say which
    shard and slice a row is of. Member s begins from weights of its own, and is trained R times: the r-th
    time, from where the one before has ended, on slices 1 to r, for ``round(2 epochs / (R + 1))`` epochs (one
    at least), which costs as much as ``epochs`` over all its rows. The weights before slice r depend on no
    row of it: training again from there without some of them is, bit by bit, what training without them
    from the start would have come to. A shard whose last row has left has no vote.

    Args:
        learner: Architecture, training (of which a slice gets its part), device.
        shards: Number of members, S.
        slices: Number of slices of a shard, R.
        vote: See ``Ensemble``.

    Attributes:
        place: (n,) number of the shard of each row times R, plus that of its slice; both from 0.
        stored: For each shard its weights after each slice but the last.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    module: Ensemble
    stored: list[tuple[Weights, ...]]

    def __init__(self, learner: Learner, shards: int, slices: int, vote: str = "mean") -> None:
        super().__init__(learner)
        self.shards, self.slices = require_count("shards", shards), require_count("slices", slices)
        self.vote = require_choice("vote", vote, VOTES)
        epochs = epochs_of_a_slice(learner.training.epochs, slices)
        self.steps, self.anew = learner.lasting(epochs), learner.lasting(epochs, cached=False)

    def untrained(self, learner: Learner) -> ShardedNetwork:
        """Another of the same settings."""
        return ShardedNetwork(learner, self.shards, self.slices, self.vote)

    def small(self, x: Any, y: NDArray[np.int64]) -> Any:
        """The ensemble in small: two members of two slices."""
        found = super().small(x, y)
        if found is not None:
            shards, slices = (min(number, _FEW) for number in (self.shards, self.slices))
            found = ShardedNetwork(found[0].learner, shards, slices, self.vote), *found[1:]
        return found

    def begin(self, x: Any, y: NDArray[np.int64], seed: int | None) -> None:
        """Take over the training data, and give every row its place.

        Raises:
            InvalidValue: There are fewer rows than slices.
        """
        if self.shards * self.slices > len(y):
            got, allowed = f"{self.shards} of {self.slices} slices", f"at most {len(y)} slices: one for a row"
            raise InvalidValue("shards", got, allowed)
        super().begin(x, y, seed)
        self.place = placed(len(y), self.shards, self.slices, self.seed)

    def built(self) -> Ensemble:
        """The ensemble as it was before any training."""
        return Ensemble([self._member(shard) for shard in range(self.shards)], self.vote)

    def _member(self, shard: int) -> nn.Module:
        seed = self._seed(shard)
        return self.learner.build(self.x.shape, len(self.classes_), seed)

    def _seed(self, *index: int) -> int:
        """That of a shard's first weights, or of its training in a slice."""
        return int(stream(self.seed, "training", _MEMBER, *index).integers(2**63))

    # -- training ---------------------------------------------------------------------------------------

    def _learn(self, rows: Any, reuse: bool = True, again: Sequence[int] = ()) -> None:
        # Places and seeds of the members are those of the training: its requests are exact, and draw nothing.
        learner = self.steps if reuse else self.anew
        found = {shard: self._trained(shard, 0, (), rows, learner) for shard in range(self.shards)}
        self.module, self.stored, self.history = self.built(), [()] * self.shards, None
        self._take(found)
        self.seconds_fit = sum(shard.seconds for shard in found.values())

    def _trained(
        self, shard: int, first: int, stored: tuple[Weights, ...], rows: Any, learner: Learner
    ) -> Shard:
        """Train one shard from slice ``first`` on; ``stored`` are its weights after those before."""
        index = row_ids(rows, len(self.y))
        own = index[self.place[index] // self.slices == shard]
        module, seconds = self._member(shard), 0.0
        if first:
            module.load_state_dict(dict(stored[first - 1]))
        states = list(stored[:first])
        for part in range(first, self.slices):
            seen = own[self.place[own] % self.slices <= part]
            if len(seen):
                task = self.x, self.codes, seen, len(self.classes_), self._seed(shard, part)
                trained = learner.train(*task, begin=module, record=False)
                seconds += trained.seconds
            states.append({name: value.clone() for name, value in module.state_dict().items()})
        return Shard(module, tuple(states[:-1]), len(own) > 0, seconds)

    def _take(self, found: Mapping[int, Shard]) -> None:
        """Put these shards into the place of what is there of them."""
        for number, shard in found.items():
            self.module.members[number], self.stored[number] = shard.module, shard.stored
            self.module.heard[number] = shard.heard

    # -- removal ----------------------------------------------------------------------------------------

    def touched(self, index: NDArray[np.int64]) -> dict[int, int]:
        """Shard -> its first slice that has one of these rows, both from 0."""
        found: dict[int, int] = {}
        for place in np.sort(self.place[index]).tolist():
            found.setdefault(place // self.slices, place % self.slices)
        return found

    @alone
    def relearn(self, index: NDArray[np.int64]) -> dict[int, int]:
        """Train again what these rows have touched, without them; they leave.

        The cache neither gives nor takes: so many small files would take longer than the training.

        Returns:
            Shard -> the slice that it was trained from.
        """
        stay, touched = self.staying(index), self.touched(index)
        found = {
            shard: self._trained(shard, first, self.stored[shard], stay, self.anew)
            for shard, first in touched.items()
        }
        self._take(found)
        self.leave(index)
        return touched

    @property
    def stored_bytes(self) -> int:
        """Of the weights that are kept besides the model."""
        states = (state for shard in self.stored for state in shard)
        return sum(value.numel() * value.element_size() for state in states for value in state.values())

    # -- what the members say ---------------------------------------------------------------------------

    @alone
    def embeddings(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Those of the members that vote, side by side, (m, S d)."""
        inputs = self._unlabelled(x, rows)
        return np.hstack([head_inputs(member, inputs).numpy() for member in self.module.voters()])

    @alone
    def activation_maps(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64] | None:
        """Mean over the members that vote, (m, h, w); None for networks without convolutions."""
        inputs = self._unlabelled(x, rows)
        maps = [found for m in self.module.voters() if (found := activation_maps(m, inputs)) is not None]
        return np.asarray(torch.stack(maps).mean(dim=0).numpy()) if maps else None

    # -- saving -----------------------------------------------------------------------------------------

    @alone
    def state(self) -> State:
        """The ensemble, and the weights that are kept of its slices."""
        state = super().state()
        for shard, states in enumerate(self.stored):
            for part, weights in enumerate(states):
                own = f"{_SLICE}{shard}.{part}."
                state.arrays |= {own + name: value.cpu().numpy().copy() for name, value in weights.items()}
        return state

    @alone
    def load_state(self, state: State, x: Any, y: NDArray[np.int64]) -> None:
        """Continue from ``state``, as ``NetworkModel`` does."""
        super().load_state(state, x, y)
        self.stored = [
            tuple(self._loaded(state, shard, part) for part in range(self.slices - 1))
            for shard in range(self.shards)
        ]

    def _loaded(self, state: State, shard: int, part: int) -> Weights:
        arrays = under(state.arrays, f"{_SLICE}{shard}.{part}.")
        found = {name: torch.from_numpy(value).to(self.learner.device) for name, value in arrays.items()}
        require_same_form(self.module.members[shard], found)
        return found


def epochs_of_a_slice(epochs: int, slices: int) -> int:
    """``round(2 epochs / (R + 1))``, one at least: R trainings on 1/R, 2/R, ..., all then cost ``epochs``."""
    return max(1, round(2 * epochs / (slices + 1))) if epochs else 0


def placed(rows: int, shards: int, slices: int, seed: int) -> NDArray[np.int64]:
    """Give n rows their places in shards and slices of equal size but for one row, by the seed, (n,).

    A place is shard * R + slice, both from 0.
    """
    order = stream(seed, "training", _PLACE).permutation(rows)
    place = np.empty(rows, dtype=np.int64)
    for shard, members in enumerate(np.array_split(order, shards)):
        for part, own in enumerate(np.array_split(members, slices)):
            place[own] = shard * slices + part
    return place
