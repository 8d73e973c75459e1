"""What the state of a run holds of the run itself, beside that of its method."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count, require_finite, require_switch
from expunge.core.files import State
from expunge.core.read_back import array_of, read_as


def requested_in(state: State, rows: int) -> NDArray[np.bool_]:
    """Take from a run's state which of so many rows have been requested.

    Raises:
        DataError: It is not there, or another.
    """
    found = array_of(state.arrays, "run_requested", bool, (rows,))
    del state.arrays["run_requested"]
    return found


def counts_in(state: State) -> dict[str, Any]:
    """Take from a run's state what a session has counted, measured and found.

    Raises:
        DataError: One is missing.
        InvalidValue: One is nothing of the kind.
    """
    with read_as("the checkpoint of a run"):
        run = state.values.pop("run")
        found = {key: require_count(f"run.{key}", run[key], least=0) for key in ("served", "removed")}
        measured = {key: None if v is None else require_finite(key, v) for key, v in run["measured"].items()}
        return {**found, "stopped": require_switch("run.stopped", run["stopped"]), "measured": measured}
