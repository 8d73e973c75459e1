"""What the scrub benchmark scrubs: images, networks trained for a moment, and one image to remove."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from expunge.curvature.gradients import cross_entropy
from expunge.datasets import cifar10
from expunge.datasets.images import Examples, Images
from expunge.models import Architecture, Mlp, Torchvision, Vgg11
from expunge.scrub import Problem
from expunge.training import Learner, Training

CLASSES, SEED = 10, 0
REMOVED = 0  # the row
VALIDATION = 1_000
BRIEF = Training(epochs=2, lr=0.01, batch_size=32, max_batches=16)  # 512 images an epoch
FAMILIES: dict[str, Architecture] = {
    "mlp": Mlp(),
    "vgg11": Vgg11(),
    "vgg11 (small_images=false)": Vgg11(small_images=False),
    "resnet18": Torchvision("resnet18"),
    "resnet18 (small_images=true)": Torchvision("resnet18", small_images=True),
    "resnet50": Torchvision("resnet50"),
    "mobilenet_v2": Torchvision("mobilenet_v2"),
    "densenet121": Torchvision("densenet121"),
}


@dataclass(frozen=True)
class Pictures:
    """Images to train on, images to validate on, and what tables call them."""

    name: str
    x: Images
    y: NDArray[np.int64]
    x_test: Images
    y_test: NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """A network with one image to be removed from it, and the images that guard the update."""

    problem: Problem
    validation: Examples


def pictures(folder: Path | str | None) -> Pictures:
    """Return CIFAR-10 as far as ``folder`` holds it, or random images where there is none."""
    if folder is None or not (Path(folder) / "cifar-10-batches-py").is_dir():
        return random_pictures(2_000)
    found = cifar10.load(folder, check_integrity=False)
    return Pictures(
        f"CIFAR-10 ({len(found.y_train):,} training images)",
        Images.of(found.x_train, found.unit, found.offset),
        found.y_train,
        Images.of(found.x_test, found.unit, found.offset),
        found.y_test,
    )


def random_pictures(n: int, side: int = 32) -> Pictures:
    """Images of random pixels with random labels, ``n`` to train on."""
    rng = np.random.default_rng([SEED, n, side])

    def some(count: int) -> tuple[Images, NDArray[np.int64]]:
        pixels = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
        return Images.of(pixels, 255.0, 0.5), rng.integers(0, CLASSES, count)

    return Pictures("random images (CIFAR-10 was not there)", *some(n), *some(VALIDATION))


def task_of(architecture: Architecture, images: Pictures, training: Training = BRIEF) -> Task:
    """Train a network for a moment, so that it has a history, and take one image to remove from it."""
    rows = np.arange(len(images.y))
    learner = Learner(architecture, training, device="cpu", progress=False)
    trained = learner.train(images.x, images.y, rows, CLASSES, SEED)
    every = Examples(images.x, torch.from_numpy(images.y), rows)
    kept = every.only(np.delete(rows, REMOVED))
    problem = Problem(trained.module, cross_entropy, every.take([REMOVED]), kept, len(rows), trained.history)
    checked = np.arange(min(VALIDATION, len(images.y_test)))
    return Task(problem, Examples(images.x_test, torch.from_numpy(images.y_test), checked))
