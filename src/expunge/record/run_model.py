"""The model at the end of a run on the command line, for the estimator to go on with."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from expunge.core.errors import DataError, RunFolderError
from expunge.core.files import State, load_state
from expunge.core.hashing import sha256_of_array
from expunge.core.read_back import of_file, read_as
from expunge.linear.rows_away import RowsOutOfReach
from expunge.record.folders.files import lookup, read_config
from expunge.record.inputs import read
from expunge.record.known_data import read_table, training_data
from expunge.record.resume import SECRET
from expunge.record.training_data import TrainingData
from expunge.record.written import SUMMARY, require_as_written, require_complete

_NEWTON, _PIXELS = "expunge.unlearners.newton.Newton", "expunge.extractors.pixels.Pixels"
_TABLE = "expunge.datasets.table.load"
_ALIKE = (
    *("lam", "std", "epsilon", "delta", "certificate", "update", "at_limit", "perturbation", "anchor"),
    *("releases", "noise", "tol", "max_iter", "subsample_ratio", "joint_training", "solver", "solver_memory"),
)
"""Settings of the unlearner that are called so in the estimator."""
_NEEDED = {
    "unlearner._target_": _NEWTON,
    "unlearner.perturbation": "release",
    "unlearner.correct_to": None,
    "unlearner.class_weight": None,
    "extractor._target_": _PIXELS,
    "extractor.scaling": "row",
}


def run_model(folder: Path) -> State:
    """Read the state of a finished run, with settings and counts as a file of the estimator has them.

    Raises:
        RunFolderError: It is none of a finished run of noise at release, on rows as they are, or is damaged.
        DataError: The state is.
    """
    require_complete(folder)
    require_as_written([config := folder / ".hydra" / "config.yaml"])
    settings = read_config(config)
    for key, needed in _NEEDED.items():
        if (found := lookup(settings, key)) != needed:
            raise RunFolderError(f"{folder}: {key} is {found!r}, allowed for the estimator: {needed!r}")
    if lookup(settings, "repeat"):  # whose streams of noise the estimator has no setting for
        raise RunFolderError(f"{folder}: repeat is {settings['repeat']!r}, allowed for the estimator: 0")
    for name in (SUMMARY, SECRET):
        if not (folder / name).is_file():
            raise RunFolderError(f"{folder}: has no {name}, allowed: a finished run, with its state")
    state = load_state(folder / SECRET)
    with of_file(folder / SECRET), read_as("the state of a certified run"):
        unlearner, model = settings["unlearner"], settings["model"]
        intercept = settings["dataset"]["_target_"] == _TABLE
        seed = state.values["secret"] if state.values["seeded"] else None
        state.values["settings"] = {
            **{key: unlearner[key] for key in _ALIKE},
            "residual_held": unlearner["residual"],
            "normalize": True,
            "fit_intercept": intercept if model["intercept"] is None else model["intercept"],
            "intercept_scaling": model["intercept_scaling"],
            "random_state": seed,
        }
        # a run numbers its classes as its data do, the estimator in their order
        state.values["classes"] = state.values["class_places"]
        own = {"lineage": secrets.token_hex(8), "token": secrets.token_hex(8)}
        state.values["version"] = {**own, "requests": state.values["served"]}
        state.values["n_iter"] = 1  # a run does not keep how many steps its training took: one at least
    return state


def data_of_run(estimator: Any, folder: Path, X: Any, y: Any) -> TrainingData:
    """Return the training data of a run, all rows as they were, those that have left among them.

    Raises:
        RowsOutOfReach: They are not given: a run has no digests by which to know single rows again.
        DataError: X is not what the run was trained on, in type, in order or in a number.
    """
    if X is None:
        allowed = "load(folder, X, y), and save: what is written predicts alone"
        raise RowsOutOfReach(f"{folder}: a run keeps no digests of its rows; allowed: {allowed}")
    data, digests = training_data(estimator, X, y), (read(folder) or {}).get("digests", {})
    if any(name.endswith(", training weights") for name in digests):
        raise DataError(f"{folder}: its rows have weights; allowed for the estimator: a run without")
    known = [digest for name, digest in digests.items() if name.endswith(", training inputs")]
    if known != [sha256_of_array(read_table(X), 1.0, 0.0)]:
        allowed = "the array that it was trained on (dataset=arrays), whose numbers mean what they are"
        raise DataError(f"{folder}: X is not the training data of this run; allowed: {allowed}")
    return data
