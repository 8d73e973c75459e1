"""Trained networks in a folder: what was trained once is not trained again."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.errors import DataError, InvalidValue
from expunge.core.files import load_tensors, save_tensors, under
from expunge.core.folders import sweep_up_cache
from expunge.core.hashing import sha256_of_settings
from expunge.core.locks import exclusive
from expunge.core.mapped import require_unchanged
from expunge.core.plain import plain
from expunge.core.read_back import same
from expunge.models.weights import assign, require_same_form
from expunge.training.history import History, Trained

log = logging.getLogger(__name__)

_MODULE = "module."


class Cache:
    """One safetensors file per network: its state, its history, and a header of all else that is known of it.

    The folder is made when it is first needed. One that cannot be written to costs one warning; what lies in
    it is used all the same.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._warned = False

    def through(
        self,
        ingredients: Mapping[str, Any],
        module: nn.Module,
        make: Callable[[Path | None], Trained],
        reuse: bool = True,
        part: bool = False,
    ) -> Trained:
        """Return what was trained like this before; else make it, while other processes wait, and keep it.

        ``ingredients`` are all that the trained network depends on (JSON values); ``module``, of the same
        architecture, gets the stored state. ``make`` trains: it gets a file for its checkpoint, None where
        nothing can be written. Without ``reuse`` it does so even if the network is there. Of what is ``part``
        of something larger no line says that it was found.

        Raises:
            DataError: A file that is mapped into memory has changed meanwhile.
        """
        key = sha256_of_settings(ingredients)
        with self._making(key) as checkpoint:
            found = self._get(key, module, ingredients) if reuse else None
            if found is None:
                found = make(checkpoint)
                require_unchanged()  # else it is not what the ingredients say
                self._put(key, found, ingredients)
            elif not part:
                log.info("trained network taken from %s", self.folder / f"{key}.safetensors")
        return found

    @contextmanager
    def _making(self, key: str) -> Iterator[Path | None]:
        """Let no other process look for a network, or train it; gives the file for the checkpoint."""
        if not self._writable():
            yield None
            return
        checkpoint = self.folder / f"{key}.part.safetensors"
        sweep_up_cache(self.folder)
        with exclusive(self.folder / f"{key}.lock"):
            try:
                yield checkpoint
            except InvalidValue:  # there is nothing in it to go on from
                checkpoint.unlink(missing_ok=True)
                raise

    def _writable(self) -> bool:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if os.access(self.folder, os.W_OK):
                return True
            self._warn("no permission")
        except OSError as error:
            self._warn(str(error.strerror))
        return False

    def _get(self, key: str, module: nn.Module, ingredients: Mapping[str, Any]) -> Trained | None:
        """Put a stored state into ``module``, which is untouched where None is returned.

        The file says itself what it was made from: another's may have its name.
        """
        path = self.folder / f"{key}.safetensors"
        if not path.is_file():
            return None
        try:
            tensors, header = load_tensors(path)
            if header["settings"] != plain(ingredients, "settings"):
                raise DataError("not made from the same things")
            names = list(tensors)
            state = {name: tensors.pop(name) for name in list(tensors) if name.startswith(_MODULE)}
            losses = tuple(map(float, header["losses"]))
            seconds, facts = float(header["seconds"]), dict(header.get("facts", {}))
            _require_moments(module, tensors)
            device = next(module.parameters()).device
            history = History.of(tensors, device) if tensors else None
            same("tensors", header.get("tensors", sorted(names)), sorted(names))
            require_same_form(module, own := under(state, _MODULE))
            assign(module, own)
        except (DataError, KeyError, TypeError, ValueError) as error:
            log.warning("%s: cannot be used (%s); the network is trained again", path, error)
            return None
        return Trained(module.eval(), history, losses, seconds, True, facts)

    def _put(self, key: str, trained: Trained, settings: Mapping[str, Any]) -> None:
        tensors = {_MODULE + name: tensor for name, tensor in trained.module.state_dict().items()}
        tensors |= trained.history.tensors() if trained.history else {}
        header = {"losses": trained.losses, "seconds": trained.seconds, "facts": dict(trained.facts)}
        header["tensors"] = sorted(tensors)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            header["settings"] = dict(settings)  # with the seed
            save_tensors(self.folder / f"{key}.safetensors", tensors, header, secret=True)
        except OSError as error:
            self._warn(str(error.strerror))

    def _warn(self, reason: str) -> None:
        if not self._warned:
            log.warning("%s: cannot be written to (%s); trained networks are not kept", self.folder, reason)
        self._warned = True


def _require_moments(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a history whose entries are not of the form of the parameters that they are of.

    Raises:
        DataError: One is not, or holds NaN.
    """
    parameters = dict(module.named_parameters())
    for name, tensor in tensors.items():
        own = parameters[name.partition(".")[2]]
        if (tensor.shape, tensor.dtype) != (own.shape, own.dtype) or not bool(torch.isfinite(tensor).all()):
            raise DataError(f"{name}: is not of the form of its parameter, or holds NaN")
