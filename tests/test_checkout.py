"""A checkout that nobody has installed: it is imported, and run, by its folder on PYTHONPATH alone."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from tests import cli
from tests.cli import SMALL

ROOT = Path(__file__).resolve().parents[1]
DECLARED = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
PARTS = ("src", "conf", "experiments", "pyproject.toml")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A copy of the checkout, and a folder of all packages that this Python has, without ours."""
    root = tmp_path_factory.mktemp("bare")
    packages, checkout = root / "packages", root / "checkout"
    packages.mkdir()
    checkout.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, checkout / part)
    for place in dict.fromkeys([sysconfig.get_path("purelib"), *sys.path]):
        if Path(place).name not in ("site-packages", "dist-packages"):
            continue
        for path in Path(place).iterdir():
            ours = path.name.startswith(("expunge", "_editable_impl_expunge", "__editable__"))
            if not ours and path.suffix != ".pth" and not (packages / path.name).exists():
                (packages / path.name).symlink_to(path)
    return root


def run(
    bare: Path, *command: str, cwd: Path, source: Path | None = None, more: Path | None = None
) -> cli.Ended:
    """Run Python without its site folders: of what is installed it sees what is on its path."""
    path = [source or bare / "checkout" / "src", bare / "packages", *([more] if more else [])]
    program = (sys.executable, "-S")
    return cli.wait(cli.start(*command, cwd=cwd, program=program, PYTHONPATH=os.pathsep.join(map(str, path))))


def test_it_is_imported_from_there_and_knows_its_version(bare, tmp_path):
    code = (
        "import importlib.metadata as m, expunge, expunge.app\n"
        "try: print(m.version('expunge'))\n"
        "except m.PackageNotFoundError: print('not installed')\n"
        "print(expunge.__file__, expunge.__version__, expunge.app.config_dir())\n"
    )
    ended = run(bare, "-c", code, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    checkout = bare / "checkout"
    assert ended.out.splitlines() == [
        "not installed",
        f"{checkout / 'src/expunge/__init__.py'} {DECLARED} {checkout / 'conf'}",
    ]


def test_a_run_is_that_of_the_installed_package(bare, tmp_path):
    ended = run(bare, "-m", "expunge.app", *SMALL, "removal.count=2", "hydra.run.dir=run", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    installed = cli.completed(*SMALL, "removal.count=2", folder=tmp_path / "installed")
    assert cli.ledger(tmp_path / "run") == cli.ledger(installed)
    assert cli.summary(tmp_path / "run")["versions"] == cli.summary(installed)["versions"]


def test_what_it_carries_is_found(bare, tmp_path):
    code = (
        "from expunge.datasets import mnist_3v8\n"
        "from expunge.record.columns import _bundled\n"
        "from expunge.reproduce.expected import expected_files\n"
        "print(len(mnist_3v8.load().x_train), *expected_files(), len(_bundled()) > 0)\n"
    )
    ended = run(bare, "-c", code, cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "11982 cvpr2022 icml2020 True\n"), ended.err


@pytest.mark.parametrize("module", ["expunge.report.app", "expunge.reproduce.app", "expunge"])
def test_every_program_says_its_version(bare, tmp_path, module):
    ended = run(bare, "-m", module, "--version", cwd=tmp_path)
    assert (ended.code, ended.out, ended.err) == (0, f"expunge {DECLARED}\n", "")


def test_every_module_is_imported(bare, tmp_path):
    """No lookup of our own metadata is left anywhere: all modules import where there is none."""
    code = (
        "import importlib, pkgutil, expunge\n"
        "found = pkgutil.walk_packages(expunge.__path__, 'expunge.')\n"
        "names = [module.name for module in found if '__main__' not in module.name]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names) > 200)"
    )
    ended = run(bare, "-c", code, cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "True\n"), ended.err


def test_no_module_looks_our_own_version_up_elsewhere():
    found = [
        path.name
        for path in (ROOT / "src").rglob("*.py")
        if re.search(r"from importlib\.metadata import .*\bversion\b", path.read_text())
    ]
    assert found == ["versions.py"]


def test_the_checkout_counts_where_another_version_is_installed(bare, tmp_path):
    metadata = tmp_path / "expunge-9.9.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: expunge\nVersion: 9.9\n")
    code = (
        "import expunge; from importlib.metadata import version\n"
        "print(version('expunge'), expunge.__version__)"
    )
    ended = run(bare, "-c", code, cwd=tmp_path, more=tmp_path)
    assert (ended.code, ended.out) == (0, f"9.9 {DECLARED}\n"), ended.err


def test_from_within_an_archive_it_says_what_to_do(bare, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "expunge"), "zip", bare / "checkout" / "src")
    ended = run(bare, "-m", "expunge", "--help", cwd=tmp_path, source=Path(archive))
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.endswith("no folder conf beside it; unpack the archive, or install it (pip install)")
