"""A torch module of one's own as a family of networks: nothing but its class is needed."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import nn

from expunge.core.checks import require_name
from expunge.core.errors import InvalidValue
from expunge.curvature.gradients import evaluating
from expunge.curvature.watching import PARALLEL
from expunge.models.weights import require_weights

log = logging.getLogger(__name__)

_OFFERED = ("shape", "classes")


@dataclass(frozen=True)
class ModuleClass:
    """The networks that a class of torch modules makes: (m, ...) -> (m, classes).

    Its constructor gets ``shape``, that of one input, and ``classes``, the number of outputs, where it names
    them, and the settings.

    Attributes:
        target: Full name of the class, as ``model._target_`` has it.
        settings: Other arguments of its constructor, JSON values.
        weights, name: As in ``Architecture``.

    Raises:
        InvalidValue: The constructor does not know one of the settings.
    """

    target: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    name: str = "model"

    def __post_init__(self) -> None:
        require_weights(self.weights)
        require_name("name", self.name)
        known = self._parameters()
        for key, value in self.settings.items():
            if known is not None and key not in known:
                allowed = [name for name in known if name not in _OFFERED]
                raise InvalidValue(key, value, "the keys " + ", ".join([*allowed, "name", "weights"]))

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the network, as in ``Architecture``.

        Raises:
            InvalidValue: It does not take such inputs, or makes other outputs of them.
        """
        known = self._parameters()
        offered = {"shape": shape, "classes": classes}
        given = {key: value for key, value in offered.items() if known is None or key in known}
        # On the CPU, wherever the constructor has put it: DataParallel moves a network to a GPU.
        network: nn.Module = _alone(self._class()(**self.settings, **given)).cpu()
        try:
            with evaluating(network), torch.no_grad():
                found = tuple(network(torch.zeros((2, *shape))).shape)
        except (RuntimeError, ValueError, TypeError) as error:
            line = " ".join(str(error).split())
            raise InvalidValue("model._target_", self.target, f"{_wanted(shape, classes)} ({line})") from None
        if found != (2, classes):
            got = f"{self.target}, which makes {found[1:]} of them"
            raise InvalidValue("model._target_", got, _wanted(shape, classes))
        return network

    def _class(self) -> Any:
        module, _, name = self.target.rpartition(".")
        return getattr(import_module(module), name)

    def _parameters(self) -> Mapping[str, inspect.Parameter] | None:
        """Arguments of the constructor by name; None where it takes any."""
        known = inspect.signature(self._class()).parameters
        return None if any(p.kind is p.VAR_KEYWORD for p in known.values()) else known


def _alone(network: nn.Module) -> nn.Module:
    """Return the network without wrappers that share it out among devices: here it runs on one."""
    wrapped = [name for name, part in network.named_modules() if isinstance(part, PARALLEL)]
    for name in reversed(wrapped):
        inside: nn.Module = network.get_submodule(name).get_submodule("module")
        if name:
            network.set_submodule(name, inside)
        else:
            network = inside
    if wrapped:
        log.info("%s: taken out of DataParallel, for it runs on one device", type(network).__name__)
    return network


def _wanted(shape: tuple[int, ...], classes: int) -> str:
    return f"a network that makes {classes} numbers of an input of shape {tuple(shape)}"
