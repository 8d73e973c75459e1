"""Exact removal: an ensemble over shards, of which only what has seen a row is trained again without it."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.core.columns import Column
from expunge.predictors.network import NetworkModel
from expunge.predictors.sharded import ShardedNetwork
from expunge.unlearners.base import Method, Outcome
from expunge.unlearners.search import Range


class Sisa(Method):
    """Sharded, isolated, sliced, aggregated training; see ``ShardedNetwork``, which the model becomes.

    After a request the ensemble, and all that is kept of it, is that of a training without the rows, bit by
    bit: there is nothing to certify, and nothing that a guard could object to. A request costs the training
    of every slice from the first that it touches on, in every shard that it touches: with one row on average
    over its places ``(2 R + 1) / (3 R S)`` of the whole training.

    Args:
        model: The network that each member is one of.
        shards: Number of members, S.
        slices: Number of slices of a shard, R.
        vote: ``mean`` of the members' probabilities, or ``majority`` of their labels.
        name: What the run files call the method.
    """

    supports = ("network",)
    COLUMNS = {
        "shards_retrained": Column(
            "shards trained again",
            "↓",
            "members of the ensemble that had seen one of a request's rows; mean over the requests",
            over_run="mean",
            shown=False,
        ),
        "slices_retrained": Column(
            "slices trained again",
            "↓",
            "trainings of one shard up to one slice that were done again without a request's rows, and how "
            "many there are; mean over the requests",
            beside="slices_in_all",
            cell="{value} of {beside}",
            over_run="mean",
        ),
        "slices_in_all": Column("slices", "", "shards times slices", "count", shown=False),
        "stored_bytes_row": Column(
            "stored bytes a row",
            "↓",
            "size of what is kept besides the model to serve requests, over the number of rows that stay",
            "count",
        ),
    }
    exact = True
    search_space = {"shards": Range(1, 20), "slices": Range(1, 20), "vote": ("mean", "majority")}

    predictor: ShardedNetwork

    def __init__(
        self,
        model: NetworkModel,
        shards: int = 5,
        slices: int = 5,
        vote: str = "mean",
        name: str = "sisa",
    ) -> None:
        super().__init__(ShardedNetwork(model.learner, shards, slices, vote), name)

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Train again what the rows have touched."""
        model = self.predictor
        index = model.checked(rows)
        touched = model.relearn(index)
        figures = {
            "shards_retrained": len(touched),
            "slices_retrained": sum(model.slices - first for first in touched.values()),
            "slices_in_all": model.shards * model.slices,
            "stored_bytes_row": model.stored_bytes / model.there.count,
        }
        return Outcome("removed", tuple(index.tolist()), figures={k: float(v) for k, v in figures.items()})
