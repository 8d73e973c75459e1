"""The wheel: it holds its configurations and data, and works where the checkout is not."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests import cli

ROOT = Path(__file__).resolve().parents[1]

pytest.importorskip("build")
pytest.importorskip("hatchling")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = folder.glob("expunge-*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Folder of the commands of an environment that has the wheel, and this one's packages behind it."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    scheme = {"base": str(home), "platbase": str(home), "installed_base": str(home)}
    site = Path(sysconfig.get_path("purelib", "venv" if sys.version_info >= (3, 11) else None, scheme))
    bin_folder = Path(sysconfig.get_path("scripts", "venv" if sys.version_info >= (3, 11) else None, scheme))
    python = bin_folder / Path(sys.executable).name
    if not python.exists():
        python = bin_folder / "python"
    # Not addsitedir: the .pth files over there, the checkout's among them, must not be read.
    (site / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
    done = subprocess.run(
        [*pip, "--force-reinstall", "--ignore-installed", str(wheel)], capture_output=True, text=True
    )
    if "No module named pip" in done.stderr:
        pytest.skip("needs pip")
    assert done.returncode == 0, done.stdout + done.stderr
    return bin_folder, python, site


def test_what_is_in_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    configurations = {f"expunge/{file.relative_to(ROOT)}" for file in (ROOT / "conf").rglob("*.yaml")}
    assert configurations <= set(names)
    assert "expunge/conf/config.yaml" in names
    data = "expunge/datasets/data"
    assert {f"{data}/mnist_3v8.npz", f"{data}/LICENSE-MNIST.md"} <= set(names)
    page = ROOT / "src" / "expunge" / "report" / "page"
    shown = [file for kind in ("*.html", "*.js", "*.css") for file in page.rglob(kind)]
    assert {f"expunge/{file.relative_to(ROOT / 'src' / 'expunge')}" for file in shown} <= set(names)
    papers = {path.parent.name for path in (ROOT / "experiments").glob("*/expected.yaml")}
    assert {f"expunge/expected/{paper}.yaml" for paper in papers} <= set(names)
    packages = {name.partition("/")[0] for name in names}
    assert {name.partition("-")[0] for name in packages} == {"expunge"}
    ours = [name for name in names if name != "expunge/testing.py"]  # for the tests of plug-ins
    assert not [name for name in ours if "test" in name.lower() or name.endswith((".pyc", ".nbi", ".nbc"))]


def test_it_is_the_wheel_that_is_imported(installed, tmp_path):
    _, python, site = installed
    where = "import expunge, expunge.app; print(expunge.__file__); print(expunge.app.config_dir())"
    ended = cli.wait(cli.start("-c", where, cwd=tmp_path, program=(str(python),), PYTHONPATH=""))
    assert ended.code == 0, ended.err
    assert [Path(line) for line in ended.out.splitlines()] == [
        site / "expunge" / "__init__.py",
        site / "expunge" / "conf",
    ]


def test_it_runs_from_another_folder(installed, tmp_path):
    program = (str(installed[0] / "expunge"),)
    values = (
        "dataset=digits_3v8",
        "removal.count=3",
        "unlearner=newton_corrected",
        "figures=false",
        "threads=1",
    )
    ended = cli.wait(cli.start(*values, "hydra.run.dir=run", cwd=tmp_path, program=program, PYTHONPATH=""))
    assert (ended.code, ended.err) == (0, "")
    assert cli.summary(tmp_path / "run")["removed"] == 3
    plain = cli.completed(*values, folder=tmp_path / "checkout")
    assert cli.ledger(tmp_path / "run") == cli.ledger(plain)


def test_it_helps(installed, tmp_path):
    ended = cli.wait(
        cli.start("--help", cwd=tmp_path, program=(str(installed[0] / "expunge"),), PYTHONPATH="")
    )
    assert (ended.code, ended.err) == (0, "")
    assert "mnist_3v8" in ended.out
    assert "newton_corrected" in ended.out


def test_it_knows_what_was_published_and_has_no_records_to_write_to(installed, tmp_path):
    program = (str(installed[0] / "expunge-reproduce"),)
    values = ("cvpr2022", "--only", "ledgar")
    nothing = str(tmp_path / "nothing")
    ended = cli.wait(cli.start(*values, cwd=tmp_path, program=program, PYTHONPATH="", EXPUNGE_DATA=nothing))
    assert ended.code == 0
    assert "more than 100 (read off)" in (tmp_path / "multirun/reproduce/cvpr2022/cvpr2022.md").read_text()
    refused = cli.wait(cli.start(*values, "--write", cwd=tmp_path, program=program, PYTHONPATH=""))
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("expunge-reproduce: --write: got an installed package, allowed: a checkout")
    assert refused.err.count("\n") == 1
