"""Whatever ends a command: its exit code, one line, and what is there afterwards."""

from __future__ import annotations

import errno
import io
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

import numba
import pytest

from expunge.core.compiled import njit
from expunge.core.ends import Terminated, ended, ended_by, listening
from expunge.core.errors import BrokenInvariant, DataError, InvalidValue
from expunge.core.homes import expanded, private_folder
from expunge.core.outputs import Output
from expunge.core.system_errors import naming, system_error
from expunge.reproduce.running import _run as run_command
from tests import cli
from tests.cli import SMALL
from tests.ends.processes import as_stranger, command, limited, lines, signalled, small_disk

RUN = (*SMALL, "unlearner.lam=1e-2", "removal.count=48", "checkpoint_every=10")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The ledger of the run that nothing disturbs."""
    return cli.ledger(cli.completed(*RUN, folder=tmp_path_factory.mktemp("unbroken") / "run"))


def goes_on(folder, unbroken, *more):
    """The same command with ``resume`` comes to the same as the run that nothing has disturbed."""
    resumed = cli.expunge(*RUN, "resume=auto", f"hydra.run.dir={folder}", *more, cwd=folder.parent)
    assert (resumed.code, resumed.err) == (0, "")
    assert cli.ledger(folder) == unbroken
    assert not list(folder.rglob("*.part"))


# Signals


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_amid_the_requests_costs_the_one_under_way_alone(tmp_path, unbroken, number, code):
    folder = tmp_path / "run"
    with signalled(getattr(signal, number), lambda: lines(folder / "removals.jsonl") >= 15):
        broken = cli.expunge(*RUN, f"hydra.run.dir={folder}", cwd=tmp_path)
    assert broken.code == code
    (line,) = broken.err.splitlines()
    kept = lines(folder / "removals.jsonl")
    assert 15 <= kept < 48
    said = "interrupted" if number == "SIGINT" else "terminated"
    assert line.startswith(f"expunge: {said}")
    assert line.endswith(f"; {kept} requests are kept")
    *_, where, following = broken.out.splitlines()
    named = where.removeprefix("Run folder: ")
    assert tmp_path / named == folder
    assert following == f"Next: {shlex.join(['expunge', *RUN, 'resume=true', f'hydra.run.dir={named}'])}"
    assert cli.served(folder) == kept // 10 * 10  # no checkpoint off the grid: it would change digits
    goes_on(folder, unbroken)


def test_a_sweep_that_is_terminated_leaves_what_is_done(tmp_path, unbroken):
    sweep = ("-m", *RUN, "seed=0,1", f"hydra.sweep.dir={tmp_path / 'sweep'}")

    def second_begun():
        ledgers = [path for path in (tmp_path / "sweep").glob("*/removals.jsonl") if lines(path) > 9]
        return len(ledgers) == 2

    with signalled(signal.SIGTERM, second_begun):
        broken = cli.expunge(*sweep, cwd=tmp_path)
    assert broken.code == 143
    assert broken.err == "expunge: terminated; what is done is kept; the same command goes on\n"
    rows = (tmp_path / "sweep" / "sweep.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["status", "done", "unfinished"]
    again = cli.expunge(*sweep, cwd=tmp_path)
    assert (again.code, again.err) == (0, "")
    assert unbroken in [cli.ledger(path.parent) for path in (tmp_path / "sweep").glob("*/removals.jsonl")]


@pytest.mark.parametrize("module", ["expunge.core.ends", "hydra", "expunge.core.files"])
def test_a_signal_amid_the_imports(tmp_path, module):
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from expunge.core.door import expunge\n"
        "sys.meta_path.insert(0, Finder)\n"
        "expunge()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines() == [
        "expunge: interrupted; nothing has been begun"[: len(done.stderr) - 1]
    ]
    assert not list(tmp_path.iterdir())


def test_signals_are_what_they_were_and_one_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert ended("test", lambda: signal.raise_signal(signal.SIGTERM)) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    own = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert ended("test", lambda: signal.getsignal(signal.SIGINT) is signal.default_int_handler) == 0
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, own)


def test_a_signal_that_comes_twice_ends_once(capsys):
    def twice():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)  # while the first is on its way
            cleaned.append(True)

    cleaned = []
    assert ended("test", twice, lambda: signal.raise_signal(signal.SIGTERM) or "well") == 143
    assert (cleaned, capsys.readouterr().err) == ([True], "test: terminated; well\n")


def test_a_signal_in_a_finaliser_is_not_lost(capsys):
    class Last:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def work():
        Last()
        for _ in range(100):
            signal.sigtimedwait([], 0.01)

    assert ended("test", work) == 143
    assert capsys.readouterr().err == "test: terminated\n"


def test_what_a_library_makes_of_a_signal_is_that_signal(capsys):
    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        except Terminated:
            raise ImportError("numpy.core.multiarray failed to import") from None

    assert ended("test", work) == 143
    assert capsys.readouterr().err == "test: terminated\n"


def test_what_a_command_has_started_ends_with_it(tmp_path):
    ready = tmp_path / "ready"
    code = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    with listening(), signalled(signal.SIGTERM, ready.exists), pytest.raises(Terminated):
        run_command([sys.executable, "-c", code])
    with listening(), pytest.raises(Terminated):
        raise ended_by(run_command([sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"]))


# What the system refuses


def test_a_disk_that_is_full(tmp_path, unbroken):
    with small_disk(tmp_path / "disk", 84) as enlarge:
        folder = tmp_path / "disk" / "run"
        broken = cli.expunge(*RUN, f"hydra.run.dir={folder}", cwd=tmp_path)
        kept = lines(folder / "removals.jsonl")
        assert broken.code == 1
        (line,) = broken.err.splitlines()
        assert line.startswith(f"expunge: {folder}/")
        assert ": no space left on device (make room there, or use another disk); " in line
        assert line.endswith(f"; {kept} requests are kept")
        assert "\nNext: expunge " in broken.out
        assert " resume=true " in broken.out
        again = cli.expunge(*RUN, "resume=true", f"hydra.run.dir={folder}", cwd=tmp_path)
        assert (again.code, len(again.err.splitlines())) == (1, 1)  # it is full still
        assert lines(folder / "removals.jsonl") >= kept
        enlarge(10_000)
        goes_on(folder, unbroken)


def test_a_sweep_on_a_disk_that_is_full(tmp_path):
    with small_disk(tmp_path / "disk", 60) as enlarge:
        sweep = tmp_path / "disk" / "sweep"
        arguments = ("-m", *RUN, "seed=0,1", f"hydra.sweep.dir={sweep}")
        broken = cli.expunge(*arguments, cwd=tmp_path)
        assert broken.code == 1
        (line,) = broken.err.splitlines()
        assert "no space left on device" in line
        enlarge(10_000)
        again = cli.expunge(*arguments, cwd=tmp_path)
        assert (again.code, again.err) == (0, "")
        assert [row.split(",")[1] for row in (sweep / "sweep.csv").read_text().splitlines()[1:]] == [
            "done"
        ] * 2


@pytest.mark.parametrize("most", [100, 9_000])
def test_files_that_may_not_be_large(tmp_path, unbroken, most):
    folder = tmp_path / "run"
    with limited({resource.RLIMIT_FSIZE: most}):
        broken = cli.expunge(*RUN, f"hydra.run.dir={folder}", cwd=tmp_path)
    assert broken.code == 1
    (line,) = broken.err.splitlines()
    assert line.startswith(f"expunge: {folder}")
    assert ": file too large (files may be no larger here: see ulimit -f); " in line
    goes_on(folder, unbroken)


def test_files_that_may_not_be_open(tmp_path, unbroken):
    folder = tmp_path / "run"
    free = os.dup(0)
    os.close(free)
    with limited({resource.RLIMIT_NOFILE: free + 1}):
        broken = cli.expunge(*RUN, f"hydra.run.dir={folder}", cwd=tmp_path)
    assert broken.code in (1, 2)
    (line,) = broken.err.splitlines()
    assert "too many open files" in line.lower()
    goes_on(folder, unbroken)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ENOSPC", "no space left on device (make room"),
        ("EDQUOT", "isk quota exceeded (make room"),
        ("EFBIG", "file too large (files may be no larger here: see ulimit -f)"),
        ("EMFILE", "too many open files (no more may be open at a time: see ulimit -n)"),
        ("ENFILE", "too many open files in system (no more may be open on this machine"),
        ("EACCES", "permission denied (the user who runs this must be allowed to)"),
        ("EROFS", "read-only file system (choose a folder that can be written to)"),
        ("ENAMETOOLONG", "file name too long (choose a shorter path)"),
        ("EIO", "put/output error (the disk or the connection to it fails)"),
        ("ESTALE", "tale file handle (the network file system has lost it"),
        ("ELOOP", "oo many levels of symbolic links (symbolic links lead in a circle)"),
    ],
)
def test_an_error_of_the_system_says_where_what_and_what_to_do(name, what):
    with pytest.raises(OSError) as caught, naming("some/file"):
        raise OSError(getattr(errno, name), "")
    line = system_error(caught.value)
    assert line.startswith("some/file: ")
    assert what in line
    assert line.count("\n") == 0


def test_which_errors_are_the_systems(capsys):
    def raising(error):
        def work():
            raise error

        return work

    caused = ValueError("Unable to configure handler 'file'")
    caused.__cause__ = PermissionError(errno.EACCES, "", "a.log")
    for error, code, line in (
        (MemoryError(), 1, "not enough memory (free some"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            1,
            "not enough memory: [",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "not enough memory: CUDA"),
        (ImportError("libx.so: failed to map segment from shared object"), 1, "not enough memory: libx.so"),
        (RuntimeError("can't start new thread"), 1, "can't start new thread (no more processes or threads"),
        (RecursionError("maximum recursion depth exceeded"), 1, "nested too deeply"),
        (caused, 1, "a.log: permission denied"),
        (InvalidValue("a", 1, "2"), 2, "a: got 1, allowed: 2"),
        (BrokenInvariant("a", 1, "2"), 1, "a is 1, and must be 2"),
    ):
        assert ended("test", raising(error)) == code, error
        said = capsys.readouterr().err
        assert said.startswith(f"test: {line}"), said
        assert said.count("\n") == 1
    with pytest.raises(ZeroDivisionError):  # a bug keeps its traceback
        ended("test", raising(ZeroDivisionError()))


# Standard output


@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        (">/dev/full", 1, "expunge: standard output: no space left on device (make room there"),
        (">&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        ("2>&-", 0, ""),
    ],
)
def test_an_output_that_takes_nothing(tmp_path, shell, code, said):
    done = command("--version", cwd=tmp_path, shell=shell)
    assert done.code == code
    assert done.err.startswith(said)
    assert done.err.count("\n") == bool(said)
    assert ("expunge 0." in done.out) == (shell == "2>&-")


def test_an_output_is_written_to_until_it_fails():
    reader, writer = os.pipe()
    text = io.TextIOWrapper(io.BufferedWriter(raw := Output(writer, "wb", closefd=False)))
    text.write("read\n")
    text.flush()
    assert os.read(reader, 99) == b"read\n"
    os.close(reader)
    text.write("not read\n" * 99)
    text.flush()
    assert isinstance(raw.error, BrokenPipeError)
    assert raw.refused() is None  # a reader may have had enough
    text.close()
    os.close(writer)


# Users


def test_a_user_without_a_name_or_a_home(tmp_path, unbroken):
    ran = as_stranger(*RUN, "hydra.run.dir=run", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert cli.ledger(tmp_path / "run") == unbroken
    assert [path.name for path in tmp_path.iterdir()] == ["run"]  # and no folder called ~


def test_a_private_folder_is_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = private_folder()
    assert folder == tmp_path / f"expunge-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert private_folder() is None
    folder.rmdir()
    (tmp_path / "planted").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "planted")
    assert private_folder() is None


def test_a_home_that_nobody_knows(tmp_path):
    with pytest.raises(DataError, match="write the path without ~"):
        expanded("~nobody-of-this-name/data")
    refused = cli.expunge(*RUN, "data_dir='~nobody-of-this-name/data'", cwd=tmp_path)
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert refused.err.startswith("expunge: data_dir: ~nobody-of-this-name/data: ")


def test_compiled_code_that_cannot_be_kept_or_is_damaged_costs_time_alone(tmp_path, monkeypatch, caplog):
    def made():
        @njit()
        def doubled(x):
            return 2 * x

        return doubled

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert made()(21) == 42
    for file in tmp_path.rglob("*.nb*"):
        file.write_bytes(file.read_bytes()[:40])
    monkeypatch.setattr("expunge.core.compiled._Cache._said", False)
    assert made()(21) == 42
    assert "compiled again" in caplog.text
    shutil.rmtree(tmp_path)
    with limited({resource.RLIMIT_FSIZE: 0}):
        assert made()(21) == 42
