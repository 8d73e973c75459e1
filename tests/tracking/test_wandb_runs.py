"""wandb offline, read back: a run with figures, one that was killed and resumed, and one of its own sweep."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests import cli
from tests.cli import SMALL
from tests.readme.pages import ROOT
from tests.tracking.test_tracking import (
    assert_history,
    assert_mirrored,
    assert_table,
    items,
    keyless,  # noqa: F401
    of_kind,
    stored,
)

wandb = pytest.importorskip("wandb")
from expunge.tracking.wandb import of_numbers  # noqa: E402

PLAIN = tuple(value for value in SMALL if value != "figures=false")


def last_of(folder: Path) -> list:
    """The records of the wandb run that was begun last."""
    (file,) = folder.glob("wandb/latest-run/run-*.wandb")
    return list(stored(file))


def assert_all_is_there(folder: Path, figures: tuple[str, ...] = ()) -> None:
    records = last_of(folder)
    assert_history(folder, records, figures)
    assert_table(folder)
    assert_mirrored(folder, records)


def test_a_killed_run_that_goes_on_is_sent_whole_with_its_figures(tmp_path, keyless, monkeypatch):  # noqa: F811
    for key, value in keyless.items():
        monkeypatch.setenv(key, value)
    values = (*PLAIN, "tracker=wandb", "removal.count=40", "checkpoint_every=15")
    folder = cli.killed(*values, folder=tmp_path, lines=18)
    served = cli.records(folder)
    (first,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    steps = [items(entry.item)["request"] for entry in of_kind(list(stored(first)), "history")]
    assert steps == list(range(len(steps)))
    assert len(steps) <= len(served) + 1

    ended = cli.wait(cli.start(*values, "resume=true", f"hydra.run.dir={folder}", cwd=tmp_path))
    assert (ended.code, ended.err) == (0, "")
    assert cli.records(folder)[: len(served)] == served
    drawn = tuple(sorted(file.stem for file in folder.glob("figures/*.png")))
    assert drawn == ("accuracy", "residual")
    assert_all_is_there(folder, drawn)
    sent = [file.read_bytes() for file in folder.glob("wandb/latest-run/files/media/images/figures/*.png")]
    assert sorted(sent) == sorted((folder / "figures" / f"{name}.png").read_bytes() for name in drawn)
    assert of_kind(last_of(folder), "run")[0].job_type == "run"


def test_a_figure_with_images_in_it_is_not_sent(tmp_path):
    """Maps are drawn over the very rows that leave; what is drawn of numbers has no pixels."""
    from functools import partial

    import numpy as np

    from expunge.charts.pictures import picture

    def paint(value, figure, axes):
        axes[0, 0].plot([0, 1], [0, 1]) if value is None else axes[0, 0].imshow(value)

    for name, value in {"face": np.eye(4), "line": None}.items():
        picture(name, "", "", (2, 2), (1, 1), partial(paint, value)).save(tmp_path)
    (tmp_path / "bare.png").write_bytes((tmp_path / "line.png").read_bytes())
    assert [file.name for file in of_numbers(tmp_path)] == ["line.png"]


def test_what_its_agent_would_start_runs(tmp_path, keyless, monkeypatch):  # noqa: F811
    """The settings of docs/sweeps.md, through wandb's own making of a command, as its agent calls it."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    page = (ROOT / "docs" / "sweeps.md").read_text()
    (text,) = re.findall(r"```yaml\n(# wandb_sweep.yaml\n.*?)```", page, re.DOTALL)
    sweep = yaml.safe_load(text)
    chosen = {name: {"value": given["values"][-1]} for name, given in sweep["parameters"].items()}
    given = create_sweep_command_args({"args": chosen})["args_no_hyphens"]
    command = create_sweep_command(sweep["command"])
    at = command.index("${args_no_hyphens}")
    command[at : at + 1] = given
    assert command[0] == "expunge"
    params = tmp_path / "params.yaml"  # as the agent hands them to wandb
    params.write_text(yaml.safe_dump({"wandb_version": 1, **chosen}))
    told = {"WANDB_SWEEP_ID": "abc123", "WANDB_RUN_ID": "r1", "WANDB_SWEEP_PARAM_PATH": str(params)}

    folder = tmp_path / "run"
    small = (*SMALL, f"hydra.run.dir={folder}")
    ended = cli.wait(cli.start(*command[1:], *small, cwd=tmp_path, **keyless, **told, WANDB_MODE="offline"))
    assert (ended.code, ended.err) == (0, "")
    run = of_kind(last_of(folder), "run")[0]
    assert (run.run_id, run.sweep_id) == ("r1", "abc123")
    settings = yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())
    for name, value in chosen.items():
        group, _, key = name.partition(".")
        found = settings[group][key] if key else settings[group]["name"]
        assert found == value["value"], name
    assert sweep["metric"]["name"] in cli.summary(folder)
    assert_all_is_there(folder)
