"""What a scrub, and training, come to in multiply-adds: counted from the network, before anything is run.

The counts are of the order of work, not of seconds: what a multiply-add takes is as different on two machines
as the machines are, but hardly is between training and a scrub on one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import log10
from typing import Any

import torch
from torch import Tensor, nn

from expunge.curvature.units import answering, own_parameters
from expunge.curvature.watching import watching
from expunge.scrub.noisy_copies import unit_modules
from expunge.scrub.scrub import Scrub
from expunge.scrub.shared_out import shares

_BACK = 2  # multiply-adds of a walk back with the weights' gradients, in those of a pass forward
_STEP = 1  # of the optimizer, and of all that stands between the layers, likewise: measured
_DOUBLE = 2  # of float64, in those of float32
_UNITS = 5  # units that a selection takes: measured are 2 to 18
_PER_CELL = 500  # of L-FOCI, for each column and n^1.5: measured on 784-100-10 and ResNet-18
_ITERATIONS = 12.5  # of conjugate gradients, for each digit of their tolerance
_REFITS = 100  # of L-BFGS, for the outputs of labels without rows


@dataclass(frozen=True)
class Layer:
    """A layer that has units, as it is run on one row.

    Attributes:
        inputs: Numbers that go into one answer of a unit.
        units: Output channels or features.
        places: Answers of a unit: positions, tokens, repeated calls.
    """

    inputs: int
    units: int
    places: int

    @property
    def forward(self) -> int:
        """Multiply-adds of one row."""
        return self.inputs * self.units * self.places


def layers_of(module: nn.Module, x: Tensor) -> list[Layer]:
    """Return the layers that a row is run through, by a pass of ``x`` (1, ...); the network is left alone."""
    parts, places = unit_modules(module), Counter[str]()
    units = {name: own_parameters(part)["weight"] for name, part in parts.items()}

    def count(name: str, _: Any, answers: Tensor) -> None:
        places[name] += answers.numel() // len(units[name])

    watched = {name: (part, partial(count, name)) for name, part in parts.items()}
    with answering(module, watched), watching(module), torch.no_grad():
        module(x)
    return [Layer(units[name][0].numel(), len(units[name]), times) for name, times in places.items()]


def of_forward(layers: Sequence[Layer]) -> int:
    """Multiply-adds of a pass of one row."""
    return sum(layer.forward for layer in layers)


def of_training(layers: Sequence[Layer], rows: int) -> int:
    """Multiply-adds of ``rows`` rows, each epoch's counted: 4 F each, forward, back and the optimizer."""
    return (1 + _BACK + _STEP) * of_forward(layers) * rows


def of_scrub(
    scrub: Scrub, layers: Sequence[Layer], targets: Tensor, outputs: int, stay: int, emptied: int = 0
) -> dict[str, int]:
    """Multiply-adds of one request, by what they are for.

    ``targets`` (m,) are those of the rows that leave, ``outputs`` the network's, ``stay`` the rows that stay,
    ``emptied`` the labels that lose their last row. With F of a pass forward, F_1 of its first layer, p
    units, n_k copies in part k, r retained rows, c columns of the loss's Hessian, i iterations:

        copies      F sum_k n_k
        selection   500 p sum_k n_k^1.5
        curvature   kfac: r (F + c (F - F_1) + 2 sum inputs^2 places) + i products; ggn, exact: i r 3 F
        step        3 F m, and 2 r F where ``max_rise`` looks
        refit       stay (F + 100 inputs)
    """
    once, units, m = of_forward(layers), sum(layer.units for layer in layers), len(targets)
    looks = scrub.selector in ("lfoci", "cheap", "random")
    shared = shares(targets, scrub.n_perturbations, scrub.selection)
    sizes = [len(shared.of[part]) for part in shared.parts] if looks else []
    rows = min(stay, scrub.rows_for(targets) or stay)
    taken = {"all": units, "one": 1}.get(scrub.selector, min(units, _UNITS * len(sizes)))
    curved = 0 if scrub.mode == "ascent" else _of_curvature(scrub, layers, outputs, rows, taken)
    return {
        "copies": once * sum(sizes),  # float64 and large batches make up for each other: measured
        "selection": round(_PER_CELL * units * sum(size**1.5 for size in sizes)),
        "curvature": curved,
        "step": (1 + _BACK) * once * m + (0 if scrub.max_rise is None else 2 * rows * once),
        "refit": stay * (once + _REFITS * layers[-1].inputs * emptied)
        if emptied and scrub.refit_outputs
        else 0,
    }


def _of_curvature(scrub: Scrub, layers: Sequence[Layer], outputs: int, rows: int, taken: int) -> int:
    once, units = of_forward(layers), sum(layer.units for layer in layers)
    iterations = -_ITERATIONS * log10(scrub.curvature_tol)
    if scrub.curvature in ("fd", "fisher"):
        return 0  # of rank one; the gradient is the step's
    if scrub.curvature != "kfac":
        return round(iterations * rows * (1 + _BACK) * once)
    columns = min(outputs, scrub.curvature_columns or outputs)
    touched = min(1.0, taken / len(layers))  # the share of the layers that have a unit of the selection
    factors = sum(rows * layer.places * layer.inputs**2 for layer in layers) * touched
    share = taken / units  # of each layer's units
    products = sum(
        layer.inputs**2 * layer.units * share + layer.inputs * (layer.units * share) ** 2 for layer in layers
    )
    return round(
        rows * (once + columns * (once - layers[0].forward)) + _DOUBLE * (factors + iterations * products)
    )
