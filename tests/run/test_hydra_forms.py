"""Hydra's own ways on our command line: each form that its documentation shows works, or says why not.

The pages are those of hydra.cc/docs/1.3. A form is run in this process; what Hydra logs itself is asked of a
process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser
from hypothesis import given
from hypothesis import strategies as st

from expunge import __version__
from expunge.app import config_dir
from expunge.sweep.command import name_of, prepared
from expunge.sweep.flags import as_arguments, parser, parted
from tests import cli
from tests.cli import SMALL

ONE = (*SMALL, "removal.count=1")
RUN = "hydra.run.dir=run"
SWEEP = ("-m", "hydra.sweep.dir=sweep")


def done(folder: Path) -> list[dict]:
    """The cells of the latest command in a sweep folder."""
    cells = json.loads((folder / "sweep.json").read_text())["cells"]
    return [cell for cell in cells if not cell.get("earlier")]


# -- flags: "Hydra's command line flags" -----------------------------------------------------------------


def test_flags_are_those_that_hydra_knows():
    def known(of):
        return {option: action.nargs == 0 for action in of._actions for option in action.option_strings}

    assert known(parser()) == {**known(get_args_parser()), "--list": False, "--schema": True}  # of our own


PRINTS = {
    "--version": f"expunge {__version__}\n",
    "seeds=2 -m --version": f"expunge {__version__}\n",
    "seed=17 --cfg job": "seed: 17\n",
    "--cfg job seed=17": "seed: 17\n",
    "-c job --resolve seed=17": "lam: 0.001\n",
    "--resolve seed=17 --cfg job": "lam: 0.001\n",
    "seeds=3 --cfg job": "seed: 0\n",
    "--cfg hydra": "hydra:\n  run:\n",
    "--cfg hydra --resolve": "hydra:\n  run:\n",
    "seed=17 --cfg all": "seed: 17\n",
    "--package unlearner unlearner=none --cfg job": "# @package unlearner\n_target_: expunge.unlearners.none",
    "-p unlearner.lam -c job --resolve": "0.001\n",
    "seed=17 --help": "seed: 17\n",
    "--help -m seed=17": "seed: 17\n",
    "seed=17 -h --cfg job": "removals.jsonl",
    "seeds=2 -h": "seeds: 2\n",
    "--hydra-help": "Hydra (1.",
    "unlearner=none --hydra-help": "Hydra (1.",
    "--shell-completion install=bash": "hydra_bash_completion",
    "-sc uninstall=bash": "unset",
    "install=fish -sc": "complete -c",
    "-- seed=17 --cfg": None,
}


@pytest.mark.parametrize("line", PRINTS)
def test_what_only_prints(line, tmp_path):
    ended = cli.expunge(*line.split(), cwd=tmp_path)
    if PRINTS[line] is None:
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        return
    assert (ended.code, ended.err) == (0, "")
    assert PRINTS[line] in ended.out
    assert list(tmp_path.iterdir()) == []


INFO = {"": "u|s", "all": "u|s", "config": "u|s", "searchpath": "|s", "defaults-tree": "u", "plugins": ""}


def test_info_says_what_there_is_wherever_it_stands(tmp_path):
    """In a process, as a run that has been before switches Hydra's own log off."""
    lines = [line for what in INFO for line in (f"--info {what} unlearner=none", f"unlearner=none -i {what}")]
    code = (
        "import sys; from expunge.app import main\n"
        f"for line in {lines!r}:\n"
        "    sys.argv[1:] = line.split(); print('@@@@', flush=True); main()"
    )
    ended = cli.wait(cli.start("-c", code, cwd=tmp_path, program=(sys.executable,)))
    assert (ended.code, ended.err) == (0, "")
    told = ended.out.split("@@@@\n")[1:]
    for text, what in zip(told, (what for what in INFO for _ in range(2)), strict=True):
        assert ("| main " in text) == ("|s" in INFO[what]), what
        assert ("unlearner: none" in text) == ("u" in INFO[what]), what
        assert text.strip()
    assert list(tmp_path.iterdir()) == []


def test_completion_completes(tmp_path):
    """ "Tab completion": the function that is installed asks the program again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMP_LINE", "expunge unlearner=newton_")
        ended = cli.expunge("-sc", "query=bash", cwd=tmp_path)
    assert ended.out.split() == [
        *("unlearner=newton_corrected", "unlearner=newton_rowless", "unlearner=newton_third_order")
    ]
    installed = cli.expunge("-sc", "install=bash", cwd=tmp_path)
    done = subprocess.run(
        ["bash", "-c", f"{installed.out}\ncomplete -p expunge"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "hydra_bash_completion expunge" in done.stdout


REFUSED = {
    "-m --cfg job": "--cfg: got --multirun beside it, allowed: one of --run, --multirun, --cfg, --info,",
    "-m -r": "--multirun: got --run beside it",
    "--info --cfg job": "--info: got --cfg beside it",
    "--resolve": "--resolve: only beside --cfg",
    "--package unlearner": "--package: only beside --cfg",
    "--cfg nope": "argument --cfg/-c: invalid choice: 'nope'",
    "--cfg": "argument --cfg/-c: expected one argument",
    "--nope": "--nope: no such flag",
    "--seed=1": "--seed=1: no such flag (see --hydra-help); settings have no dashes: KEY=VALUE",
    "--shell-completion": "--shell-completion: Expecting one subcommand",
    "-sc query=bash": "--shell-completion: 'COMP_LINE'",
    "--experimental-rerun config.pickle": "--experimental-rerun: not taken, as it loads a pickle",
    "--config-name nope": "nope: no such configuration file",
    "--config-dir /nope": "Additional config directory '/nope' not found",
    "unlearner=glob(newton*)": "Sweep parameters 'unlearner=glob(newton*)' requires --multirun",
    "-m unlearner=glob(nope*)": "unlearner: got 'glob(nope*)', allowed: values of which there is one",
    "-m unlearner.std=interval(1,2)": "unlearner.std: got 'interval(1,2)', allowed: choice(...) or",
    "~dataset": "dataset: got '~dataset', allowed: one of arrays,",
    "~model": "model: got '~model', allowed: one of cnn, densenet121,",
    "~training": "training: got '~training', allowed: one of adam, newton, sgd",
    "~removal": "removal: got '~removal', allowed: one of class,",
    "~tracker=none": "tracker: missing (was it deleted with ~?)",
    "~unlearner=newton_corrected": "unlearner: missing",
    "~seed": "seed: missing",
    "~device": "device: missing",
    "~progress": "progress: missing",
    "~nope": "Could not delete from config. 'nope' does not exist.",
    "~hydra/launcher": "hydra.launcher: not given",
    "+foo=1": "foo: no such key, allowed: dataset, extractor",
    "++foo=1": "foo: no such key",
    "+foo.bar=1": "foo: no such key",
    "++lam=1": "lam: no such key (near: model.lam, unlearner.lam)",
    "+unlearners=1": "unlearners: no such key (near: unlearner",
    "+dataset@other=digits": "other: no such key",
    "+model.foo=1": "model.foo: no such key, allowed: name, lam, std",
    "+training.lam=1": "training.lam: no such key, allowed: name, tol, max_iter",
    "+tracker.foo=1": "tracker: got 'foo'",
    "+metrics.accuracy.foo=1": "metrics.accuracy: got 'foo'",
    "+removal.foo=1": "removal: got 'foo'",
    "+extractor.foo=1": "extractor: got 'foo'",
    "hydra.run.dir=": "hydra.run.dir: got '', allowed: a folder",
    "hydra.run.dir=/dev/null": "hydra.run.dir (of a sweep hydra.sweep.subdir): /dev/null: no folder (",
    "hydra.run.dir=/dev/null/x": "hydra.run.dir (of a sweep hydra.sweep.subdir): /dev/null/x: no folder",
    f"hydra.run.dir={'x' * 300}": "hydra.run.dir (of a sweep hydra.sweep.subdir): xxx",
    "hydra.run.dir=null": "Error merging override hydra.run.dir=null",
    "hydra.job.env_set.FOO=1": "hydra.job.env_set.FOO: no such key, allowed: none yet; +KEY=VALUE adds one",
    "unlearner.name=Jürgen": "unlearner.name=Jürgen: not an override (",
    "data_dir=/x=y": "data_dir=/x=y: not an override (",
    "seed": "seed: not an override (",
    "tracker=null": "tracker: got null, allowed: one of mlflow, none, tensorboard, wandb",
    "-m unlearner.epsilon=range(1,nan)": "unlearner.epsilon: got 'range(1,nan)', allowed: a range of at most",
    "-m seed=range(1e9)": "seed: got 'range(1e9)', allowed: a range of at most 100,000 values",
    "-m seed=0,1 hydra.sweeper=5": "hydra.sweeper: got 5, allowed: a mapping of settings",
    "unlearner.lam=${oc.env:NOPE}": "unlearner.lam: KeyError raised while resolving interpolation",
    "experiment=icml2020/timing": "Could not override 'experiment'",
    "+unlearner.lam=1e-2": "Could not append to config. An item is already at 'unlearner.lam'",
    "+experiment=icml2020/timin reduced=true": "experiment: got 'icml2020/timin', allowed: beside",
    "-m hydra.sweeper.params={a:1}": "'NoneType' object has no attribute 'get' full_key: hydra.sweeper",
    "optimized_metric=3": "optimized_metric: got 3, allowed: the name of a number of summary.json",
    "optimized_metric=[test_accuracy_after,2]": "optimized_metric: got ['test_accuracy_after', 2]",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_refused_is_one_line_and_leaves_nothing(line, tmp_path):
    own = () if "--" in line or line.startswith("-") else ("figures=false",)
    ended = cli.expunge(*line.split(), *own, cwd=tmp_path)
    assert ended.code == 2, ended.err
    (said,) = ended.err.splitlines()
    assert said.startswith(f"expunge: {REFUSED[line]}")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# -- single runs: "Basic override syntax", "Config groups", "Configuring Hydra" --------------------------

RUNS = {
    "-r": {},
    "--run seed=1": {"seed": 1},
    "seed=1 seed=2": {"seed": 2},
    "seed=1 --": {"seed": 1},
    "hydra.mode=RUN seed=1": {"seed": 1},
    "++seed=1": {"seed": 1},
    "seed=int(1.0)": {"seed": 1},
    "~tracker": {},
    "tracker=wandb ~tracker": {},
    "~extractor": {"extractor": "none"},
    "~unlearner": {"unlearner": "none"},
    "~metrics": {},
    "metrics=[]": {},
    "~metrics.accuracy": {},
    "unlearner.name='a,b'": {"unlearner": "a,b"},
    "unlearner.name=a\\,b": {"unlearner": "a,b"},
    "unlearner.name='Jürgen'": {"unlearner": "Jürgen"},
    'unlearner.name="it\'s"': {"unlearner": "it's"},
    "unlearner.name=${unlearner.update}": {"unlearner": "corrected"},
    "+mine=1 seed=${mine}": {"seed": 1},
    "+model.mine=2 seed=${model.mine}": {"seed": 2},
    "hydra.verbose=true": {},
    "hydra.verbose=[expunge]": {},
    "hydra/job_logging=none": {},
    "hydra/job_logging=disabled": {},
    "hydra/job_logging=default": {},
    "hydra/hydra_logging=default": {},
    "hydra.output_subdir=null": {},
    "hydra.output_subdir=.hydra": {},
    "hydra.job.name=mine": {},
    "hydra.job.chdir=true": {},
    "+hydra.job.env_set.FOO=1": {},
    "hydra.searchpath=[pkg://hydra.conf]": {},
    f"--config-path {config_dir()}": {},
    f"-cp {config_dir()} -cn config": {},
    f"--config-dir={config_dir()}": {},
    "optimized_metric=test_accuracy_after": {},
}


@pytest.mark.parametrize("line", RUNS)
def test_what_runs_leaves_a_run(line, tmp_path):
    ended = cli.expunge(*line.split(" "), *ONE, RUN, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    summary = cli.summary(tmp_path / "run")
    assert {key: summary[key] for key in RUNS[line]} == RUNS[line]
    assert (tmp_path / "run" / ".hydra" / "config.yaml").is_file()


def test_in_the_folder_where_one_stands(tmp_path):
    ended = cli.expunge(*ONE, "hydra.run.dir=.", "unlearner.lam=-1", cwd=tmp_path)
    assert (ended.code, tmp_path.is_dir(), list(tmp_path.iterdir())) == (2, True, [])
    ended = cli.expunge(*ONE, "hydra.run.dir=.", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert cli.summary(tmp_path)["requests"] == 1


def test_paths_are_those_of_the_folder_the_command_was_given_in(tmp_path):
    """ "Output/Working directory": with hydra.job.chdir=true the run stands elsewhere."""
    (tmp_path / "gone.txt").write_text("3\n5\n")
    values = (*SMALL, "removal=rows", "removal.rows=gone.txt", "hydra.job.chdir=true")
    ended = cli.expunge(*values, RUN, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    ended = cli.expunge(*values, "seed=0,1", *SWEEP, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert [cell["status"] for cell in done(tmp_path / "sweep")] == ["done", "done"]
    assert cli.ledger(tmp_path / "sweep" / done(tmp_path / "sweep")[0]["run"]) == cli.ledger(tmp_path / "run")


def test_hydras_own_record_does_not_write_over_that_of_a_run(tmp_path):
    run = cli.completed(*ONE, folder=tmp_path / "run")
    before = cli.contents(run)
    for own in ("hydra.output_subdir=.hydra", "hydra.output_subdir=.hydra resume=true"):
        ended = cli.expunge(*ONE, *own.split(), "unlearner.lam=0.5", RUN, cwd=tmp_path)
        assert (ended.code, cli.contents(run)) == (2, before)


def test_what_hydra_writes_beside_a_run_is_no_obstacle_to_it(tmp_path):
    values = (*ONE, "hydra/job_logging=default", "hydra.output_subdir=own", RUN)
    refused = cli.expunge(*values, "unlearner.lam=-1", cwd=tmp_path)
    assert (refused.code, (tmp_path / "run").exists()) == (2, False)
    for more in (("force=true",), ("force=true", "seed=1"), ("resume=true", "seed=1")):
        ended = cli.expunge(*values, *more, cwd=tmp_path)
        assert (ended.code, ended.err) == (0, "")
        assert (tmp_path / "run" / "own" / "config.yaml").is_file()


# -- sweeps: "Multi-run", "Extended override syntax" -----------------------------------------------------

SWEEPS = {
    "unlearner=glob(newton_*)": ["newton_corrected", "newton_rowless", "newton_third_order"],
    "unlearner=glob([newton*,re*],exclude=*_*)": ["newton", "retrain"],
    "unlearner=choice(newton,none)": ["newton", "none"],
    "unlearner=sort(none,newton)": ["newton", "none"],
    "unlearner=tag(mine,choice(none,newton))": ["none", "newton"],
    "unlearner=newton,none": ["newton", "none"],
    "seed=range(2)": [0, 1],
    "seed=range(1,4,2)": [1, 3],
    "seed=int(choice(0,1))": [0, 1],
    "metrics=[accuracy],[accuracy,residual]": [None, None],
    "unlearner.name='a,b','c'": ["a,b", "c"],
    "~tracker seed=0,1": [0, 1],
    "seeds=2": [0, 1],
    "hydra.mode=MULTIRUN seed=0,1": [0, 1],
    "hydra.sweep.subdir=${hydra.job.num} seed=0,1": [0, 1],
    "hydra.sweeper.max_batch_size=1 seed=0,1": [0, 1],
}


@pytest.mark.parametrize("line", SWEEPS)
def test_what_is_swept(line, tmp_path):
    flags = () if "seeds=" in line or "hydra.mode" in line else ("-m",)
    values = (*line.split(" "), *ONE, "unlearner.std=100", "hydra.sweep.dir=sweep", *flags)
    ended = cli.expunge(*values, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    cells = done(tmp_path / "sweep")
    key = "seed" if "seed" in line else "unlearner"
    assert len(cells) == len(SWEEPS[line])
    if None not in SWEEPS[line]:
        assert [cell["summary"][key] for cell in cells] == SWEEPS[line]
    assert f"{len(cells)} of {len(cells)} cells done" in ended.out
    assert f"cell 1 of {len(cells)}" in ended.out


def test_experiments_by_a_pattern_are_reduced_like_any(tmp_path):
    arguments = ("reduced=true", "+experiment=glob([icml2020/mnist_c*,icml2020/mnist_h*])")
    ended = cli.expunge(
        *SWEEP, *arguments, "unlearner.lam=1e-2", "dataset=digits_3v8", *ONE[1:], cwd=tmp_path
    )
    assert ended.code == 0, ended.err
    names = [cell["settings"]["experiment"] for cell in done(tmp_path / "sweep")]
    assert names == ["icml2020/mnist_corrected_reduced", "icml2020/mnist_head_reduced"]
    ended = cli.expunge("+experiment/icml2020=mnist_grid", "reduced=true", "--cfg", "job", cwd=tmp_path)
    assert (ended.code, "count: 20\n" in ended.out) == (0, True)


def test_hydra_s_contradiction_is_one_line(tmp_path):
    ended = cli.expunge(*ONE, "hydra.mode=RUN", *SWEEP, cwd=tmp_path)
    assert (ended.code, ended.err.count("\n")) == (0, 1)
    assert ended.err.startswith("expunge: Running Hydra app with --multirun")


def test_different_commands_in_one_folder_lose_nothing(tmp_path):
    def told(*values, code=0):
        ended = cli.expunge(*ONE, *values, *SWEEP, cwd=tmp_path)
        assert ended.code == code, ended.err
        lines = (tmp_path / "sweep" / "sweep.csv").read_text().splitlines()
        return ended, {line.split(",")[0] for line in lines[1:] if ",done," in line}, lines

    _, first, table = told("seed=0,1")
    ended, both, _ = told("unlearner=none")
    assert (len(first), len(both), first < both) == (2, 3, True)
    assert "1 of 1 cell done, and 2 of earlier commands in this folder" in ended.out
    _, after, _ = told("unlearner.lam=-1", code=2)
    assert after == both, "a mistake costs nothing"
    ended, _, lines = told("seed=0,1")
    assert ended.out.count("is complete") == 2
    assert [line.split(",")[:2] for line in lines[:3]] == [line.split(",")[:2] for line in table]
    assert len(lines) == 4, "and leaves nothing"


def test_two_files_of_one_folder_are_two_sweeps(tmp_path):
    (tmp_path / "own").mkdir()
    for name, std in (("one", 20), ("other", 30)):
        text = f"defaults: [config, _self_]\nunlearner: {{std: {std}}}\n"
        (tmp_path / "own" / f"{name}.yaml").write_text(text)
        ended = cli.expunge("-m", "-cd", "own", "-cn", name, "seed=0", *ONE, cwd=tmp_path)
        assert (ended.code, ended.err) == (0, "")
    folders = sorted(path.name.partition("-")[0] for path in (tmp_path / "multirun").iterdir())
    assert folders == ["one", "other"]
    help_page = cli.expunge("-cd", "own", "-cn", "other", "--help", cwd=tmp_path)
    assert (help_page.code, "std: 30\n" in help_page.out) == (0, True)


def test_files_and_places_named_otherwise_name_another_sweep():
    values = ["+experiment=mine", "seed=0,1"]
    names = [name_of(values), *(name_of(values, {"config_dir": path}) for path in ("a", "b"))]
    names += [name_of([*values, f"hydra.searchpath=[file://{path}]"]) for path in ("a", "b")]
    assert len(set(names)) == 5
    assert name_of(values, {"config_dir": "a"}) in prepared(["-cd", "./a", *values])[-1]


def test_an_experiment_from_the_search_path_is_reduced(tmp_path):
    folder = tmp_path / "own" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\nseed: 1\nreduced: {seed: 2}\n")
    search = f"hydra.searchpath=[file://{tmp_path / 'own'}]"
    ended = cli.expunge("+experiment=mine", "reduced=true", search, "--cfg", "job", cwd=tmp_path)
    assert (ended.code, "seed: 2\n" in ended.out) == (0, True)
    ended = cli.expunge("+experiment=mine", search, "--help", cwd=tmp_path)
    assert (ended.code, "  experiment: mine\n" in ended.out) == (0, True)


WORDS = st.sampled_from(["seed=1", "~tracker", "+a.b=2", "unlearner.std=1,2", "a='x y'"])
FLAGS = st.sampled_from(
    [("-m",), ("-r",), ("--cfg", "job"), ("-i",), ("--info", "config"), ("-cd", "x"), ("-cn=y",)]
)


@given(st.lists(WORDS), st.lists(FLAGS, unique=True), st.randoms(use_true_random=False))
def test_flags_and_overrides_are_told_apart_in_any_order(words, flags, random):
    parts = [*((word,) for word in words), *flags]
    random.shuffle(parts)
    found, overrides = parted([word for part in parts for word in part])
    assert overrides == [part[0] for part in parts if part not in flags]
    again, rest = parted([*as_arguments(found), *overrides])
    assert (again, rest) == (found, overrides)
    hydra = get_args_parser().parse_args([*as_arguments(found), *overrides])
    assert hydra.overrides == overrides
    ours = {"version": False, "list": None}
    assert {key: getattr(hydra, key, ours.get(key, False)) for key in vars(found)} == vars(found)


# -- "Optuna sweeper", "Ax sweeper", "Nevergrad sweeper": a job returns a number -------------------------


@pytest.fixture
def seeker(tmp_path, monkeypatch):
    """A sweeper that is a plug-in like those: it asks for values one by one, and notes what it is told."""
    code = """
        from hydra.core.config_store import ConfigStore
        from hydra.core.plugins import Plugins
        from hydra.plugins.sweeper import Sweeper
        import json, pathlib

        class Seeker(Sweeper):
            def __init__(self, values): self.values = values
            def setup(self, *, hydra_context, task_function, config):
                self.launcher = Plugins.instance().instantiate_launcher(
                    hydra_context=hydra_context, task_function=task_function, config=config)
            def sweep(self, arguments):
                told = []
                for number, value in enumerate(self.values):
                    one = [*arguments, f"unlearner.std={value}"]
                    jobs = self.launcher.launch([one], initial_job_idx=number)
                    told += [job.return_value for job in jobs]
                pathlib.Path("told.json").write_text(json.dumps(told))
                if None in told and told[0] is None:
                    raise RuntimeError("nothing to choose from")

        ConfigStore.instance().store(
            group="hydra/sweeper", name="seeker", provider="tests",
            node={"_target_": "hydra_plugins.seeker_sweeper.Seeker", "values": [50, -1, 100]})
        """
    folder = tmp_path / "plugins" / "hydra_plugins"
    folder.mkdir(parents=True)
    (folder / "seeker_sweeper.py").write_text(textwrap.dedent(code))
    return tmp_path / "plugins"


def sought(seeker: Path, *values: str, cwd: Path) -> cli.Ended:
    path = os.pathsep.join([str(seeker), os.environ.get("PYTHONPATH", "")])
    return cli.wait(cli.start("hydra/sweeper=seeker", *ONE, *SWEEP, *values, cwd=cwd, PYTHONPATH=path))


def test_an_optimising_sweeper_is_told_the_number(seeker, tmp_path):
    ended = sought(seeker, "optimized_metric=test_accuracy_before", cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.startswith("expunge: cell 2 (")
    cells = done(tmp_path / "sweep")
    assert [cell["status"] for cell in cells] == ["done", "failed", "done"]
    told = json.loads((tmp_path / "told.json").read_text())
    assert told == [cell["summary"] and cell["summary"]["test_accuracy_before"] for cell in cells]
    values = ("optimized_metric=[test_accuracy_after,requests]", "hydra.sweeper.values=[50,100]")
    ended = sought(seeker, *values, cwd=tmp_path)
    assert (ended.code, ended.out.count("is complete")) == (0, 2), "what is told is no part of a run"
    accuracies = [cell["summary"]["test_accuracy_after"] for cell in done(tmp_path / "sweep")]
    assert json.loads((tmp_path / "told.json").read_text()) == [[value, 1] for value in accuracies]


def test_a_sweeper_that_gives_up_leaves_a_sweep_and_a_line(seeker, tmp_path):
    values = ("optimized_metric=test_accuracy_after", "hydra.sweeper.values=[-1,100]")
    ended = sought(seeker, *values, cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == "expunge: hydra/sweeper: nothing to choose from"
    assert [cell["status"] for cell in done(tmp_path / "sweep")] == ["failed", "done"]


def test_a_number_that_is_not_in_the_summary_is_named(tmp_path):
    ended = cli.expunge(*ONE, "optimized_metric=nope", RUN, cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.startswith(
        "expunge: optimized_metric: got 'nope', allowed: a number of summary.json: seed,"
    )
    ended = cli.expunge(*ONE, "optimized_metric=nope", "seed=0,1", *SWEEP, cwd=tmp_path)
    assert (ended.code, ended.err.count("optimized_metric: got 'nope'")) == (2, 2)
    ended = cli.expunge(*ONE, "optimized_metric=requests", "seed=0,1", *SWEEP, cwd=tmp_path)
    assert (ended.code, ended.err, ended.out.count("is complete")) == (0, "", 0), "and named before it runs"
