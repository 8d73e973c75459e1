"""``removal=identity``: whose images go, in which requests, and what is said of names that are nobody's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from expunge.app import config_dir
from expunge.core.errors import InvalidValue
from expunge.datasets import Dataset
from expunge.record.requests import OfClass, OfIdentity, Request
from expunge.run.targets import build
from tests import cli
from tests.people import folder, refusal
from tests.people import market as write


def dataset(*names: str, images: int = 4, labels: list[int] | None = None) -> Dataset:
    """So many training images and one test image of each person, persons in turn (row 0 is the first's)."""
    numbers = labels or list(range(len(names)))
    y = np.tile(numbers, images)
    x, one = np.ones((len(y), 2)), np.ones((len(numbers), 2))
    return Dataset("toy", x, y, one, np.array(numbers), dict(zip(numbers, names, strict=True)))


def rows_of(requests: list[Request]) -> list[tuple[int, ...]]:
    assert [request.number for request in requests] == list(range(1, len(requests) + 1))
    return [request.rows for request in requests]


def asked(data: Dataset, identity: object, seed: int = 0, **settings: object) -> list[tuple[int, ...]]:
    return rows_of(OfIdentity(identity, **{"batch_size": 1, **settings}).stream(data, seed))


def refused(data: Dataset, identity: object) -> str:
    return refusal(InvalidValue, asked, data, identity)


THREE = dataset("s1", "s2", "s10")


def test_one_by_one_in_batches_and_all_at_once():
    assert asked(THREE, "s2") == [(1,), (4,), (7,), (10,)]
    assert asked(THREE, "s2", batch_size=3) == [(1, 4, 7), (10,)]
    assert asked(THREE, "s2", batch_size=None) == [(1, 4, 7, 10)]


def test_several_people_in_a_row_are_not_mixed():
    assert asked(THREE, ["s10", "s1"], batch_size=3) == [(2, 5, 8), (11,), (0, 3, 6), (9,)]
    assert asked(THREE, OmegaConf.create(["s10", "s1"]), batch_size=None) == [(2, 5, 8, 11), (0, 3, 6, 9)]


@given(st.integers(1, 9), st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_a_part_of_a_person(count, share, seed):
    data = dataset("a", "b", "c", images=9)
    alone = asked(data, "b", seed, count=count, batch_size=None)
    assert alone == rows_of(OfIdentity("b", None, count=count, seed=seed).stream(data, seed + 1))
    assert asked(data, ["c", "b"], seed, count=count, batch_size=None)[1:] == alone, "others change nothing"
    assert len(alone[0]) == count
    assert list(alone[0]) == sorted(set(alone[0]) & set(range(1, 27, 3)))
    assert len(asked(data, "b", seed, share=share)) == max(1, round(share * 9))


def test_labels_may_be_any_numbers():
    data = dataset("3", "8", images=9, labels=[1, -1])
    assert len(asked(data, "8", share=0.5, batch_size=None)[0]) == 4


def test_whole_people_are_those_of_their_class():
    assert asked(THREE, "s2", batch_size=2) == rows_of(OfClass(2, **{"class": "s2"}).stream(THREE, 0))


def test_a_name_that_is_nobodys():
    many = dataset(*(f"s{k}" for k in range(1, 41)))
    line = refused(many, "S1")
    assert line.startswith(
        "identity: got 'S1', allowed: one of s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, ... ("
    )
    assert "(40 in all); nearest: s1" in line
    assert refused(dataset("Anna", "Bob"), "Zzz") == "identity: got 'Zzz', allowed: one of Anna, Bob"
    assert refused(dataset("Anna Maria", "Bob"), "Ana Maria").endswith("nearest: Anna Maria")


def test_a_word_does_not_mean_somebody_by_position():
    assert asked(dataset("1", "0"), "0") == [(1,), (3,), (5,), (7,)]
    assert refused(THREE, "0").startswith("identity: got '0', allowed: one of s1, s2, s10")
    assert refused(THREE, 1).startswith("identity: got 1, allowed: one of s1, s2, s10")


def test_numbers_are_names_as_written():
    agents = dataset("006", "007", "s1")
    assert asked(agents, "007") == [(1,), (4,), (7,), (10,)]
    assert refused(agents, 7) == "identity: got 7, allowed: one of 006, 007, s1; nearest: 007"
    assert refused(agents, "7").endswith("nearest: 007")
    assert asked(dataset("7", "8"), 7) == asked(dataset("7", "8"), "7") == [(0,), (2,), (4,), (6,)]


@pytest.mark.parametrize(("number", "names"), [(7, ["7", "007"]), (8, ["8", "010"]), (10, ["1_0", "10"])])
def test_a_number_that_may_have_been_another_name_is_refused(number, names):
    line = refused(dataset(*names), number)
    assert line.startswith(
        f"identity: got {number}, allowed: a name in quotes, as in identity=\"'{number}'\": "
    )
    assert f"{names[0]}, {names[1]} all read as this number" in line
    for name in names:
        assert asked(dataset(*names), name)[0] == (names.index(name),)


def test_persons_of_reidentification_go_by_their_number_as_well():
    data = dataset("0002", "0010", labels=[2, 10])
    for name in ("0002", "2", 2):
        assert asked(data, name) == [(0,), (2,), (4,), (6,)]
    assert asked(data, 10)[0] == (1,)
    eight = dataset("0008", "0010", labels=[8, 10])
    assert "0008, 0010 all read as this number" in refused(eight, 8), "YAML reads 0010 as 8"
    assert asked(eight, "8")[0] == (0,)


@pytest.mark.parametrize("given", [None, True, 1.5, {"a": 1}, [["s1"]]])
def test_what_is_no_name(given):
    assert "allowed: a name; one that reads as a number or as true goes in quotes" in refused(THREE, given)


def test_the_same_person_twice():
    assert (
        refused(THREE, ["s1", "s2", "s1"])
        == "identity: got 's1', allowed: each identity once; 's1' is the same"
    )
    data = dataset("0002", "0003", labels=[2, 3])
    assert refused(data, ["0002", 2]).endswith("each identity once; '0002' is the same")


def test_nobody_or_everybody():
    assert refused(THREE, []).startswith("identity: got [], allowed: the name of an identity, or a list")
    assert "leave at least one training row" in refused(THREE, ["s1", "s2", "s10"])
    assert len(asked(THREE, ["s1", "s2", "s10"], count=3)) == 9


def test_a_person_without_training_images():
    x = np.ones((4, 2))
    data = Dataset(
        "toy", x, np.array([2, 2, 4, 4]), x, np.array([1, 1, 0, -1]), {1: "0001", 2: "0002", 4: "0004"}
    )
    line = refused(data, "0001")
    allowed = "an identity with training images; all 2 images of 0001 are for the test"
    assert line == f"identity: got '0001', allowed: {allowed}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 5}, "count: got 5, allowed: at most 4, the rows of identity s1"),
        ({"count": 0}, "count: got 0, "),
        ({"share": 0}, "share: got 0, allowed: a number above 0 and at most 1"),
        ({"share": 0.5, "count": 2}, "count: got 2, allowed: null where share is below 1"),
        ({"batch_size": 0}, "batch_size: got 0, "),
        ({"seed": -1}, "seed: got -1, "),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(InvalidValue) as caught:
        OfIdentity("s1", **settings).stream(THREE, 0)
    assert str(caught.value).startswith(message)


def test_the_yaml_has_the_defaults():
    settings = OmegaConf.load(config_dir() / "removal" / "identity.yaml")
    settings.identity = "s2"
    built = build("removal", OmegaConf.to_container(settings))
    assert vars(built) == vars(OfIdentity("s2"))


# From the command line

PEOPLE = ["007", "7", "8", "010", "Anna Maria", "O'Neil", "Zoë", "s1", "s2", "true"]  # in natural order


def given_to(tmp_path, value: str, *more: str) -> cli.Ended:
    values = ("dataset=faces", "dataset.folder=people", "dataset.image_size=4", "removal=identity", *more)
    linear = ("unlearner=none", "metrics=[accuracy]", "figures=false", "threads=1", "hydra.run.dir=run")
    arguments = (*values, value, f"data_dir={tmp_path}", *linear)
    return cli.expunge(*arguments, cwd=tmp_path)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("identity=007", ["007"]),
        ("identity=['7',010,s1]", ["7", "010", "s1"]),
        ("identity='Anna Maria'", ["Anna Maria"]),
        ("identity='Zoë'", ["Zoë"]),
        ("identity='true'", ["true"]),
        ('identity="O\'Neil"', ["O'Neil"]),
    ],
)
def test_names_on_the_command_line(tmp_path, value, names):
    folder(tmp_path, **dict.fromkeys(PEOPLE, 2))
    ended = given_to(tmp_path, f"removal.{value}")
    assert (ended.code, ended.err) == (0, "")
    rows = [record["rows"] for record in cli.records(tmp_path / "run")]
    assert rows == [[PEOPLE.index(name)] for name in names], "one training image each"
    if value == "identity=007":
        again = given_to(tmp_path, f"removal.{value}", "resume=true")
        assert (again.code, again.err) == (0, ""), "the name is kept as text"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("identity=7", "got 7, allowed: a name in quotes, as in identity=\"'7'\": 007, 7 all read as this"),
        ("identity=S1", "got 'S1', allowed: one of 007, 7, 8, 010, Anna Maria, "),
        ("identity=true", "got True, allowed: a name; one that reads as a number or as true goes in quotes"),
    ],
)
def test_names_that_are_refused(tmp_path, value, named):
    folder(tmp_path, **dict.fromkeys(PEOPLE, 2))
    ended = given_to(tmp_path, f"removal.{value}")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith(f"expunge: removal.identity: {named}")
    assert not (tmp_path / "run").exists()


def test_no_name_at_all(tmp_path):
    folder(tmp_path, a=2, b=2)
    ended = given_to(tmp_path, "seed=1")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith("expunge: removal.identity: not given")


def test_reidentification_from_the_command_line(tmp_path):
    write(tmp_path)
    more = ("dataset=reid", "dataset.folder=Market")
    values = ("removal=identity", "removal.identity=0001", f"data_dir={tmp_path}", "hydra.run.dir=run")
    ended = cli.expunge(*more, *values, cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.startswith(
        "expunge: removal.identity: got '0001', allowed: an identity with training images"
    )
