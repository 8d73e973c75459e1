"""Trained networks in a folder: what was trained once is not trained again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from expunge.core.errors import DataError
from expunge.core.files import load_tensors, save_tensors
from expunge.core.locks import exclusive
from expunge.models.weights import assign
from expunge.training.history import History, Trained

log = logging.getLogger(__name__)

_MODULE = "module."


class Cache:
    """One safetensors file per network: its state, its history, and a header with losses, seconds, settings.

    A folder that cannot be written to costs one warning; what lies in it is used all the same.

    Args:
        folder: Made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._warned = False

    def path(self, key: str) -> Path:
        """File of a network."""
        return self.folder / f"{key}.safetensors"

    @contextmanager
    def making(self, key: str) -> Iterator[None]:
        """Let no other process look for a network, or train it, until this one has it."""
        if not self._writable():
            yield
            return
        with exclusive(self.folder / f"{key}.lock"):
            yield

    def part(self, key: str) -> Path | None:
        """File for the checkpoint of a training that is to come here; None where nothing can be written."""
        return self.folder / f"{key}.part.safetensors" if self._writable() else None

    def _writable(self) -> bool:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if os.access(self.folder, os.W_OK):
                return True
            self._warn("no permission")
        except OSError as error:
            self._warn(str(error.strerror))
        return False

    def get(self, key: str, module: nn.Module) -> Trained | None:
        """Put a stored state into ``module`` and return it as trained; None where there is none.

        Args:
            key: Of the network.
            module: A network of the same architecture; untouched where nothing is returned.
        """
        path = self.path(key)
        if not path.is_file():
            return None
        try:
            tensors, header = load_tensors(path)
            state = {name: tensors.pop(name) for name in list(tensors) if name.startswith(_MODULE)}
            losses, seconds = tuple(header["losses"]), float(header["seconds"])
            device = next(module.parameters()).device
            history = History.of(tensors, device) if losses else None
            assign(module, {name.removeprefix(_MODULE): tensor for name, tensor in state.items()})
        except (DataError, KeyError) as error:
            log.warning("%s: cannot be used (%s); the network is trained again", path, error)
            return None
        log.info("trained network taken from %s", path)
        return Trained(module.eval(), history, losses, seconds, cached=True)

    def put(self, key: str, trained: Trained, settings: Mapping[str, Any]) -> None:
        """Store a network; ``settings`` are for readers of the file."""
        tensors = {_MODULE + name: tensor for name, tensor in trained.module.state_dict().items()}
        tensors |= trained.history.tensors() if trained.history else {}
        header = {"losses": trained.losses, "seconds": trained.seconds, "settings": dict(settings)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_tensors(self.path(key), tensors, header)
        except OSError as error:
            self._warn(str(error.strerror))

    def _warn(self, reason: str) -> None:
        if not self._warned:
            log.warning("%s: cannot be written to (%s); trained networks are not kept", self.folder, reason)
        self._warned = True
