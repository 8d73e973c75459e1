"""What a scrub proposes: an update that is made in one go, and taken back in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.columns import Column
from expunge.core.errors import InvalidValue
from expunge.curvature import Block
from expunge.scrub.coverage import Coverage
from expunge.scrub.noisy_copies import Unit
from expunge.scrub.outputs import Refit
from expunge.scrub.scrub_error import ScrubError

_OF_UPDATE: dict[str, Any] = {"over_run": "served", "shown": False}
FIGURES = {
    "units": Column("units", "", "units whose weights the last update changed", "count", **_OF_UPDATE),
    "weights": Column("weights", "", "weights that the last update changed", "count", **_OF_UPDATE),
    "step_norm": Column("step", "", "2-norm of the last update", **_OF_UPDATE),
    "step_share": Column("step share", "", "share of the computed update that was made", **_OF_UPDATE),
    "weights_reachable": Column(
        "reachable", "", "share of the parameters that a selection can reach", **_OF_UPDATE
    ),
    "outputs_refitted": Column("refitted", "", "outputs of labels without a row", "count", **_OF_UPDATE),
}


@dataclass(frozen=True)
class Proposal:
    """An update that would remove the sample: all that the settings say, once it is applied.

    Attributes:
        block: The weights of the selected units.
        step: (|S|,) float64, the noise included.
        units: The selected units.
        noise_std: Of the noise in ``step``.
        share: Of the update that ``step`` takes, the noise aside; below 1 where ``max_rise`` bound it.
        moved: How many units and how many weights ``step`` changes, after rounding to the network's type.
        coverage: What share of the network's parameters any selection could reach.
        refit: What is done to the outputs of labels that no row has any more; None where there is none.
    """

    block: Block
    step: Tensor
    units: list[Unit]
    noise_std: float
    share: float
    moved: tuple[int, int]
    coverage: Coverage
    refit: Refit | None = None

    @property
    def figures(self) -> dict[str, float]:
        """Those of ``FIGURES``, for the ledger; a share of 1 that is always 1, and no refit, are left out."""
        found = dict(zip(("units", "weights"), self.moved, strict=True))
        norm = float(torch.linalg.vector_norm(self.step))
        figures = {**found, "step_norm": norm, "step_share": self.share}
        if self.coverage.left:
            figures["weights_reachable"] = self.coverage.share
        if self.refit is not None:
            figures["outputs_refitted"] = len(self.refit.labels)
        return figures

    def apply(self, module: nn.Module) -> Callable[[], None]:
        """Update ``module`` in place, selected units and outputs to be refitted; return what undoes it.

        Raises:
            ScrubError: The outputs cannot be refitted; the network is as it was.
            InvalidValue: It is not a network of the same parameters.
        """
        named = dict(module.named_parameters()) if isinstance(module, nn.Module) else {}
        for name, shape in self.block.shapes.items():
            if name not in named or named[name].shape != shape:
                raise InvalidValue("module", type(module).__name__, f"the network proposed for (by {name})")
        saved = self.block.save(module)
        self.block.add(module, self.step)
        if self.refit is None:
            return lambda: self.block.restore(module, saved)
        try:
            undo_outputs = self.refit.apply(module)
        except ScrubError:
            self.block.restore(module, saved)
            raise

        def undo() -> None:
            undo_outputs()
            self.block.restore(module, saved)

        return undo


def count_moved(module: nn.Module, block: Block, step: Tensor, units: list[Unit]) -> tuple[int, int]:
    """Return how many of the units, and how many weights, the step changes."""
    moved = block.moved(module, step)
    rows = {
        name: set(block.rows[name][part.flatten(1).any(dim=1) if part.ndim > 1 else part].tolist())
        for name, part in block.split(moved).items()
    }
    parts = dict(module.named_modules(remove_duplicate=False))
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    own = {
        name: [rows.get(names[id(p)], set()) for p in parts[name].parameters(recurse=False)]
        for name in {name for name, _ in units}
    }
    return sum(any(unit in found for found in own[name]) for name, unit in units), int(moved.sum())
