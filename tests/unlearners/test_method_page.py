"""What is written of the methods for networks: their files, their settings, and the page that tells of them.

``python -m tests.unlearners.test_method_page`` writes the settings into the page again.
"""

from __future__ import annotations

import json
import re
from functools import cache
from inspect import signature
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from expunge.run.config_files import config_dir
from expunge.run.declared import located
from expunge.unlearners.descent import InPlace
from expunge.unlearners.search import Range
from expunge.unlearners.sisa import Sisa

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"
CHOICES = PAGE.with_name("choices.md")


@cache
def settings(choice):
    """What a choice comes to, and its class."""
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        found = compose("config", overrides=["model=mlp", f"unlearner={choice}"]).unlearner
    values = OmegaConf.to_container(found, resolve=True)
    target = values.pop("_target_")
    return values, located("unlearner", target)


def is_ours(file):
    text = file.read_text()
    above = re.search(r"^defaults:\n  - (\w+)", text, re.M)
    target = re.search(r"^_target_: (\S+)", text, re.M)
    if target:
        found = located("unlearner", target[1])
        return isinstance(found, type) and issubclass(found, (InPlace, Sisa))
    return is_ours(file.with_stem(above[1]))


FILES = sorted((config_dir() / "unlearner").glob("*.yaml"))
METHODS = [file.stem for file in FILES if is_ours(file)]
BASES = [
    name
    for name in METHODS
    if "\ndefaults:" not in f"\n{(config_dir() / f'unlearner/{name}.yaml').read_text()}"
]


def shown(value):
    return value if isinstance(value, str) else json.dumps(value)


def typed(setting):
    """As it is typed: shells have a meaning of their own for brackets."""
    key, value = setting
    return f"`'{key}={shown(value)}'`" if isinstance(value, list) else f"`{key}={shown(value)}`"


def tried(space):
    if not isinstance(space, Range):
        return ", ".join(map(shown, space))
    return f"{space.low:g} to {space.high:g}" + (" (log)" if space.log else "")


def lines(base):
    """What the page must say of a method: the settings of each of its files, and what is to be tuned."""
    values, kind = settings(base)
    found = []
    for name in (n for n in METHODS if n == base or (n.startswith(f"{base}_") and n not in BASES)):
        own, _ = settings(name)
        differ = {k: v for k, v in own.items() if k != "name" and (name == base or v != values[k])}
        found.append(f"- `unlearner={name}`: " + ", ".join(map(typed, differ.items())))
    spaces = [f"`{key}` {tried(space)}" for key, space in kind.search_space.items()]
    return [*found, "- worth tuning: " + "; ".join(spaces)]


def test_every_method_has_a_section_with_its_settings():
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S))
    assert set(sections) == set(BASES)
    for base in BASES:
        assert sections[base].rstrip().endswith("\n".join(lines(base))), base


def test_the_page_of_choices_names_every_unlearner():
    (row,) = re.findall(r"^\| `unlearner` \|.*$", CHOICES.read_text(), re.M)
    assert {file.stem for file in FILES} <= set(re.findall(r"`(\w+)`", row))


@pytest.mark.parametrize("name", METHODS)
def test_the_file_says_what_the_class_takes(name):
    values, kind = settings(name)
    known = {key: p.default for key, p in signature(kind).parameters.items() if key != "model"}
    assert set(values) == set(known)
    assert values["name"] == name
    for key, value in values.items():
        if name in BASES:
            assert value == (list(known[key]) if isinstance(known[key], tuple) else known[key]), key
    own = (config_dir() / "unlearner" / f"{name}.yaml").read_text()
    assert own.startswith("# ")
    assert "Networks." in own.split("\n_target_")[0].split("\ndefaults")[0].replace("\n# ", " ")


@pytest.mark.parametrize("name", BASES)
def test_what_is_worth_tuning_are_settings_that_may_be_had(name):
    values, kind = settings(name)
    assert kind.search_space
    for key, space in kind.search_space.items():
        if isinstance(space, Range):
            assert space.low <= values[key] <= space.high, key
        else:
            assert values[key] in space, key
    with pytest.raises(ValueError, match="low must be below high"):
        Range(0.0, 1.0, log=True)


def write() -> None:
    """Put the lines where they belong."""
    text = PAGE.read_text()
    for base in BASES:
        section = re.search(rf"^## {base}\n.*?(?=^## |\Z)", text, re.M | re.S)
        kept = re.sub(r"\n- `unlearner=.*", "", section[0], flags=re.S).rstrip()
        text = text.replace(section[0], kept + "\n\n" + "\n".join(lines(base)) + "\n\n")
    PAGE.write_text(text.rstrip() + "\n")


if __name__ == "__main__":
    write()
