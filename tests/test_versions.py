"""The versions of Python that are promised: the same for pip, for nox, and for what runs on each of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path, PosixPath

import pytest
import yaml
from omegaconf import OmegaConf

from expunge.run.yaml_files import load_yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text()  # read as text: tomllib comes with Python 3.11
CLASSIFIED = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PROJECT)


def of_nox(name: str) -> list[str]:
    """What ``noxfile.py`` sets ``name`` to, without nox, which has an environment of its own."""
    for line in ast.parse((ROOT / "noxfile.py").read_text()).body:
        if isinstance(line, ast.Assign) and line.targets[0].id == name:
            return list(ast.literal_eval(line.value))
    raise AssertionError(f"noxfile.py does not set {name}")


def of_workflow() -> dict:
    """The job that runs for each version."""
    return yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]["versions"]


def test_pip_installs_for_those_that_are_classified():
    oldest, beyond = re.search(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', PROJECT, re.MULTILINE).groups()
    assert [f"3.{minor}" for minor in range(int(oldest), int(beyond))] == CLASSIFIED


def test_nox_has_a_session_for_each_and_the_workflow_runs_it():
    assert of_nox("PYTHONS") == CLASSIFIED
    job = of_workflow()
    assert job["strategy"]["matrix"] == {"python": CLASSIFIED}
    (command,) = [step["run"] for step in job["steps"] if "nox" in step.get("run", "")]
    # One that is not there ends the job: it would be skipped otherwise.
    assert command == 'pipx run nox --error-on-missing-interpreters -s "tests-${{ matrix.python }}"'


def test_tests_of_nox_are_there():
    assert [path for path in of_nox("TESTS") if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("module", ["pathlib", "pathlib._local", PosixPath.__module__])
def test_a_path_that_another_version_has_recorded_is_read(tmp_path, module):
    file = tmp_path / "config.yaml"
    file.write_text(f"file: !!python/object/apply:{module}.PosixPath\n- /\n- x\n")
    assert load_yaml(file)[0].file == PosixPath("/x")


def test_a_path_is_read_as_this_version_records_it(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(OmegaConf.to_yaml(OmegaConf.create({"file": tmp_path})))
    assert load_yaml(file)[0].file == tmp_path
