"""Continuing a run that was interrupted, at whatever instruction it was."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.core.errors import DataError, RunFolderError
from expunge.core.files import State, load_header, load_state, save_state
from expunge.record.ledger import OUTCOME_KEYS, Ledger
from expunge.record.settings import FREE, first_difference
from expunge.record.sums import MEND

if TYPE_CHECKING:
    from expunge.record.inputs import Inputs

log = logging.getLogger(__name__)

FILE = "checkpoint.safetensors"
SECRET = "state.safetensors"
"""The model that releases are drawn around, at the end of a run: it must not leave."""


class RunCheckpoint:
    """The state of a run after some request, kept in the run folder until the run is complete.

    It is secret, and of a live model: until a method is settled its state may hold a part of rows that have
    left (corrections of kept inverse Hessians, gradients that training recorded). ``done`` deletes it.

    The ledger runs ahead of it. After a crash the requests in between are served again from the checkpoint
    and must come out as recorded. A checkpoint that is ahead of the ledger (the ledger lost lines) is not
    used: everything is repeated from the beginning, or refused where noise would be drawn again. A continued
    run must have the same settings: the resolved configuration; and the same inputs, but that requests may
    have been added. It keeps to the checkpoints it began with, one after ``every`` requests: what a method is
    made to forget for one shows in the last digits of what follows.

    Noise from the operating system is never the same again, and a model that somebody may have seen counts.
    So a run with such noise never draws a release twice that anything is made of: see ``once``; and one that
    is complete goes on, when requests are added, from the state at its end.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], inputs: Inputs, every: int) -> None:
        self.path, self.end, self.last = folder / FILE, folder / SECRET, folder / f"{FILE}.last"
        self.every = every
        self.settings, self.inputs = settings, inputs

    def save(self, state: State, ledger: Ledger, complete: bool = False) -> None:
        """Put the state in place of the last one, atomically; that of a ``complete`` run stays.

        With it goes what the records up to there are, by the hash of all their bytes.
        """
        state.values |= {"settings": self.settings, "inputs": self.inputs.as_json(), "every": self.every}
        state.values |= {"complete": complete, "ledger": ledger.prefix(state.values["run"]["served"])}
        save_state(self.end if complete else self.path, state, secret=True)

    def reopen(self) -> None:
        """Let a run that was complete go on from its end, or, where it can be repeated, from its start.

        What was kept at the end may have rows that leave now: as a checkpoint it goes in its time, or else at
        once.
        """
        if "run" in load_header(self.end):
            self.end.replace(self.path)
        self.end.unlink(missing_ok=True)

    @cached_property
    def _begun(self) -> State | None:
        """The last release of the run that is continued, if it was ended amid a request."""
        return load_state(self.last) if self.last.exists() else None

    def once(self, request: int, unlearner: Any) -> None:
        """Keep the weights that leave with a request, before anything is made of them.

        They are the ones just drawn, unless others had left with this request when the run was ended, which
        are put back. Of requests before that one nothing is evaluated again: what is drawn for them is seen
        by nobody.
        """
        if not getattr(unlearner, "draws_anew", False):
            return
        left = self._begun
        if left is None or request > left.values["request"]:
            drawn = State({"weight": unlearner.predictor.weights}, {"request": request})
            save_state(self.last, drawn, secret=True)
        elif request == left.values["request"]:
            unlearner.put_back(left.arrays["weight"])

    def load(self, ledger: Ledger) -> State | None:
        """Return the state to continue from with what the ledger holds, or None to begin again.

        Raises:
            RunFolderError: The checkpoint belongs to another configuration, to other inputs, or to other
                records; or the run would begin again, and cannot.
        """
        path = self.path if self.path.exists() else self.end
        if path == self.end and "run" not in load_header(path):
            if self.last.exists():
                raise RunFolderError(_left(path, f"there is no {FILE}"))
            return None
        try:
            state = load_state(path)
        except DataError as error:
            raise RunFolderError(f"{error}; delete it to repeat the run from its start") from None
        if not {"settings", "inputs", "run", "ledger"} <= state.values.keys():
            raise RunFolderError(f"{path}: not a checkpoint; delete it to repeat the run from its start")
        must_match(state.values.pop("settings"), self.settings)
        if difference := self.inputs.difference(state.values.pop("inputs")):
            raise RunFolderError(refused(difference))
        self.every = state.values.pop("every", self.every)
        complete, known = state.values.pop("complete", False), state.values.pop("ledger")
        if known["lines"] > ledger.lines:
            if complete or self.last.exists():
                raise RunFolderError(_left(path, f"{ledger.path.name} has lost lines"))
            log.warning("the checkpoint is ahead of %s: repeating the run from its start", ledger.path.name)
            return None
        if ledger.prefix(known["lines"]) != known:
            what = f"its first {known['lines']} lines are not those that {path.name} was made after"
            raise RunFolderError(f"{ledger.path}: damaged, {what}; {MEND}")
        return state

    def must_repeat(self, recorded: dict[str, Any], again: dict[str, Any]) -> None:
        """Compare a request served again with its record.

        Raises:
            RunFolderError: It ended differently.
        """
        for key in OUTCOME_KEYS:
            if recorded[key] != again[key]:
                found = f"{key} was {recorded[key]!r} and is now {again[key]!r}"
                why = "data, versions or machine have changed, the run cannot be continued"
                raise RunFolderError(f"request {recorded['request']}: {found}; {why}")

    def done(self) -> None:
        """The run is complete: the checkpoint, which holds secrets, goes."""
        for left in self.path.parent.glob(f"{FILE}*"):  # what a kill amid writing has left, too
            left.unlink()


def _left(path: Path, why: str) -> str:
    """The line for a run that would begin again, though models that it cannot draw again have left."""
    allowed = "force=true, for a training and a count of its own"
    return (
        f"resume: {path.parent}: releases are out that nobody can draw again, and {why}; allowed: {allowed}"
    )


def refused(difference: str) -> str:
    """The line for inputs that are not those a run began with."""
    return f"resume: {difference}; a run is continued with the inputs it began with (force=true repeats it)"


def must_match(begun_with: Any, settings: dict[str, Any]) -> None:
    """Compare the settings a run began with and those it is to be continued with.

    Raises:
        RunFolderError: They differ in something that results depend on.
    """
    old, new = ({key: v for key, v in one.items() if key not in FREE} for one in (begun_with, settings))
    if difference := first_difference(old, new):
        raise RunFolderError(f"resume: {difference}; a run is continued with the settings it began with")
