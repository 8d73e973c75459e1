"""What the golden runs are: every unlearner, seeds, networks, extractors, people, studies, the estimator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

_COMMON = ("figures=false", "threads=1", "progress=false")
_TWO = ("dataset=digits_3v8",)
_TEN = ("dataset=digits",)
_PUBLISHED = ("unlearner=newton",)
_MLP = (*_TWO, "model=mlp", "model.hidden=[8]", "training.epochs=2", "training.batch_size=32")
_SCRUB = ("unlearner.n_perturbations=60", "unlearner.val_gap=null")
_ALL_METRICS = "metrics=[accuracy,residual,sample,retained,retrained,forgetting,linear_probe]"
_NETWORK_METRICS = "metrics=[accuracy,sample,retained,retrained,forgetting]"
_DP = (
    *("extractor=dp", "extractor.filters=[6]", "extractor.kernel=3", "extractor.epochs=1"),
    "extractor.batch_size=200",
)
_FACE = ("model.widths=[4,8]", "model.embedding=8", "model.pool=2", "training.epochs=3")
_PEOPLE = (
    *("dataset=faces", "dataset.folder=people", "dataset.image_size=16", "model=vggface", *_FACE),
    *("removal=identity", "removal.identity=[anna,ben]"),
)
_REID = ("dataset=reid_faces", "dataset.folder=people", "dataset.image_size=16", "model=vggface", *_FACE)

RUNS: dict[str, tuple[str, ...]] = {
    "newton": (*_PUBLISHED, "removal.count=10"),
    "newton_retrains": (*_TWO, *_PUBLISHED, "unlearner.std=1", "removal.count=12", "seed=3"),
    "newton_refuses": (
        *_TWO,
        *_PUBLISHED,
        "unlearner.std=1",
        "unlearner.at_limit=refuse",
        "removal.count=12",
    ),
    "newton_pure_eps": (
        *(
            *_TWO,
            *_PUBLISHED,
            "unlearner.perturbation=pure_eps",
            "unlearner.delta=0",
            "unlearner.update=frozen",
        ),
        *("unlearner.certificate=third_order", "removal.count=5", "removal.batch_size=3", "seed=7"),
    ),
    "newton_ten_classes": (
        *(
            *_TEN,
            *_PUBLISHED,
            "unlearner.subsample_ratio=0.3",
            "unlearner.certificate=worst_case",
            "removal.count=5",
        ),
        *("unlearner.anchor=2", "seed=1"),
    ),
    "newton_corrected": (*_TWO, "unlearner=newton_corrected", "removal.count=20", _ALL_METRICS),
    "corrected_as_published": (
        *(*_TWO, "unlearner=newton_corrected", "unlearner.perturbation=gaussian", "removal.count=20"),
        _ALL_METRICS,
    ),
    "release": (*_TEN, "unlearner.subsample_ratio=0.3", "removal.count=3", "removal.batch_size=2", "seed=9"),
    "rowless": (*_TEN, "unlearner=newton_rowless", "removal.count=12", "removal.batch_size=3", "seed=3"),
    "newton_third_order": (*_TEN, "unlearner=newton_third_order", "removal.count=4", "seed=2"),
    "retrain": (*_TEN, "unlearner=retrain", "removal.count=3", _ALL_METRICS, "seed=4"),
    "none": (*_TWO, "unlearner=none", "removal.count=3", "model.lam=1e-2", "model.std=1"),
    "lcodec_linear": (*_TWO, "unlearner=lcodec", *_SCRUB, "removal.count=4", _ALL_METRICS),
    "lcodec_network": (*_MLP, "unlearner=lcodec", *_SCRUB, "removal.count=4", _NETWORK_METRICS),
    "lcodec_published": (*_MLP, "unlearner=lcodec_published", *_SCRUB, "removal.count=3", "seed=5"),
    "kfac": (*_MLP, "unlearner=kfac", "unlearner.curvature_rows=100", "removal.count=3"),
    "finetune": (*_MLP, "unlearner=finetune", "unlearner.max_batches=2", "removal.count=3"),
    "gradient_ascent": (*_MLP, "unlearner=gradient_ascent", "removal.count=3", "seed=6"),
    "retrain_network": (*_MLP, "unlearner=retrain", "removal.count=2", _NETWORK_METRICS),
    "none_network": (*_MLP, "unlearner=none", "removal.count=2"),
    "convolutions": (
        *(*_TWO, "model=resnet18", "model.small_images=true", "training.epochs=1", "unlearner=lcodec"),
        *("unlearner.n_perturbations=20", "unlearner.val_gap=null", "removal.count=1"),
    ),
    "dp": (*_TEN, *_DP, *_PUBLISHED, "removal.count=3", "metrics=[accuracy,residual,linear_probe]"),
    "dp_as_published": (
        *_TWO,
        *_DP,
        "extractor.mode=private",
        "unlearner=newton_corrected",
        "removal.count=3",
    ),
    "scaled": (*_TWO, "extractor.scaling=dataset", "unlearner=newton_corrected", "removal.count=3"),
    "class": (
        *_TEN,
        "removal=class",
        "removal.class=3",
        "removal.batch_size=50",
        "unlearner=newton_corrected",
    ),
    "rows": (*_TWO, "removal=rows", "removal.rows=[[5,6],[7]]", "unlearner=newton_corrected"),
    "people": (
        *(*_PEOPLE, "unlearner=lcodec", *_SCRUB, "removal.batch_size=3"),
        "metrics=[accuracy,identity,verification,activation]",
    ),
    "person_certified": (
        *("dataset=faces", "dataset.folder=people", "dataset.image_size=16", "unlearner=newton_corrected"),
        *("removal=identity", "removal.identity=anna", "metrics=[accuracy,identity]"),
    ),
    "reid": (
        *(*_REID, "unlearner=lcodec", *_SCRUB, "removal=identity", "removal.identity=0002"),
        "metrics=[accuracy,reid,identity]",
    ),
    "study_bounds": ("+experiment=icml2020/mnist_bounds_reduced",),
    "study_codec": ("+experiment=cvpr2022/codec_speed_reduced",),
}
ESTIMATOR = "estimator"
NAMES = (*RUNS, ESTIMATOR)


def arguments(name: str, data: Path) -> list[str]:
    """Return the command line of a golden run; ``data`` holds the folder of people."""
    return [*RUNS[name], *_COMMON, f"data_dir={data}"]


def people(folder: Path) -> Path:
    """Write six people's images of patterns and noise under ``folder / "people"``; returns ``folder``."""
    for number, name in enumerate(("anna", "ben", "carla", "dora", "emil", "fay")):
        rng = np.random.default_rng(number)
        pattern = rng.integers(0, 200, size=(16, 16))
        for image in range(8):
            path = folder / "people" / name / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pattern + rng.integers(0, 56, size=(16, 16))).astype(np.uint8)).save(path)
    return folder
