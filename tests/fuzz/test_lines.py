"""Generated command lines: a run that is whole, or one line that names the key, and nothing left or touched.

Of 2,000 lines ``python -m tests.fuzz.lines`` asks the same; here are a few, in this process.
"""

from __future__ import annotations

import shlex

import pytest

from tests.fuzz import values
from tests.fuzz.generator import lines
from tests.fuzz.judge import judged
from tests.fuzz.lines import ENVIRONMENT
from tests.fuzz.scenes import SCENES, keys_of
from tests.fuzz.world import made, seen

COUNT, SEED = 30, 20
LIGHT = ("value", "deleted", "added", "flags", "resumed", "doubled", "commands")
SCENE = ("top", "linear newton", "linear newton_corrected", "threes")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("fuzz")
        home = tmp_path_factory.mktemp("home")
        for name, value in {**ENVIRONMENT, "HOME": str(home), "EXPUNGE_CACHE": str(home / "cache")}.items():
            patch.setenv(name, value)
        yield made(folder)


def test_generated_lines_end_as_they_may(world):
    before = seen(world)
    asked = [line for line in lines(COUNT * 3, SEED) if line.kind in LIGHT][:COUNT]
    for line in asked:
        wrong, _ = judged(line, world, before)
        assert not wrong, f"{shlex.join((line.program, *line.arguments))}: {wrong}"


def test_the_same_seed_gives_the_same_lines():
    first, again, other = (list(lines(200, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len({line.kind for line in first}) >= 10


def test_every_key_of_every_choice_is_there():
    keys = {key for scene in SCENES for key in keys_of(scene)}
    for key in (
        "seed",
        "unlearner.releases",
        "extractor.seed",
        "metrics.verification.max_pairs",
        "study.knn",
    ):
        assert key in keys
    assert len(keys) > 200


def test_large_counts_are_left_out_only_where_they_are_taken():
    assert not values.is_quick("training.epochs", "1e9")
    assert values.is_quick("training.epochs", "18446744073709551616")
    assert values.is_quick("training.epochs", "nan")
