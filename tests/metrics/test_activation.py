"""Activation maps: by hand on small networks, in runs from the command line, and in the figures of a run."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from expunge.core.errors import InvalidValue
from expunge.core.files import State, load_state, save_state
from expunge.core.intervals import interval
from expunge.metrics import View
from expunge.metrics.activation import Activation, energy_kept, map_similarity
from expunge.metrics.base import Pictured
from expunge.models import Mlp, Torchvision, Vgg11, VggFace, activation_maps
from expunge.predictors import Mapped
from expunge.predictors.network import NetworkModel
from expunge.report import app as report
from expunge.report import read_run
from expunge.report.figures.draw import draw_plots, write_run_figures
from expunge.report.figures.drawing import Keyed, curves
from expunge.report.figures.maps import draw_maps
from expunge.report.figures.sides import curve
from expunge.report.read.methods import Method
from tests import cli, networks
from tests.people import folder
from tests.report.test_report import make_run
from tests.report.test_report_networks import data_of
from tests.stubs import Inert

FILE = "activation.safetensors"


def energy(f):
    return f.double().square().sum(1)


# -- maps -----------------------------------------------------------------------------------------------


def test_maps_by_hand():
    """One convolution that copies and doubles: a ReLU, then a pooling that is not looked at."""
    conv = nn.Conv2d(1, 2, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, -2.0]).view(2, 1, 1, 1))
    net = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 3))
    x = np.array([[[[3.0], [-1.0]], [[0.0], [2.0]]]])  # 3 -> (3, 0), -1 -> (0, 2), 0 -> (0, 0), 2 -> (2, 0)
    batches = networks.examples(x, np.array([0]), dtype=torch.float32)
    found = activation_maps(net, batches)
    assert found.dtype == torch.float64
    np.testing.assert_array_equal(found, [[[9, 4], [0, 4]]])


def test_the_network_is_left_as_it_is():
    net = networks.small_cnn().train()
    x, y = networks.pictures(40)
    batches = networks.examples(x, y)
    activation_maps(net, batches)
    assert all(part.training for part in net.modules())
    assert not any(part._forward_hooks for part in net.modules())
    net.eval()
    by_hand = energy(net[:5](batches.take(np.arange(40))[0]).detach())
    np.testing.assert_allclose(activation_maps(net, batches), by_hand, rtol=1e-12)


@pytest.mark.parametrize(
    ("architecture", "last"),
    [
        (
            VggFace(widths=(4, 6), convolutions=1, embedding=5, batch_norm=True),
            lambda n, x: n.features[:-1](x),
        ),
        (Vgg11(), lambda n, x: n.features[:-1](x)),
        (Torchvision("mobilenet_v2", embedding=7), lambda n, x: n.features(x)),
        (Torchvision("densenet121"), lambda n, x: n.features(x).relu()),
        (
            Torchvision("resnet18", embedding=7),
            lambda n, x: n.layer4(n.layer3(n.layer2(n.layer1(n.maxpool(n.relu(n.bn1(n.conv1(x)))))))),
        ),
    ],
    ids=["vggface", "vgg11", "mobilenet_v2", "densenet121", "resnet18"],
)
def test_maps_are_what_the_first_pooling_after_them_is_given(architecture, last):
    net = architecture.build((3, 64, 64), 3).eval()
    x, y = networks.pictures(3, 64)
    batches = networks.examples(x, y, dtype=torch.float32)
    with torch.no_grad():
        by_hand = energy(last(net, batches.take(np.arange(3))[0]))
    found = activation_maps(net, batches)
    assert min(found.shape[1:]) > 1
    np.testing.assert_allclose(found, by_hand, rtol=1e-4, atol=1e-9)


def test_no_maps():
    batches = networks.examples(*networks.pictures(2), dtype=torch.float32)
    assert activation_maps(Mlp((4,)).build((3, 8, 8), 3), batches) is None
    assert activation_maps(networks.small_cnn(), batches.only([])) is None
    assert issubclass(NetworkModel, Mapped)


# -- numbers --------------------------------------------------------------------------------------------

MAPS = arrays(np.float64, (3, 2, 2), elements=st.floats(1e-3, 1e3))


@given(MAPS, st.floats(0.01, 100))
def test_maps_that_fade_alike_are_similar(maps, share):
    assert energy_kept(maps, share * maps) == pytest.approx(share)
    assert map_similarity(maps, share * maps) == pytest.approx(1)


@given(MAPS, MAPS)
def test_similarity_is_a_share(one, other):
    assert 0 <= map_similarity(one, other) <= 1 + 1e-12
    assert map_similarity(one, other) == pytest.approx(map_similarity(other, one))


def test_numbers_by_hand():
    before = np.array([[[1.0, 0.0]], [[3.0, 4.0]]])
    after = np.array([[[0.0, 2.0]], [[4.0, 3.0]]])
    assert energy_kept(before, after) == 9 / 8
    assert map_similarity(before, after) == pytest.approx((0 + 24 / 25) / 2)
    assert map_similarity(before, 0 * after) == 0
    assert energy_kept(0 * before, after) is None
    assert energy_kept(before[:0], after[:0]) is map_similarity(before[:0], after[:0]) is None
    assert energy_kept(before, after + np.nan) is map_similarity(before, after + np.inf) is None


class Scaled(Inert):
    """Maps of all pixels, squared, times a number; the retrained model knows whom it has not seen less."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def activation_maps(self, x, rows=None):
        return self.scale * x[rows].astype(float) ** 2

    def predict(self, x):
        return np.zeros(len(x), dtype=np.int64)

    def retrained(self, x, y, rows):
        return Scaled(2.0 if len(rows) == len(y) else 1.0)


def test_the_metric_by_hand():
    x = np.arange(1, 1 + 6 * 4).reshape(6, 2, 2)
    y = np.array([5, 5, 7, 7, 9, 9])
    view = View(Scaled(0.5), x, y, x, y, np.isin(np.arange(6), [2]))
    metric = Activation(images=1)
    assert isinstance(metric, Pictured)
    assert metric.arrays() == {}
    found = metric(view)
    assert list(found) == list(metric.COLUMNS)
    assert found["activation_kept_identity"] == found["activation_kept_rest"] == 0.25
    assert found["retrain_activation_kept_identity"] == found["retrain_activation_kept_rest"] == 0.5
    assert found["activation_similarity_rest"] == pytest.approx(1)
    kept = metric.arrays()
    assert kept["labels"][0] == 7
    assert kept["rows"][0] == 2, "of the removed person a row that was asked for"
    assert kept["labels"][1] in (5, 9)
    assert kept["removed"].tolist() == [True, False]
    np.testing.assert_array_equal(kept["images"], x[kept["rows"]])
    np.testing.assert_array_equal(kept["after"], 0.25 * kept["before"])


def test_everybody_or_nobody_is_removed():
    x, y = np.ones((4, 2, 2)), np.array([0, 0, 1, 1])
    metric = Activation(people=3)
    everybody = metric(View(Scaled(), x, y, x, y, np.ones(4, dtype=bool)))
    assert everybody["activation_kept_identity"] == 0.5
    assert everybody["activation_kept_rest"] is everybody["retrain_activation_kept_identity"] is None
    assert "retrained" not in metric.arrays()
    nobody = metric(View(Scaled(), x, y, x, y, np.zeros(4, dtype=bool)))
    assert nobody["activation_kept_identity"] is None
    assert not metric.arrays()["removed"].any()


@pytest.mark.parametrize("key", ["every", "people", "images", "max_rows"])
def test_settings_are_checked(key):
    with pytest.raises(InvalidValue, match=f"^{key}: got 0, allowed: a whole number >= 1"):
        Activation(**{key: 0})


# -- runs -----------------------------------------------------------------------------------------------

TINY = (
    *("dataset=faces", "dataset.folder=people", "dataset.image_size=null", "model=vggface"),
    *(
        "model.widths=[4,6]",
        "model.embedding=8",
        "model.pool=1",
        "training.epochs=2",
        "training.batch_size=8",
    ),
    *("metrics=[network,identity,activation]", "metrics.activation.images=1", "threads=1"),
    *("removal=identity", "removal.identity=Bob", "removal.batch_size=2", "device=cpu"),
)
SCRUB = ("unlearner=lcodec", "unlearner.n_perturbations=20", "unlearner.val_gap=0.99")


def arguments(tmp_path: Path, *more: str) -> tuple[str, ...]:
    return (*TINY, *more, f"data_dir={tmp_path}", f"cache_dir={tmp_path / 'cache'}")


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("faces"), Anna=5, Bob=5, Carl=5)


@pytest.fixture(scope="module")
def finished(people) -> Path:
    return cli.completed(*arguments(people, *SCRUB), folder=people / "run")


def test_a_run_keeps_maps(finished):
    state = load_state(finished / FILE)
    kept, names = state.arrays, state.values["class_names"]
    assert names == {"0": "Anna", "1": "Bob", "2": "Carl"}
    assert kept["labels"][0] == 1
    assert kept["removed"].tolist() == [True, False]
    assert kept["images"].dtype == np.uint8
    assert kept["images"].shape == (2, 10, 12)
    assert kept["before"].shape == kept["after"].shape == kept["retrained"].shape == (2, 5, 6)
    assert not np.array_equal(kept["before"], kept["retrained"])
    *first, last = cli.records(finished)
    assert all(record[name] is None for record in first for name in Activation.COLUMNS)
    assert all(last[name] is not None for name in Activation.COLUMNS)
    assert cli.summary(finished)["activation_kept_rest"] == last["activation_kept_rest"]


def test_figures_come_from_the_run_folder_alone(finished, people, tmp_path, capsys):
    drawn = cli.contents(finished / "figures")
    pictures = {f"{name}.{kind}" for name in ("activation", "identity") for kind in ("png", "svg")}
    assert pictures <= drawn.keys()
    copy = shutil.copytree(finished, tmp_path / "copy")
    shutil.rmtree(copy / "figures")
    assert report.main([str(copy)]) == 0
    again = cli.contents(copy / "report")
    assert {name: again[name] for name in pictures} == {name: drawn[name] for name in pictures}
    assert b"Activation maps before and after" in again["report.html"]
    words = drawn["activation.svg"].decode()
    assert all(f">{word}<" in words for word in ("input", "before", "after", "retrained", "Bob", "other"))
    capsys.readouterr()


def test_a_killed_run_ends_the_same(finished, people):
    """Killed after its last record, that request is not evaluated again: its maps are there already."""
    copy = shutil.copytree(finished, people / "copy")
    begun = people / "begun"
    state = shutil.copytree(finished, begun)
    for name in ("summary.json", "model.safetensors"):
        (state / name).unlink()
    shutil.rmtree(state / "figures")
    ended = cli.expunge(
        *arguments(people, *SCRUB), "resume=true", "figures=false", f"hydra.run.dir={begun}", cwd=people
    )
    assert (ended.code, ended.err) == (0, "")
    assert cli.ledger(begun) == cli.ledger(copy)
    assert (begun / FILE).read_bytes() == (copy / FILE).read_bytes()
    lines = (copy / "removals.jsonl").read_bytes().splitlines(keepends=True)
    (begun / "summary.json").unlink()
    (begun / FILE).unlink()
    (begun / "removals.jsonl").write_bytes(b"".join(lines[:-1]))  # and before its last record
    ended = cli.expunge(
        *arguments(people, *SCRUB), "resume=true", "figures=false", f"hydra.run.dir={begun}", cwd=people
    )
    assert (ended.code, ended.err) == (0, "")
    assert cli.ledger(begun) == cli.ledger(copy)
    assert (begun / FILE).read_bytes() == (copy / FILE).read_bytes()


def test_doing_nothing_and_retraining(people):
    less = ("removal.batch_size=null", "figures=false", "metrics=[activation]")
    none = cli.completed(*arguments(people, "unlearner=none", *less), folder=people / "none")
    retrain = cli.completed(*arguments(people, "unlearner=retrain", *less), folder=people / "retrain")
    maps = {folder.name: load_state(folder / FILE).arrays for folder in (none, retrain)}
    np.testing.assert_array_equal(maps["none"]["after"], maps["none"]["before"])
    np.testing.assert_allclose(maps["retrain"]["after"], maps["retrain"]["retrained"], rtol=1e-5)
    assert cli.summary(none)["activation_similarity_identity"] == pytest.approx(1)
    two = draw_maps([read_run(none), read_run(retrain)])
    assert [figure.name for figure in two] == ["activation", "activation_2"]
    # By what the file says of itself, whatever it is called.
    (none / FILE).rename(none / "seen.safetensors")
    assert [figure.name for figure in draw_maps([read_run(none)])] == ["seen"]
    (none / "seen.safetensors").rename(none / FILE)
    assert all(": " in figure.title for figure in two)


def test_a_linear_model_has_no_maps(tmp_path):
    run = cli.completed(*cli.SMALL, "metrics=[activation]", "removal.count=2", folder=tmp_path / "run")
    assert all(cli.summary(run)[name] is None for name in Activation.COLUMNS)
    assert not (run / FILE).exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-7]),
        lambda file: file.write_bytes(b""),
        lambda file: save_state(file, State({"images": np.zeros(3)}, {"class_names": {}})),
        lambda file: save_state(file, State(load_state(file).arrays, {})),
        lambda file: save_state(file, State(load_state(file).arrays | {"after": np.zeros((2, 0, 1))}, {})),
    ],
    ids=["cut", "empty", "other arrays", "no names", "no pixels"],
)
def test_a_damaged_file_costs_one_line(finished, tmp_path, caplog, damage):
    copy = shutil.copytree(finished, tmp_path / "copy")
    damage(copy / FILE)
    with caplog.at_level(logging.WARNING):
        assert draw_maps([read_run(copy)]) == []
    (line,) = caplog.messages
    assert line.startswith(str(copy / FILE))
    assert line.endswith("its activation maps are not drawn")
    assert "\n" not in line
    (copy / FILE).unlink()
    assert draw_maps([read_run(copy)]) == []
    assert len(caplog.messages) == 1, "a run without maps is nothing to speak of"


def test_a_file_that_cannot_say_what_it_holds_costs_one_line(finished, tmp_path, caplog):
    copy = shutil.copytree(finished, tmp_path / "copy")
    file = (copy / FILE).rename(copy / "other.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[:8] + b"!" + content[9:])
    with caplog.at_level(logging.WARNING):
        assert draw_maps([read_run(copy)]) == []
    (line,) = caplog.messages
    assert line.startswith(f"{file}: ")
    assert line.endswith("if it holds activation maps, they are not shown")


@pytest.mark.parametrize("channels", [2, 3])
def test_images_of_any_kind_are_drawn(finished, tmp_path, channels):
    copy = shutil.copytree(finished, tmp_path / "copy")
    state = load_state(copy / FILE)
    shape = (2, 10, 12) if channels is None else (2, 10, 12, channels)
    state.arrays |= {
        "images": np.random.default_rng(0).normal(size=shape),
        "after": np.full((2, 5, 6), np.inf),
    }
    save_state(copy / FILE, state)
    (figure,) = draw_maps([read_run(copy)])
    assert figure.png.startswith(b"\x89PNG")


# -- accuracy against removals --------------------------------------------------------------------------


def _keyed(run, key):
    return Keyed(key, run.columns[key], run.columns[key].plot)


def rows_of(drawn):
    """What is drawn, but for what the method is called."""
    return [{key: value for key, value in row.items() if key != "method"} for row in data_of(drawn)]


def draw_identity(runs):
    return next((drawn for drawn in draw_plots(runs) if drawn.name == "identity"), None)


def test_the_curve_begins_before_any_removal_where_that_is_known(finished):
    run = read_run(finished)
    x, y = curve(run, _keyed(run, "rest_train_accuracy"))
    assert x == [0.0, *(record["removed_total"] for record in run.records)]
    assert y[1:] == [record["rest_train_accuracy"] for record in run.records]
    assert y[0] == pytest.approx(y[-1] / run.summary["rest_train_kept"])
    assert curve(run, _keyed(run, "identity_train_accuracy"))[0] == x[1:], (
        "the removed person's accuracy before is not recorded"
    )


def test_many_runs_are_drawn_as_the_mean_over_seeds_and_persons(finished, tmp_path):
    """Nine runs of one method, one of which was refused its first request."""
    runs = [read_run(shutil.copytree(finished, tmp_path / str(k))) for k in range(9)]
    for k, run in enumerate(runs):
        run.summary["seed"] = run.config["seed"] = k
        run.records[0]["identity_train_accuracy"] = k / 8
    for record in runs[8].records:
        record["removed_total"] -= len(runs[8].records[0]["rows"])
    keyed = _keyed(runs[0], "identity_train_accuracy")
    method = Method("", runs, 0, "", "")
    ((_, found),) = curves(method, lambda run: curve(run, keyed, asked=True))
    assert list(found) == list(np.cumsum([len(record["rows"]) for record in runs[0].records]))
    first, values = next(iter(found.items()))
    band = interval(values)
    assert band == interval([k / 8 for k in range(9)])
    assert 0 < band.low < band.mean == np.mean(values) == 0.5 < band.high < 1
    drawn = draw_identity(runs)
    assert "mean over the seeds" in drawn.caption
    assert "Images of refused requests count as asked for" in drawn.caption
    assert ">images asked to be removed so far<" in drawn.svg
    who = [row for row in rows_of(drawn) if row["stroke"].endswith("removed persons") and "low" in row]
    first = next(row for row in who if row["x"] == first)
    assert (first["y"], first["low"]) == (0.5, pytest.approx(band.low, rel=1e-5))
    assert first["seeds"] == "0, 1, 2, 3, 4, 5, 6, 7, 8"
    for k, run in enumerate(runs):
        run.config["unlearner"]["l2"] = 1.0 + k
    apart = draw_identity(runs)
    assert ">images removed so far<" in apart.svg
    assert len({row["method"] for row in data_of(apart)}) == 9


def test_only_runs_with_those_columns_have_the_figure(finished, tmp_path):
    other = read_run(make_run(tmp_path / "other", "newton"))
    assert draw_identity([other]) is None
    assert not {path.stem for path in write_run_figures(other, tmp_path / "f")} & {"identity", "activation"}
    one, two = draw_identity([read_run(finished)]), draw_identity([read_run(finished), other])
    assert [rows_of(one), rows_of(two)].count(rows_of(one)) == 2
    for word in ("images of the removed persons", "the retrained model", "Training rows", "Test rows"):
        assert f">{word}<" in one.svg


def test_the_retrained_model_is_a_curve_of_each_side_where_it_was_measured_along_the_requests(finished):
    run = read_run(finished)
    aims = [row for row in rows_of(draw_identity([run])) if row["stroke"] == "the retrained model"]
    assert all(len({r["y"] for r in aims if r["line"] == row["line"]}) == 1 for row in aims)  # level
    for k, record in enumerate(run.records):
        for side in ("identity", "rest"):
            for rows in ("train", "test"):
                record[f"retrain_{side}_{rows}_accuracy"] = (0.1 if side == "identity" else 0.8) + k / 100
    aims = [row for row in rows_of(draw_identity([run])) if row["stroke"] == "the retrained model"]
    lines = {line: [row for row in aims if row["line"] == line] for line in {row["line"] for row in aims}}
    assert sorted(own[0]["y"] for own in lines.values()) == [0.1, 0.8]
    for own in lines.values():  # both panels have it
        expected = [pytest.approx(own[0]["y"] + k / 100) for k in range(len(run.records))]
        assert [row["y"] for row in own] == 2 * expected
        assert own[0]["x"] == run.records[0]["removed_total"]
