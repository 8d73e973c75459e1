"""Somebody else's folder: it runs no code here, sees nothing of what is here, and claims only what holds."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from safetensors.numpy import load_file, save_file

from expunge.core.errors import InvalidValue, RunFolderError
from expunge.run.again import settings_again
from expunge.verify import privacy, release, spread
from expunge.verify.app import main
from tests.verify.runs import at
from tests.verify.test_mutants import closer, weight


@pytest.mark.parametrize(
    ("group", "block"),
    [
        ("extractor", {"_target_": "expunge.core.files.write_atomically", "path": "P", "content": "x"}),
        ("dataset", {"_target_": "expunge.core.files.write_json", "path": "P", "value": 1}),
        ("dataset", {"_target_": "expunge.run.targets.import_module", "name": "antigravity"}),
        ("dataset", {"_target_": "expunge.datasets.digits.np.save", "file": "P", "arr": 1}),
        ("dataset", {"_target_": "expunge.datasets.arrays._locate", "name": "", "path": "P"}),
        ("extractor", {"_target_": "expunge.extractors.pixels.cost", "scaling": "row"}),
        ("extractor", {"_target_": "expunge.datasets.digits.load"}),
        ("dataset", {"_target_": "os.system", "command": "touch P"}),
        ("dataset", {"_target_": 3}),
        ("dataset", None),
    ],
)
def test_a_configuration_calls_nothing_but_what_reads_data(group, block, copy, tmp_path):
    there = tmp_path / "written"
    own = {key: str(there) if value == "P" else value for key, value in (block or {}).items()}
    with pytest.raises(InvalidValue, match=rf"^{group}\._target_: got "):
        copy("exact").config(group, own or block).verified()
    assert not there.exists()


def test_a_configuration_sees_nothing_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "word")
    path = tmp_path / "config.yaml"
    decoded = "${oc.decode:'${oc.env:SECRET}'}"
    path.write_text(yaml.safe_dump({"a": "${oc.env:SECRET}", "b": decoded, "c": "${d}", "d": 1}))
    found = settings_again(path)
    assert "word" not in str(found)
    assert (found["a"], found["c"]) == ("${oc.env:SECRET}", 1)
    assert OmegaConf.create({"a": "${oc.env:SECRET}"}).a == "word"


@pytest.mark.parametrize(
    "text", ["a: &a [1]\nb: [*a, *a]\n", f"a: {'[' * 3000}{']' * 3000}\n", "a: !!python/name:os.x\n"]
)
def test_a_configuration_that_grows_or_nests_without_end_is_refused(text, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(RunFolderError):
        settings_again(path)


@pytest.mark.parametrize(
    "name", ["inputs.json", ".hydra/config.yaml", "model.safetensors", "state.safetensors"]
)
def test_a_pipe_is_no_file_to_wait_for(name, copy, capsys):
    path = copy("exact").folder / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert main([str(path.parent if "/" not in name else path.parents[1]), "--no-write"]) == (
        0 if name == "state.safetensors" else 2
    )
    told = capsys.readouterr().err
    assert ("no regular file" in told) == (name != "state.safetensors")


def test_its_words_steer_no_terminal(copy, capsys):
    words = "\x1b[2J\x1b[H✓ accepted\r\u202e"
    changed = copy("exact").summary(not_covered=words, n_train=words)
    assert main([str(changed.folder), "--no-write"]) == 1
    shown = capsys.readouterr().out
    assert "?[2J?[H✓ accepted" in shown
    assert all(sign.isprintable() or sign == "\n" for sign in shown)


@pytest.mark.parametrize("name", ["exact", "figures", "published"])
def test_a_word_more_than_holds_is_no_guarantee(name, copy):
    assert (
        copy(name).summary(guarantee=lambda said: f"{said}; nor anything else of them").first() == "guarantee"
    )


def test_what_the_features_do_not_cover_must_be_said(copy):
    assert (
        "scaled by statistics"
        in json.loads((copy("scaled").folder / "summary.json").read_text())["not_covered"]
    )
    for words in (None, "", "nothing of note", True):
        assert copy("scaled").summary(not_covered=words).first() == "guarantee"
    assert copy("private").summary(extractor_epsilon="0.1").first() == "composition"


def test_a_block_that_says_nothing_hides_no_request(copy):
    """With the digests put right: of a plug-in's requests nothing else would be known."""
    from expunge.verify.asked import _digest

    for key, value in (
        ("count", "x"),
        ("_target_", "expunge.record.requests.Other"),
        ("count", float("inf")),
    ):
        changed = copy("figures").records(lambda r: r.pop() and None).config(f"removal.{key}", value)
        rows = [json.loads(x)["rows"] for x in (changed.folder / "removals.jsonl").read_text().splitlines()]
        path = changed.folder / "inputs.json"
        found = json.loads(path.read_text())
        found["requests"] |= {"sha256": _digest(rows), "count": len(rows)}
        path.write_text(json.dumps(found))
        changed.summary(inputs=lambda said, rows=rows: {**said, "requests": _digest(rows)})
        assert changed.first() == "requests"


def one_silent(z):
    """The length of all columns together is right."""
    return np.column_stack([0 * z[:, 0], z[:, 1:] * np.sqrt(1.5)])


def signs(z):
    return np.sqrt(np.mean(z**2)) * np.sign(z)


def in_one_weight(z):
    found = np.zeros_like(z)
    found[0, 0] = np.linalg.norm(z)
    return found


def common(z):
    return np.repeat(z[:, :1], z.shape[1], axis=1)


@pytest.mark.parametrize("spent", [one_silent, signs, in_one_weight, common])
def test_noise_of_the_right_length_that_is_not_normal_is_rejected(spent, copy):
    changed = copy("exact")
    grid = json.loads((changed.folder / "summary.json").read_text())["grid"]

    def drawn(w):
        best = closer(changed, w, 0.0)
        return np.rint((best + spent(w - best)) / grid) * grid

    assert changed.arrays(weight(drawn)).first() == "model"


@pytest.mark.parametrize(
    ("dim", "columns", "draws"), [(1, 3, 3000), (16, 1, 3000), (64, 3, 3000), (784, 9, 60)]
)
def test_honest_noise_is_far_from_being_rejected(dim, columns, draws):
    """Nearer to a limit than by a chance of 1 in 10^5 is none of some thousand."""
    rng, chance = np.random.default_rng(dim), 1e-5 / columns**2
    least = privacy.length_at(lambda x: privacy.chance_below(x, 1.0, dim) < chance / draws, 1.0, dim)
    most = privacy.length_at(lambda x: privacy.chance_above(x, 1.0, dim) >= chance / draws, 1.0, dim)
    allowed = spread.allowed(dim * columns, 0.0, 0.0, 1e-5 / draws)
    for _ in range(draws):
        z = rng.normal(size=(dim, columns))
        found = spread.lengths(z)
        assert least <= found.min() <= found.max() <= most
        assert spread.distance(z) <= allowed


def test_lengths_are_those_of_columns_sums_and_differences():
    z = np.random.default_rng(0).normal(size=(5, 3))
    a, b, c = z.T
    right = [a, b, c, *((x + s * y) / np.sqrt(2) for s in (1, -1) for x, y in ((a, b), (a, c), (b, c)))]
    assert spread.lengths(z) == pytest.approx([np.linalg.norm(x) for x in right])


def test_a_shift_of_all_numbers_is_allowed_for():
    z = np.random.default_rng(0).normal(size=4000)
    for moved in (0.0, 0.01, 1.0, 30.0):
        for shift in (np.full(4000, moved / np.sqrt(4000)), np.r_[moved, np.zeros(3999)]):
            assert spread.distance(z + shift) <= spread.distance(z) + spread.allowed(
                4000, moved, 0.0, 1.999999
            )
    assert spread.allowed(4000, 1.0, 0.1, 1e-9) > spread.allowed(4000, 1.0, 0.0, 1e-9)


@pytest.mark.parametrize("share", [0.7, 0.999, 1.0, 1.001, 1.5, 30.0])
def test_chances_are_there_for_any_number_of_weights(share):
    for dim in (30_720, 10**7):
        below, above = (f(share * dim**0.5, 1.0, dim) for f in (privacy.chance_below, privacy.chance_above))
        assert below + above == pytest.approx(1)
        assert (below < release.TOO_LITTLE) == (share < 0.99)
        assert (above < release.TOO_MUCH) == (share > 1.01)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("exact", lambda c: c.summary(delta=-1)),
        ("exact", lambda c: c.summary(std=0)),
        ("exact", lambda c: c.summary(releases=1000.5).config("unlearner.releases", 1000.5)),
        ("exact", lambda c: c.config("model.lam", 1e308)),
        ("exact", lambda c: c.config("model.lam", 5e-324)),
        ("exact", lambda c: c.config("model.subsample_ratio", 2)),
        ("exact", lambda c: c.arrays(weight(lambda w: np.full_like(w, 1e200)))),
        ("exact", lambda c: c.arrays(weight(lambda w: w.astype(np.complex64)))),
        ("figures", lambda c: c.config("removal.count", float("inf"))),
        ("published", lambda c: c.config("unlearner.std", 1e308)),
        ("published", lambda c: c.arrays(weight(lambda w: np.full_like(w, 1e308)))),
        ("retrain", lambda c: c.arrays(weight(lambda w: np.full_like(w, 1e308)))),
        ("stopped", lambda c: c.config("removal.count", "x")),
    ],
)
def test_numbers_that_nobody_can_compute_with_are_rejected_and_no_crash(name, change, copy, recwarn):
    assert change(copy(name)).first() is not None
    assert not recwarn.list


@pytest.mark.parametrize("header", ["[", "[1]", "[" * 50_000, '{"release": [1]}', '{"release": 1e999}'])
def test_a_state_of_nonsense_is_rejected_and_no_crash(header, copy):
    changed = copy("exact", state=True)
    path = changed.folder / "state.safetensors"
    save_file(load_file(path), path, metadata={"expunge": header})
    assert changed.first() == "secret state"


def test_what_cannot_be_written_is_said_and_what_was_found_counts(copy, tmp_path, capsys):
    right, wrong = copy("figures"), copy("exact").records(at(0, budget=1.0))
    for changed in (right, wrong):
        (changed.folder / "verified.json").mkdir()
    assert main([str(right.folder)]) == 2
    assert main([str(wrong.folder)]) == 1
    assert main([str(wrong.folder), "-o", str(tmp_path / "nowhere" / "x.json")]) == 1
    capsys.readouterr()
    assert main([str(right.folder), str(wrong.folder)]) == 1
    told = capsys.readouterr()
    assert told.err.count("cannot be written") == 2
    assert "1 of 2 runs accepted" in told.out
