"""A data set, an extractor, an unlearner, a metric and a tracker of one's own: one file and one YAML each."""

from __future__ import annotations

import csv
import json
import re
import textwrap

import pytest
from safetensors.numpy import load_file

import expunge
from expunge.report import write_report
from tests import cli
from tests.tracking.test_tracking import of_kind, offline, stored

PLUGINS = {
    "dataset": """
        import numpy as np
        from expunge.datasets import Dataset

        def load(rows: int = 30):
            y = np.arange(rows + 10) % 2
            x = np.stack([y - 0.5, np.ones(len(y))], axis=1)
            names = {0: "even", 1: "odd"}
            return Dataset("toy", x[:rows], y[:rows], x[rows:], y[rows:], names)
    """,
    "extractor": """
        class FirstColumn:
            name = "toy"

            def extract(self, dataset):
                return dataset.x_train[:, :1], dataset.x_test[:, :1]
    """,
    "unlearner": """
        import numpy as np
        from expunge.core.files import State
        from expunge.unlearners import Outcome

        class Threshold:
            '''Predicts the label of the retained row that is nearest.'''

            name = "toy"

            def fit(self, x, y, seed):
                self.x, self.y, self.kept = x, y, np.ones(len(x), dtype=bool)

            def remove(self, rows):
                self.kept[list(rows)] = False
                return Outcome("removed", tuple(rows))

            def predict(self, x):
                distances = abs(x - self.x[self.kept].T)
                return self.y[self.kept][distances.argmin(axis=1)]

            def residual(self):
                return None

            def model(self):
                return {"x": self.x[self.kept]}

            def state(self):
                return State({"kept": self.kept})

            def load_state(self, state, x, y):
                self.x, self.y, self.kept = x, y, state.arrays["kept"].astype(bool)
    """,
    "metric": """
        from expunge.core.columns import Column

        class ForgetSet:
            COLUMNS = {
                "forget_rows": Column(
                    "rows asked for", "↓", "rows asked to be removed so far", "count", main=True
                )
            }

            def __init__(self, every: int = 1):
                self.every = every

            def __call__(self, view):
                return {"forget_rows": int(view.requested.sum())}

        class Undescribed:
            columns, every = ("plain_rows",), None

            def __call__(self, view):
                return {"plain_rows": len(view.rows)}
    """,
    "tracker": """
        from expunge.tracking.none import NoTracker

        class Counter(NoTracker):
            def start(self, config, folder, group):
                self.file, self.count = folder / "counted.txt", 0

            def log(self, record):
                self.count += 1

            def finish(self, summary):
                self.file.write_text(f"{self.count} of {summary['requests']}")
    """,
}
YAMLS = {
    "dataset/toy": "_target_: expunge_plugins.dataset.load\nrows: 20\n",
    "extractor/toy": "_target_: expunge_plugins.extractor.FirstColumn\n",
    "unlearner/toy": "_target_: expunge_plugins.unlearner.Threshold\n",
    "metrics/toy": "toy:\n  _target_: expunge_plugins.metric.ForgetSet\n  every: 2\n",
    "metrics/plain": "plain:\n  _target_: expunge_plugins.metric.Undescribed\n",
    "tracker/toy": "_target_: expunge_plugins.tracker.Counter\n",
}
CHOSEN = ("dataset=toy", "extractor=toy", "unlearner=toy", "metrics=[accuracy,toy]", "tracker=toy")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the plugins, their YAML and nothing else: a namespace package, no installation."""
    folder = tmp_path_factory.mktemp("plugins")
    for name, text in PLUGINS.items():
        file = folder / "code" / "expunge_plugins" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    for name, text in YAMLS.items():
        file = folder / "conf" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def run(place, *arguments: str) -> cli.Ended:
    process = cli.start("--config-dir", "conf", *arguments, cwd=place, PYTHONPATH=str(place / "code"))
    return cli.wait(process)


def test_all_five_run_together(place):
    ended = run(place, *CHOSEN, "removal.count=5", "threads=1", "hydra.run.dir=run")
    assert (ended.code, ended.err) == (0, "")
    records, summary = cli.records(place / "run"), cli.summary(place / "run")
    assert [record["forget_rows"] for record in records] == [None, 2, None, 4, 5]
    assert [record["outcome"] for record in records] == ["removed"] * 5
    assert [record["test_accuracy"] for record in records] == [1.0] * 5
    assert summary["epsilon_total"] is None
    assert "does not say" in summary["not_covered"], "what nobody vouches for is not covered"
    assert {key: summary[key] for key in ("dataset", "extractor", "unlearner", "n_train", "removed")} == {
        **dict.fromkeys(("dataset", "extractor", "unlearner"), "toy"),
        "n_train": 20,
        "removed": 5,
    }
    assert (place / "run" / "counted.txt").read_text() == "5 of 5"
    assert load_file(place / "run" / "model.safetensors")["x"].shape == (15, 1)


def test_a_metric_of_ones_own_reaches_every_table(place, tmp_path):
    chosen = [*CHOSEN[:3], "metrics=[accuracy,toy,plain]", "tracker=wandb", "removal.count=5", "threads=1"]
    process = cli.start(
        *("--config-dir", "conf", *chosen, "-m", "seed=0,1", f"hydra.sweep.dir={tmp_path / 'sweep'}"),
        cwd=place,
        **{"PYTHONPATH": str(place / "code"), **offline(tmp_path)},
    )
    ended = cli.wait(process)
    if ended.code not in (0, 2) and "wandb" in ended.err:
        pytest.skip(f"wandb cannot start here: {ended.err.splitlines()[-1]}")
    assert (ended.code, ended.err) == (0, "")
    meaning = "Rows asked to be removed so far."
    assert re.search(r"^  rows asked for ↓ +5$", ended.out, re.M)
    assert "plain_rows" in ended.out

    folder = write_report([tmp_path / "sweep"]).parent
    page, markdown = ((folder / name).read_text("utf-8") for name in ("report.html", "table.md"))
    assert all(f"rows asked for{space}↓" in page for space in ("\u00a0", " "))
    assert f"<dd>{meaning}</dd>" in page
    assert f"- **rows asked for ↓**: {meaning}" in markdown
    assert "against retraining" not in markdown, "nothing was trained again here"
    rows = list(csv.DictReader((folder / "table.csv").open(encoding="utf-8")))
    assert [(row["forget_rows"], row["plain_rows"]) for row in rows] == [("5.0", "1.0")] * 2
    (method,) = csv.DictReader((folder / "methods.csv").open(encoding="utf-8"))
    assert (method["runs"], float(method["forget_rows"]), float(method["forget_rows_low"])) == ("2", 5, 5)

    sweep = json.loads((tmp_path / "sweep" / "sweep.json").read_text("utf-8"))
    assert sweep["columns"]["forget_rows"]["head"] == "rows asked for"
    assert [cell["summary"]["forget_rows"] for cell in sweep["cells"]] == [5, 5]
    assert sweep["over_seeds"][0]["values"]["forget_rows"]["mean"] == 5
    frame = expunge.load(tmp_path / "sweep")
    assert frame["forget_rows"].tolist() == [5, 5]

    for file in (tmp_path / "sweep").glob("*/wandb/offline-run-*/run-*.wandb"):
        metrics = {one.name: one for one in of_kind(list(stored(file)), "metric")}
        assert metrics["forget_rows"].step_metric == "request"


def test_what_could_not_be_measured_is_said_under_the_table(place):
    measured = ("metrics=[accuracy,forgetting]", "removal.count=2", "threads=1", "hydra.run.dir=unmeasured")
    ended = run(place, *CHOSEN[:3], *measured)
    assert (ended.code, ended.err) == (0, "")
    (why,) = cli.summary(place / "unmeasured")["not_measured"].values()
    assert f" Not measured: forgetting of toy: {why}. " in " ".join(ended.out.split())
    page = write_report([place / "unmeasured"]).read_text("utf-8")
    assert f"Not measured: forgetting of toy: {why}." in page


def test_help_lists_them(place):
    ended = run(place, "--help", *CHOSEN)
    assert (ended.code, ended.err) == (0, "")
    for group in ("dataset", "extractor", "unlearner", "metrics", "tracker"):
        (line,) = (line for line in ended.out.splitlines() if line.startswith(f"  {group}: "))
        assert "toy" in line.partition(":")[2].replace(" ", "").split(",")
    assert "_target_: expunge_plugins.unlearner.Threshold" in ended.out


@pytest.mark.parametrize(
    "target", ["os.system", "expunge_pluginsx.unlearner.Threshold", "unlearner.Threshold"]
)
def test_code_from_elsewhere_is_refused(place, target):
    ended = run(place, *CHOSEN, f"unlearner._target_={target}", "hydra.run.dir=refused")
    assert (ended.code, ended.out) == (2, "")
    allowed = "a name in the package expunge or expunge_plugins"
    assert ended.err == f"expunge: unlearner._target_: got {target!r}, allowed: {allowed}\n"
    assert not (place / "refused").exists()


# A method on a model of ours, and what is missing


METHOD = """
    from expunge.unlearners import Method, Outcome

    class Idle(Method):
        supports = ("logistic", "network")
        role = "baseline"

        def __init__(self, model, name="idle", every: int = 1):
            super().__init__(model, name)
            self.every = every

        def remove(self, rows):
            index = self.predictor.checked(rows)
            self.served += 1
            if self.served % self.every:
                return Outcome("refused", tuple(index.tolist()), "not yet")
            self.predictor.refit(index)
            return Outcome("retrained", tuple(index.tolist()), "enough were asked for")
"""


@pytest.mark.parametrize("network", [False, True])
def test_a_method_on_a_model_is_one_class_with_remove(place, network):
    write(place, "method", METHOD)
    (place / "conf/unlearner/idle.yaml").write_text("_target_: expunge_plugins.method.Idle\nevery: 2\n")
    model = ("model=mlp", "model.hidden=[4]", "training.epochs=1", "cache_dir=cache") if network else ()
    folder = f"method{network}"
    how = ("unlearner=idle", "removal.count=4", "threads=1", f"hydra.run.dir={folder}", "figures=false")
    ended = run(place, "dataset=digits_3v8", *model, *how, *([] if network else ["unlearner.every=1"]))
    assert (ended.code, ended.err) == (0, ""), ended.err
    outcomes = [record["outcome"] for record in cli.records(place / folder)]
    assert outcomes == (["refused", "retrained"] * 2 if network else ["retrained"] * 4)
    assert cli.summary(place / folder)["role"] == "baseline"


def write(place, name, text):
    (place / "code" / "expunge_plugins" / f"{name}.py").write_text(textwrap.dedent(text))


LACKING = {
    "unlearner": (
        "class Toy:\n    name = 'toy'\n"
        "    def fit(self, x, y, seed): pass\n    def remove(self, rows): pass\n"
        "    def predict(self, x): pass\n    def residual(self): pass\n    def model(self): pass\n"
        "    def state(self): pass\n",
        "the method load_state(state, x, y)",
    ),
    "tracker": ("class Toy:\n    def start(self, config, folder, group): pass\n", "the method log(record), "),
    "removal": ("class Toy:\n    pass\n", "the method stream(dataset, seed)"),
    "extractor": ("class Toy:\n    pass\n", "the method extract(dataset)"),
}


@pytest.mark.parametrize("group", LACKING)
def test_what_a_part_lacks_is_said_before_the_run(place, group):
    text, lacks = LACKING[group]
    write(place, f"lacking_{group}", text)
    target = f"expunge_plugins.lacking_{group}.Toy"
    (place / "conf" / group).mkdir(exist_ok=True)
    (place / "conf" / group / "lacking.yaml").write_text(f"_target_: {target}\n")
    ended = run(place, "dataset=digits_3v8", f"{group}=lacking", "hydra.run.dir=lacks")
    (line,) = ended.err.splitlines()
    assert ended.code == 2
    assert line.startswith(f"expunge: {group}: {target} lacks {lacks}")
    assert not (place / "lacks").exists()
