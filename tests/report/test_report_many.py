"""Methods against many retrained models: halves of the seeds, and files that are not as they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from expunge.core.files import State, save_state
from expunge.evaluations.challenge import epsilons
from expunge.evaluations.klom import klom
from expunge.evaluations.margins import SIDES
from expunge.record.folders.runs import find_runs
from expunge.report.page.page import page
from expunge.report.tables import many
from expunge.report.tables.contents import Contents
from tests.report.test_report import make_run

SEEDS, ROWS = 20, {"forget": 6, "retain": 5, "test": 4}


def drawn(shift: float, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([seed, round(10 * shift)])
    return {side: shift * (side == "forget") + rng.normal(size=n) for side, n in ROWS.items()}


def write(folder: Path, unlearner: str, shift: float, seeds: int = SEEDS, first: int = 0) -> None:
    for seed in range(seeds):
        run = make_run(folder / f"{unlearner}-{seed}", unlearner, 5, seed=seed)
        ids = {f"{side}_rows": np.arange(first, first + n) for side, n in ROWS.items()}
        save_state(run / "margins.safetensors", State(drawn(shift, seed) | ids, {"picture": "margins"}))


def contents(folder: Path) -> Contents:
    return Contents.of(find_runs([folder]))


@pytest.fixture
def both(tmp_path) -> Path:
    write(tmp_path, "newton", 3.0)
    write(tmp_path, "retrain", 0.0)
    return tmp_path


def test_each_half_stands_against_the_other_halfs_retrained_models(both):
    found = {one.method: one for one in many.many(contents(both).groups)}
    assert found.keys() == {"newton", "retrain"}
    parts = range(10), range(10, 20)
    for name, shift in (("newton", 3.0), ("retrain", 0.0)):
        for side in SIDES:
            pairs = [
                [np.stack([drawn(s, k)[side] for k in seeds]) for s, seeds in ((shift, one), (0.0, other))]
                for one, other in (parts, parts[::-1])
            ]
            assert found[name].klom[side].mean == pytest.approx(np.mean([klom(*pair) for pair in pairs]))
            if side == "forget":
                aim = np.mean([klom(*pair) for pair in pairs], axis=0)
                assert found[name].worst == pytest.approx(np.quantile(aim, 0.95))
                assert found[name].epsilon.mean == pytest.approx(np.mean([epsilons(*pair) for pair in pairs]))
    assert found["newton"].klom["forget"].low > found["retrain"].klom["forget"].high
    assert found["newton"].cells[1] == "10 + 10"


def test_the_table_and_the_page_say_it(both):
    found = contents(both)
    said = found.as_markdown()
    assert f"## {many.TITLE}" in said
    assert "The seeds are parted in two" in said
    assert f'<h2 id="many">{many.TITLE}</h2>' in page(found, [])


def test_too_few_seeds_other_rows_and_no_retrained_models_say_nothing(tmp_path):
    write(tmp_path / "few", "newton", 3.0, seeds=15)
    write(tmp_path / "few", "retrain", 0.0, seeds=15)
    write(tmp_path / "other", "newton", 3.0)
    write(tmp_path / "other", "retrain", 0.0, first=1)
    write(tmp_path / "alone", "newton", 3.0, seeds=40)
    for name in ("few", "alone"):
        assert many.many(contents(tmp_path / name).groups) == []
    assert [one.method for one in many.many(contents(tmp_path / "other").groups)] == ["retrain"]
    assert many.TITLE not in contents(tmp_path / "few").as_markdown()


@pytest.mark.parametrize("how", ["cut", "other arrays"])
def test_a_file_that_is_not_as_it_should_be_costs_its_run(both, how, caplog):
    path = both / "newton-3" / "margins.safetensors"
    if how == "cut":
        path.write_bytes(path.read_bytes()[:40])
    else:
        save_state(path, State({"forget": np.zeros(3)}, {"picture": "margins"}))
    found = many.many(contents(both).groups)
    assert [one.models for one in found if one.method == "newton"] == [9]
    assert "newton-3" in caplog.text


def test_an_undefined_number_is_a_dash(tmp_path):
    write(tmp_path, "newton", 3.0)
    write(tmp_path, "retrain", 0.0)
    for seed in range(SEEDS):
        path = tmp_path / f"newton-{seed}" / "margins.safetensors"
        ids = {f"{side}_rows": np.arange(n) for side, n in ROWS.items()}
        values = drawn(3.0, seed) | {"forget": np.full(ROWS["forget"], np.nan)}
        save_state(path, State(values | ids, {"picture": "margins"}))
    (newton,) = (one for one in many.many(contents(tmp_path).groups) if one.method == "newton")
    assert newton.klom["forget"] is newton.worst is newton.epsilon is None
    assert newton.cells.count("–") == 3
