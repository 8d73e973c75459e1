"""Small command lines that run, each with the keys it is there for; every key of every choice is in one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from expunge.run.config_files import config_dir
from tests.cli import SMALL

ONE = (*SMALL, "progress=false", "data_dir=data", "removal.count=1")
_FEW = "dataset.train_rows=40"
_TRAINING = ("training.epochs=1", "training.max_batches=1")
_MLP = (*ONE, _FEW, "model=mlp", "model.hidden=[3]", *_TRAINING)
_SCRUB = ("unlearner.n_perturbations=20", "unlearner.curvature_rows=16")
_PEOPLE = (*ONE[:-1], "dataset=faces", "dataset.folder=people", "dataset.image_size=8")
_PERSON = ("removal=identity", "removal.identity=anna")
_SOFT = ("model=softmax", *_TRAINING, "unlearner=none", "metrics=[accuracy]")
_OFF = "dataset.check_integrity=false"
_NET = (*ONE, "dataset=cifar10", _OFF, "dataset.train_rows=12", *_TRAINING)
_VGG = ("model=vggface", "model.widths=[2]", "model.embedding=3", "model.pool=1", *_TRAINING)
_STUDY = (*SMALL[1:], "progress=false")


@dataclass(frozen=True)
class Scene:
    """A command line.

    Attributes:
        arguments: It runs as it stands.
        about: Groups whose keys it is there for; ``""``: the keys of no group.
    """

    arguments: tuple[str, ...]
    about: tuple[str, ...]


def _of(about: str, *arguments: str) -> Scene:
    return Scene(arguments, tuple(about.split()))


def _top() -> Scene:
    return Scene(ONE, ("",))


_LINEAR = ("newton", "newton_third_order", "newton_corrected", "newton_rowless", "retrain", "none")
_SCRUBS = ("lcodec", "lcodec_published", "kfac")
SCENES: dict[str, Scene] = {
    "top": Scene(ONE, ("", "model", "training", "extractor", "tracker", "removal")),
    **{f"linear {name}": _of("unlearner", *ONE, f"unlearner={name}") for name in _LINEAR},
    **{f"scrub {name}": _of("unlearner", *ONE, _FEW, f"unlearner={name}", *_SCRUB) for name in _SCRUBS},
    **{
        f"network {name}": _of("unlearner", *_MLP, f"unlearner={name}", *(_SCRUB if name in _SCRUBS else ()))
        for name in (*_SCRUBS, "retrain", "none", "finetune", "gradient_ascent")
    },
    "ten": _of(
        "unlearner model dataset", *ONE, "dataset=digits", "dataset.train_rows=100", "unlearner=newton"
    ),
    "threes": _of("dataset", *ONE, _FEW),
    "mnist_3v8": _of("dataset", *ONE, "dataset=mnist_3v8", "dataset.train_rows=50"),
    **{
        name: _of("dataset", *ONE, f"dataset={name}", _OFF, "dataset.train_rows=20", *_SOFT)
        for name in ("mnist", "fashion_mnist", "cifar10", "svhn")
    },
    "arrays": _of("dataset", *ONE, "dataset=arrays", "dataset.path=rows.npz"),
    "faces": _of("dataset removal", *_PEOPLE, *_PERSON),
    "reid": _of("dataset", *ONE, "dataset=reid", "dataset.folder=Market", "dataset.image_size=8", *_SOFT),
    "reid_faces": _of(
        "dataset", *ONE, "dataset=reid_faces", "dataset.folder=people", "dataset.image_size=8", *_SOFT
    ),
    "class": _of("removal", *ONE, "removal=class", "removal.class=3", "removal.count=2"),
    "rows": _of("removal", *ONE[:-1], "removal=rows", "removal.rows=[1,2]"),
    "dp": _of(
        "extractor",
        *ONE,
        _FEW,
        "unlearner=none",
        "extractor=dp",
        "extractor.filters=[2]",
        "extractor.kernel=3",
        "extractor.epochs=1",
        "extractor.batch_size=20",
        "extractor.max_batches=1",
    ),
    "pretrained": _of(
        "extractor",
        *ONE,
        "dataset.train_rows=10",
        "unlearner=none",
        "extractor=pretrained",
        "extractor.weights=null",
        "extractor.image_size=32",
    ),
    "dp_public": _of(
        "extractor",
        *ONE,
        _FEW,
        *("unlearner=none", "extractor=dp_public", "extractor.weights=null", "extractor.image_size=32"),
        *("extractor.hidden=[2]", "extractor.epochs=1", "extractor.batch_size=20", "extractor.max_batches=1"),
    ),
    "sgd": _of("model training", *_MLP, "unlearner=none"),
    "adam": _of("training", *_MLP, "unlearner=none", "training=adam", *_TRAINING),
    "softmax": _of("model", *ONE, _FEW, "model=softmax", *_TRAINING, "unlearner=none"),
    "vgg11": _of("model", *_NET, "model=vgg11", "unlearner=none"),
    "resnet18": _of("model", *_NET, "model=resnet18", "unlearner=none"),
    "vggface": _of("model", *_PEOPLE, *_VGG, *_PERSON, "unlearner=none"),
    "metrics": _of(
        "metrics",
        *_MLP,
        "unlearner=finetune",
        "metrics=[accuracy,sample,retained,retrained,forgetting,linear_probe,residual]",
        "metrics.forgetting.relearn_max_steps=2",
    ),
    "metrics of people": _of(
        "metrics",
        *_PEOPLE,
        *_VGG,
        *_PERSON,
        "unlearner=finetune",
        "metrics=[identity,verification,activation]",
    ),
    "metrics of reid": _of(
        "metrics",
        *ONE[:-1],
        "dataset=reid_faces",
        "dataset.folder=people",
        "dataset.image_size=8",
        *_VGG,
        "removal=identity",
        "removal.identity=0002",
        "unlearner=finetune",
        "metrics=[reid]",
    ),
    "wandb": _of("tracker", *ONE, "tracker=wandb", "tracker.mode=disabled"),
    "leak": _of("study", *_STUDY, "+experiment=icml2020/leak", "study.draws=20"),
    "evaluations": _of(
        "study",
        *_STUDY,
        "+experiment=compare/evaluations",
        "reduced=true",
        "study.forget_sets=[random]",
        "study.models=8",
        "study.resamples=20",
    ),
    "bounds": _of(
        "study",
        *_STUDY,
        "+experiment=icml2020/mnist_bounds",
        "reduced=true",
        "study.removals=5",
        "study.points=2",
        "study.batch_sizes=[1,2]",
    ),
    "outliers": _of("study", *_STUDY, "+experiment=icml2020/mnist_outliers", "reduced=true", "study.show=1"),
    "bullseye": _of(
        "study", *_STUDY, "+experiment=cvpr2022/bullseye", "reduced=true", "study.replicates=1", "study.n=40"
    ),
    "codec": _of(
        "study", *_STUDY, "+experiment=cvpr2022/codec_speed", "reduced=true", "study.n=100", "study.p=4"
    ),
}


def keys_of(name: str) -> tuple[str, ...]:
    """The dotted keys that a scene is there for, those of lists and mappings included."""
    return tuple(settings_of(name))


def numbers_of(name: str) -> tuple[str, ...]:
    """Those that may hold a number."""
    found = {key: value for key, value in settings_of(name).items() if not isinstance(value, (bool, dict))}
    return tuple(key for key, value in found.items() if not isinstance(value, str) or value.startswith("${"))


@cache
def settings_of(name: str) -> dict[str, Any]:
    """Those keys and their values."""
    from expunge.sweep.deleted import with_none
    from expunge.sweep.reduced import with_reduced

    scene = SCENES[name]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("config", with_none(with_reduced(scene.arguments, config_dir()), config_dir()))
    GlobalHydra.instance().clear()
    settings = OmegaConf.to_container(config)
    assert isinstance(settings, dict)
    groups = {str(key): value for key, value in settings.items() if isinstance(value, dict)}
    top = [(str(key), value) for key, value in settings.items() if key not in groups]
    return dict(pair for group in scene.about for pair in (_dotted(group, groups[group]) if group else top))


def _dotted(above: str, settings: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        yield f"{above}.{key}", value
        if isinstance(value, dict):
            yield from _dotted(f"{above}.{key}", value)
