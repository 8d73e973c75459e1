"""Features from a frozen network, through a cache in a folder: what was extracted once is not again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from expunge.core.checks import require_choice, require_count
from expunge.core.errors import DataError
from expunge.core.folders import sweep_up_cache
from expunge.core.hashing import sha256_of_settings, sha256_of_tensors
from expunge.core.locks import exclusive
from expunge.core.mapped import require_unchanged
from expunge.core.progress import progress_bar
from expunge.core.sources import sources_of
from expunge.core.versions import version_of
from expunge.curvature.gradients import evaluating
from expunge.datasets.images import Images
from expunge.extractors.feature_files import Begun, FeatureFile, Features
from expunge.extractors.scaling import SCALINGS, scaled
from expunge.linear.operations import RowOperations
from expunge.training.compute import code_of

log = logging.getLogger(__name__)


def extracted(
    module: nn.Module,
    train: Images,
    test: Images,
    *,
    identity: Mapping[str, Any],
    cache: Path | None,
    device: torch.device,
    scaling: str = "row",
    constant: float = 0.0,
    batch_size: int = 512,
    progress: bool = True,
    what: str = "dataset",
) -> tuple[RowOperations, RowOperations]:
    """Return the features of training and test inputs as rows of L2 norm 1 (or 0, where nothing fires).

    They are float32, mapped from the cache's file where there is one, else in memory, and the same bytes
    either way. The network is in evaluation mode: a row's features depend on no other row.

    Args:
        module: (m, *train.shape) float32 -> (m, d); it is moved to ``device``.
        train: Training inputs.
        test: Test inputs.
        identity: What the features depend on besides the inputs and the module's state: its architecture and
            settings (JSON values).
        cache: Folder of feature files, ``<key>.features.safetensors``; made when it is needed. None keeps
            none. One that cannot be written to costs a warning. An extraction that was killed goes on behind
            its last whole batch, which ``<key>.features.begun`` keeps until the file is there.
        device: Where to compute.
        scaling: See ``extractors.scaling``. ``dataset`` makes another copy of the features, in memory.
        constant: As in ``extractors.scaling.scaled``.
        batch_size: Rows that go through the network together.
        progress: Show a bar (on a terminal only).
        what: How error messages call the data.

    Raises:
        InvalidValue: ``scaling`` or ``batch_size`` is not allowed.
        DataError: A feature is NaN or infinite, or a file that is mapped into memory has changed meanwhile.
    """
    require_choice("scaling", scaling, SCALINGS)
    require_count("batch_size", batch_size)
    module.to(device)
    if device.type == "cpu":
        # The same maps, of MobileNet-v2 in .54 to .69 of the time; the types do not know of it.
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    job = _Extraction(module, train, test, device, batch_size, progress, what)
    found = job.in_memory() if cache is None else _through(Path(cache), job, identity)
    return scaled(*found, scaling, f"{what}, features", constant=constant)


@dataclass(frozen=True)
class _Extraction:
    """The arguments of ``extracted`` that say what the features are."""

    module: nn.Module
    train: Images
    test: Images
    device: torch.device
    batch_size: int
    progress: bool
    what: str

    @property
    def rows(self) -> tuple[int, int]:
        return len(self.train), len(self.test)

    @property
    def sizes(self) -> list[int]:
        """Rows of each block of ``blocks``."""
        return [stop - start for _, _, start, stop in self._batches()]

    def blocks(self, first: int = 0) -> Iterator[Features]:
        """The features of the training rows, then of the test rows, a batch at a time, from ``first`` on."""
        batches = self._batches()
        bar = progress_bar(self.progress, total=sum(self.rows), desc="extracting features", unit="row")
        with evaluating(self.module), torch.no_grad(), bar:
            bar.update(sum(stop - start for _, _, start, stop in batches[:first]))
            for part, x, start, stop in batches[first:]:
                block = self.module(x.batch(np.arange(start, stop), torch.float32, self.device))
                features: Features = block.flatten(1).float().cpu().numpy()
                bad = ~np.isfinite(features).all(axis=1)
                if bad.any():
                    got = f"the features of {part} row {start + int(np.argmax(bad))} are NaN or infinite"
                    why = "the extractor's weights are not finite, or have diverged"
                    raise DataError(f"{self.what}: {got}; {why}")
                yield features
                bar.update(stop - start)
        require_unchanged()  # before the last block is taken for the end of a file that can be kept

    def _batches(self) -> list[tuple[str, Images, int, int]]:
        """What the rows are called, where they are, and the first and the end of each batch."""
        return [
            (part, x, start, min(start + self.batch_size, len(x)))
            for part, x in (("training", self.train), ("test", self.test))
            for start in range(0, len(x), self.batch_size)
        ]

    def in_memory(self) -> tuple[Features, Features]:
        """The features as two arrays, (n, d) and (m, d)."""
        whole, end = np.empty((0, 0), dtype=np.float32), 0
        for block in self.blocks():
            if not end:
                whole = np.empty((sum(self.rows), block.shape[1]), dtype=np.float32)
            whole[end : end + len(block)] = block
            end += len(block)
        return whole[: len(self.train)], whole[len(self.train) :]

    def ingredients(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """All that the features' bytes depend on, as JSON values."""
        return {
            "train": self.train.digest(),
            "test": self.test.digest(),
            "module": sha256_of_tensors(self.module.state_dict()),
            "identity": dict(identity),
            "sources": sources_of(code_of(self.module)),
            "versions": {name: version_of(name) for name in ("expunge", "torch", "torchvision")},
            "device": self.device.type,
            # These change the order of additions, and with it the last digits.
            "channels": "last" if self.device.type == "cpu" else "first",
            "batch_size": self.batch_size,
            "threads": torch.get_num_threads(),
        }


def _through(folder: Path, job: _Extraction, identity: Mapping[str, Any]) -> tuple[Features, Features]:
    """The features from the folder's file; where there is no sound one, it is made."""
    ingredients = job.ingredients(identity)
    path = folder / f"{sha256_of_settings(ingredients)}.features.safetensors"
    file = FeatureFile(path, ingredients, job.rows)
    found, seen = _sound(file, job), _stamp(file.path)
    sweep_up_cache(folder)
    if found is not None:
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(file.path.with_suffix(".lock")):  # one process makes them, the others wait for it
            made = _sound(file, job) if _stamp(file.path) != seen else None
            begun = Begun(file.path.with_suffix(".begun"), job.sizes)
            with begun.gone_at_the_end():
                if made is None:
                    file.write(begun.blocks(job.blocks))
            return made or file.map()
    except OSError as error:
        reason = error.strerror or error
        log.warning("%s: cannot be written to (%s); features are kept in memory", folder, reason)
        return job.in_memory()


def _sound(file: FeatureFile, job: _Extraction) -> tuple[Features, Features] | None:
    """The features of a file that is sound."""
    if not os.path.exists(file.path):  # unlike Path.exists, no error in a folder that must not be read
        return None
    try:
        file.require_sound(job.progress)
        found = file.map()
    except DataError as error:
        log.warning("%s; the features are extracted again", error)
        return None
    log.info("features taken from %s", file.path)
    return found


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is put in place of another."""
    if not os.path.exists(path):
        return None
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns
