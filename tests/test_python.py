"""``expunge.run``, ``sweep`` and ``compose``: the command's files and lines, and a process left as it was."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer

import expunge
from expunge.core.errors import BrokenInvariant, InvalidValue, RunFolderError, UserError
from expunge.record.ledger import Ledger
from tests import cli
from tests.kills.compare import differences

FEW = [*cli.SMALL, "removal.count=6"]
NAMED = {"dataset": "digits_3v8", "figures": False, "threads": 1, "removal.count": 6}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return expunge.run(FEW, folder=tmp_path_factory.mktemp("of") / "a run, it's mine")


# -- the same as the command -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [FEW, NAMED, [*FEW, "hydra/job_logging=default"]], ids=["list", "dict", "log"]
)
def test_the_files_of_a_run_are_those_of_the_command(here, given):
    asked = FEW if isinstance(given, dict) else given
    ended = cli.expunge(*asked, "hydra.run.dir=run", cwd=here)
    assert (ended.code, ended.err) == (0, "")
    os.rename("run", "typed")
    assert expunge.run(given, folder="run").folder == here / "run"
    assert len(cli.every(here / "run")) > 8
    assert without_clock(here / "typed") == without_clock(here / "run")
    assert [name for name in differences(here / "typed", here / "run") if not name.endswith(".log")] == []


def without_clock(folder: Path) -> dict[str, bytes]:
    """Text without what clocks and memory say; what is a sum of such text is compared elsewhere."""
    found = {
        name: content for name, content in cli.every(folder).items() if name.endswith((".yaml", ".jsonl"))
    }
    return {name: cli.without_seconds(content) for name, content in found.items()}


def test_the_files_of_a_sweep_are_those_of_the_command(here):
    ended = cli.expunge("-m", *FEW, "unlearner=newton,none", cwd=here)
    assert (ended.code, ended.err) == (0, "")
    os.rename("multirun", "typed")
    swept = expunge.sweep({**NAMED, "unlearner": ["newton", "none"]})
    assert differences(here / "typed", here / "multirun") == []
    assert [one.summary["unlearner"] for one in swept] == ["newton", "none"]
    again = expunge.sweep([*FEW, "unlearner=newton,none"])
    assert (len(again), again.folder, again[0].folder) == (2, swept.folder, swept[0].folder)


@pytest.mark.parametrize(
    "given",
    [
        ["unlearner=nope"],
        ["unlearner.lam=-1"],
        ["nope=1"],
        ["+nope=1"],
        ["unlearner"],
        ["dataset=arrays"],
        ["unlearner=null"],
        ["removal.count=[1"],
        ["resume=true", "hydra.run.dir=nowhere"],
        ["+experiment=icml2020/nope"],
    ],
    ids=" ".join,
)
def test_an_error_is_raised_with_the_line_of_the_command(here, capfd, given):
    ended = cli.expunge(*given, cwd=here)
    with pytest.raises(UserError) as raised:
        expunge.run(given)
    assert (ended.code, ended.err) == (2, f"expunge: {raised.value}\n")
    assert (*capfd.readouterr(), os.listdir(here)) == ("", "", [])


def test_errors_keep_their_type(here, result):
    with pytest.raises(InvalidValue, match=r"^unlearner\.lam: got -1"):
        expunge.run({**NAMED, "unlearner.lam": -1})
    with pytest.raises(RunFolderError, match="already holds a run"):
        expunge.run(FEW, folder=result.folder)


def test_what_must_hold_and_does_not_is_raised(here, monkeypatch):
    def broken(*_):
        raise BrokenInvariant("weights", "nan", "finite")

    monkeypatch.setattr("expunge.run.checked.Checked.record", broken)
    with pytest.raises(BrokenInvariant, match=r"weights is 'nan'.*; nothing of it has been recorded$"):
        expunge.run(FEW)


# -- what is given ---------------------------------------------------------------------------------


ODD = ("true", "null", "1e-3", "3", "a,b", "a b", "it's", "x=y", "", "[1]", "${seed}x", "none", 'q"', "é")
SLASHED = ("a\\b", "a\\", "a\\\\", "a\\'b", "\\\\''", "a\\\\b c\\")
VALUES = (None, True, 3, 0.25, 1e-4, [1, 2], [], {"a": [None, "b c"]}, Path("a b/c"))


@pytest.mark.parametrize("value", [*ODD, *SLASHED, *VALUES])
def test_a_value_arrives_as_it_is(value):
    config = expunge.compose({"+own": value, "seed": 4})
    expected = value.replace("${seed}", "4") if isinstance(value, str) else value
    found = OmegaConf.to_container(config, resolve=True)["own"]
    assert found == (str(expected) if isinstance(value, Path) else expected)
    assert type(found) is (str if isinstance(value, Path) else type(value))


def test_numbers_of_numpy_are_numbers():
    np = pytest.importorskip("numpy")
    assert expunge.compose({"unlearner.lam": np.float64(1e-4), "seed": np.int64(7)}).seed == 7


@pytest.mark.parametrize("given", ["seed=1", [3], ["-m"], ["--help"]])
def test_what_is_no_setting_is_refused(given):
    with pytest.raises(InvalidValue, match=r"^overrides: got"):
        expunge.run(given)


@pytest.mark.parametrize(
    "given", [["seeds=2"], ["+experiment=icml2020/mnist_grid", "reduced=true"]], ids=" ".join
)
def test_a_run_is_no_sweep(here, given):
    with pytest.raises(UserError, match=r"expunge\.sweep takes several"):
        expunge.run(given)
    assert os.listdir(here) == []


def test_compose_runs_nothing(here):
    config = expunge.compose(["unlearner=ssd", "seed=17", "~tracker"])
    assert (config.unlearner.name, config.seed) == ("ssd", 17)
    with pytest.raises(UserError, match=r"^unlearner: got 'nope', allowed: one of"):
        expunge.compose(["unlearner=nope"])
    assert os.listdir(here) == []


def test_files_of_ones_own(here):
    (here / "unlearner").mkdir()
    (here / "unlearner" / "mine.yaml").write_text("# Mine.\ndefaults: [newton, _self_]\nname: mine\n")
    config = expunge.compose(["unlearner=mine"], config_dir=here)
    assert config.unlearner.name == "mine"
    assert expunge.run({**NAMED, "unlearner": "mine"}, config_dir=here).summary["unlearner"] == "mine"


# -- what comes back -------------------------------------------------------------------------------


def test_a_result_agrees_with_load(result):
    frame = expunge.load(result.folder)
    pd.testing.assert_frame_equal(result.frame, frame)
    pd.testing.assert_frame_equal(result.removals, frame.removals)
    assert len(result.removals) == 6 == result.summary["requests"]
    assert result.summary == cli.summary(result.folder)
    assert "newton_corrected" in repr(result)
    assert list(result.model.arrays) == ["weight"]
    assert "<table" in result._repr_html_()


def test_a_result_is_verified_and_drawn(result):
    before = cli.every(result.folder)
    assert result.verify().accepted
    assert cli.every(result.folder) == before
    (picture,) = result.plot("accuracy")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(result.plot()) > 1
    assert result.plot()._repr_html_().count("<img ") == len(result.plot())
    with pytest.raises(InvalidValue, match=r"^figure: got 'nope', allowed: one of accuracy"):
        result.plot("nope")


@pytest.mark.parametrize("count", [1, 3])
def test_removals_are_the_requests(here, count):
    done = expunge.run({**NAMED, "removal.count": count, "unlearner": "none"})
    assert len(done.removals) == count


def test_a_study_has_no_requests(here):
    with pytest.raises(RunFolderError, match=r"no summary\.json"):
        expunge.Result.of(here)
    done = expunge.run(["+experiment=icml2020/mnist_outliers", "reduced=true", "threads=1", "figures=false"])
    assert len(done.removals) == 0
    assert done.summary["study"]


def test_cells_that_fail_are_named_and_the_others_are_there(here, capfd):
    with pytest.raises(expunge.CellsFailed, match=r"lam=-1: unlearner.lam: got -1") as raised:
        expunge.sweep({**NAMED, "unlearner.lam": [1e-3, -1]})
    swept = raised.value.sweep
    assert (len(swept), len(swept.failed), len(swept.frame), len(swept.removals)) == (1, 1, 1, 6)
    assert capfd.readouterr() == ("", "")


# -- the process is left as it was -----------------------------------------------------------------


def state() -> list[object]:
    root = logging.getLogger()
    return [
        *(sys.argv, sys.argv[:], os.getcwd(), sys.stdout, sys.stderr, dict(os.environ)),
        *(GlobalHydra.instance().hydra, HydraConfig.instance().cfg, dict(BaseContainer._resolvers)),
        *(root.level, root.handlers[:], [handler.filters[:] for handler in root.handlers]),
        *(logging.getLogger("hydra").level, logging.getLogger("mine").level, logging._handlerList[:]),
    ]


@pytest.mark.parametrize("more", [[], ["unlearner.lam=-1"], ["hydra.job.chdir=true"]], ids=str)
def test_nothing_of_the_process_changes(here, capfd, more, tmp_path_factory):
    OmegaConf.register_new_resolver("now", lambda text: "mine", replace=True)
    file = tmp_path_factory.mktemp("logs") / "mine.log"
    handler = logging.FileHandler(file, mode="w")
    logging.getLogger("mine").setLevel(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(here)):
            before = state()
            for _ in range(2):
                try:
                    expunge.run([*FEW, *more])
                except UserError:
                    assert more
            assert state() == before
        logging.getLogger().warning("afterwards")
        handler.flush()
        assert "afterwards" in file.read_text()
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger("mine").setLevel(logging.NOTSET)
        OmegaConf.clear_resolver("now")
    assert capfd.readouterr().out == ""


def test_warnings_reach_the_programs_own_handlers(here, caplog):
    (here / "run").mkdir()
    with caplog.at_level(logging.WARNING):
        logger = logging.getLogger("expunge.run.runner")
        with pytest.MonkeyPatch.context() as patch:
            served = "expunge.run.session.Session.fit"
            original = __import__("expunge.run.session").run.session.Session.fit

            def fit(self):
                logger.info("not shown")
                logger.warning("look here")
                return original(self)

            patch.setattr(served, fit)
            expunge.run(FEW)
    assert [record.getMessage() for record in caplog.records] == ["look here"]


def test_threads_take_turns(here):
    done: dict[int, expunge.Result] = {}
    threads = [
        threading.Thread(target=lambda n=n: done.update({n: expunge.run([*FEW, f"seed={n}"])}))
        for n in range(3)
    ]
    several: list[expunge.Sweep] = []
    threads.insert(1, threading.Thread(target=lambda: several.append(expunge.sweep([*FEW, "seed=3,4"]))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done[n].summary["seed"] for n in range(3)] == [0, 1, 2]
    assert len({one.folder for one in done.values()}) == 3
    assert [one.summary["seed"] for one in several[0]] == [3, 4]


def test_no_run_begins_within_a_run(here, monkeypatch):
    def nested(*_, **__):
        expunge.run(FEW)

    monkeypatch.setattr("expunge.run.runner.run", nested)
    with pytest.raises(UserError, match="from within"):
        expunge.run(FEW)
    monkeypatch.undo()
    os.chdir(here)
    assert len(expunge.run(FEW).removals) == 6


@pytest.mark.parametrize("swept", [False, True])
def test_an_interrupted_run_goes_on(here, monkeypatch, capfd, swept):
    append, count = Ledger.append, iter(range(100))

    def interrupted(self, record):
        if next(count) == 3:
            raise KeyboardInterrupt
        return append(self, record)

    more = ["checkpoint_every=2"]
    whole = expunge.run([*FEW, *more], folder="whole")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", interrupted)
        with pytest.raises(KeyboardInterrupt) as raised:
            expunge.sweep([*FEW, *more]) if swept else expunge.run([*FEW, *more], folder="run")
    assert capfd.readouterr() == ("", "")
    if swept:
        assert str(raised.value) == "what is done is kept; the same command goes on"
        (done,) = expunge.sweep([*FEW, *more])
    else:
        assert (
            str(raised.value) == f"3 requests are kept; resume=true with folder={str(here / 'run')!r} goes on"
        )
        done = expunge.run([*FEW, *more, "resume=true"], folder="run")
    assert cli.ledger(done.folder) == cli.ledger(whole.folder)


# -- the package -----------------------------------------------------------------------------------


def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, expunge; print(*[m for m in ('torch', 'hydra', 'numpy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "")


@pytest.mark.parametrize("first", ["", "import expunge.run.job, expunge.sweep.cell; "])
def test_rooms_are_called_whichever_way_they_come(first):
    code = (
        f"{first}import expunge, inspect\nfrom expunge import run, sweep\n"
        "assert run is expunge.run and callable(run) and callable(sweep)\n"
        "assert list(inspect.signature(run).parameters)[:2] == ['overrides', 'folder']\n"
        "assert 'Run one experiment' in run.__doc__\nimport expunge.run.job\nassert expunge.run.job.run_in\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_users_types_are_checked(tmp_path):
    mypy = pytest.importorskip("mypy.api")
    (tmp_path / "use.py").write_text(
        "import expunge\n"
        "result = expunge.run({'seed': 3}, folder='x')\n"
        "reveal_type(result)\n"
        "reveal_type(result.folder)\n"
        "reveal_type(expunge.sweep(['seeds=2']))\n"
        "reveal_type(expunge.compose([]))\n"
        "expunge.run(3)\n"
    )
    apart = ("torch", "torchvision", "scipy", "sklearn", "pandas", "numba", "matplotlib", "altair", "PIL")
    skipped = "".join(f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in apart)  # in no type below
    (tmp_path / "mypy.ini").write_text(f"[mypy]\n{skipped}")
    flags = ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache")]
    flags += ["--config-file", str(tmp_path / "mypy.ini")]
    told, _, _ = mypy.run([*flags, str(tmp_path / "use.py")])
    lines = [line.partition("use.py:")[2] for line in told.splitlines() if "use.py" in line]
    found = [line for line in lines if "note: Revealed" in line]
    wanted = ("expunge.results.Result", "Path", "expunge.results.Sweep", "DictConfig")
    assert len(found) == 4, told
    assert all(name in line for name, line in zip(wanted, found, strict=True)), told
    (error,) = [line for line in lines if " error: " in line]
    assert "incompatible type" in error
