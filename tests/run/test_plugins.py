"""A data set, an extractor, an unlearner, a metric and a tracker of one's own: one file and one YAML each."""

from __future__ import annotations

import textwrap

import pytest
from safetensors.numpy import load_file

from tests import cli

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
        from expunge.unlearners import Outcome, State

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
        class ForgetSet:
            columns = ("forget_rows",)

            def __init__(self, every: int = 1):
                self.every = every

            def __call__(self, view):
                return {"forget_rows": int(view.requested.sum())}
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


def expunge(place, *arguments: str) -> cli.Ended:
    process = cli.start("--config-dir", "conf", *arguments, cwd=place, PYTHONPATH=str(place / "code"))
    return cli.wait(process)


def test_all_five_run_together(place):
    ended = expunge(place, *CHOSEN, "removal.count=5", "threads=1", "hydra.run.dir=run")
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


def test_help_lists_them(place):
    ended = expunge(place, "--help", *CHOSEN)
    assert (ended.code, ended.err) == (0, "")
    for group in ("dataset", "extractor", "unlearner", "metrics", "tracker"):
        (line,) = (line for line in ended.out.splitlines() if line.startswith(f"  {group}: "))
        assert "toy" in line.partition(":")[2].replace(" ", "").split(",")
    assert "_target_: expunge_plugins.unlearner.Threshold" in ended.out


@pytest.mark.parametrize(
    "target", ["os.system", "expunge_pluginsx.unlearner.Threshold", "unlearner.Threshold"]
)
def test_code_from_elsewhere_is_refused(place, target):
    ended = expunge(place, *CHOSEN, f"unlearner._target_={target}", "hydra.run.dir=refused")
    assert (ended.code, ended.out) == (2, "")
    allowed = "a name in the package expunge or expunge_plugins"
    assert ended.err == f"expunge: unlearner._target_: got {target!r}, allowed: {allowed}\n"
    assert not (place / "refused").exists()
