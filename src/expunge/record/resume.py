"""Continuing a run that was interrupted, at whatever instruction it was."""

from __future__ import annotations

import logging
import secrets
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.core.checks import require_count
from expunge.core.errors import DataError, InvalidValue, RunFolderError
from expunge.core.files import State, load_state, read_header, save_state
from expunge.core.read_back import array_of, of_file, read_as, same
from expunge.record.continued import KEY, Continued
from expunge.record.ledger import OUTCOME_KEYS, Ledger
from expunge.record.settings import must_match
from expunge.record.sums import MEND

if TYPE_CHECKING:
    from expunge.record.inputs import Inputs

log = logging.getLogger(__name__)

FILE = "checkpoint.safetensors"
FROM_CHECKPOINT = "checkpoint"
"""The value of ``resume`` that replaces records which do not come out again."""
IF_THERE = "auto"
"""The value that begins a run where there is none, as a script does that is the same each time."""
SECRET = "state.safetensors"
"""The model that releases are drawn around, at the end of a run: it must not leave."""


class NotRepeated(RunFolderError):
    """A request served again did not come out as recorded."""


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

    Where requests served again do not come out as recorded (another kind of processor rounds otherwise), the
    records after the checkpoint can be replaced: see ``replace``.

    Nothing is believed of a file whose digest is not its content's, and every file says which run it is of
    (``of``: its settings may be those of another).
    """

    def __init__(self, folder: Path, settings: dict[str, Any], inputs: Inputs, every: int) -> None:
        self.path, self.end, self.last = folder / FILE, folder / SECRET, folder / f"{FILE}.last"
        self.every = every
        self.settings, self.inputs = settings, inputs
        self.of, self.recorded = secrets.token_hex(8), 0
        self.read = self.path  # the file that the run goes on from
        self._at = 0  # requests that the last state is of
        self._continued: Continued | None = None

    def save(self, state: State, ledger: Ledger, complete: bool = False) -> None:
        """Put the state in place of the last one, atomically; that of a ``complete`` run stays.

        With it goes what the records up to there are, by the hash of all their bytes.
        """
        self._at = state.values["run"]["served"]
        again = asdict(self._continued) if self._continued and self._continued.after == self._at else None
        state.values |= {"settings": self.settings, "inputs": self.inputs.as_json(), "every": self.every}
        known = ledger.prefix(self._at)
        state.values |= {"complete": complete, "of": self.of, "ledger": known, KEY: again}
        save_state(self.end if complete else self.path, state, secret=True)

    def keep(self, state: State) -> None:
        """Write the state at the end of a run that can be repeated."""
        save_state(
            self.end, State(state.arrays, {**state.values, "inputs": self.inputs.as_json()}), secret=True
        )

    def reopen(self) -> None:
        """Let a run that was complete go on: nothing at its end says that it is, any more.

        What was kept there may have rows that leave now: as a checkpoint it goes in its time, or, where the
        run has been repeated, at once.
        """
        if self.read == self.end and "run" in self._end():
            self.end.replace(self.path)
        self.end.unlink(missing_ok=True)

    def require_end(self) -> None:
        """See that the state at the end, if there is one, is what was written.

        Raises:
            RunFolderError: It is not.
        """
        self._end()

    def _end(self) -> dict[str, Any]:
        """The header of the state at the end, if there is one.

        Raises:
            RunFolderError: It is damaged: releases that it knows of would be drawn again.
        """
        if not self.end.exists():
            return {}
        try:
            return read_header(self.end)[1]
        except DataError as error:
            raise RunFolderError(f"{error}; allowed: force=true, which repeats the run") from None

    @cached_property
    def _begun(self) -> State | None:
        """The last release of the run that is continued, if it was ended amid a request.

        Raises:
            RunFolderError: It is damaged, of another run, or of a request before the last that was recorded.
        """
        if not self.last.exists():
            return None
        try:
            left = load_state(self.last)
            with of_file(self.last):
                same("of", left.values.get("of"), self.of)
                array_of(left.arrays, "weight", float, (None, None))
                require_count("request", left.values.get("request"), self.recorded, self.recorded + 1)
        except (DataError, InvalidValue) as error:
            raise RunFolderError(_left(self.path, str(error))) from None
        return left

    def once(self, request: int, unlearner: Any) -> None:
        """Keep the weights that leave with a request, before anything is made of them.

        They are the ones just drawn, unless others had left with this request when the run was ended, which
        are put back. Of requests before that one nothing is evaluated again: what is drawn for them is seen
        by nobody.
        """
        if not getattr(unlearner, "draws_anew", False):
            return
        own = getattr(unlearner, "weights_out", None)  # of a network
        left, out = self._begun, unlearner.predictor.weights if own is None else own
        if left is None and request <= self.recorded:
            raise RunFolderError(_left(self.path, f"there is no {self.last.name}"))
        if left is None or request > left.values["request"]:
            save_state(self.last, State({"weight": out}, {"request": request, "of": self.of}), secret=True)
        elif request == left.values["request"]:
            with of_file(self.last):
                unlearner.put_back(array_of(left.arrays, "weight", float, out.shape))

    def require_repeatable(self, unlearner: Any) -> None:
        """Refuse to begin again a run whose records speak of releases that nobody can draw again.

        Raises:
            RunFolderError: What it would go on from is missing.
        """
        if self.recorded and getattr(unlearner, "draws_anew", False):
            raise RunFolderError(_left(self.path, f"there is neither {FILE} nor {SECRET}"))

    def load(self, ledger: Ledger) -> State | None:
        """Return the state to continue from with what the ledger holds, or None to begin again.

        Raises:
            RunFolderError: The checkpoint belongs to another configuration, to other inputs, or to other
                records; or the run would begin again, and cannot.
        """
        self.recorded = ledger.lines
        at_end = "run" in self._end()  # a kill may have left a checkpoint beside it, which is older
        self.read = path = self.path if self.path.exists() and not at_end else self.end
        if path == self.end and not at_end:
            if self.last.exists():
                raise RunFolderError(_left(path, f"there is no {FILE}"))
            return None
        try:
            state = load_state(path)
        except DataError as error:
            raise RunFolderError(f"{error}; delete it to repeat the run from its start") from None
        if not {"settings", "inputs", "run", "ledger"} <= state.values.keys():
            raise RunFolderError(f"{path}: not a checkpoint; delete it to repeat the run from its start")
        must_match(state.values.pop("settings"), self.settings, path)
        begun = state.values.pop("inputs")
        if not self.inputs.is_of_inputs(begun):
            raise RunFolderError(f"{path}: holds no inputs; delete it to repeat the run from its start")
        if difference := self.inputs.difference(begun):
            raise RunFolderError(refused(difference, path))
        self.of = str(state.values.pop("of", ""))
        complete, known = state.values.pop("complete", False), state.values.pop("ledger")
        with of_file(path), read_as("a checkpoint"):
            self.every = require_count("every", state.values.pop("every", self.every))
            run = state.values["run"]
            served = require_count("run.served", run["served"], least=0)
            same("ledger.lines", known["lines"], served)
        if served > ledger.lines:
            if complete or run.get("anew") or self.last.exists():
                raise RunFolderError(_left(path, f"{ledger.path.name} has lost lines"))
            log.warning("the checkpoint is ahead of %s: repeating the run from its start", ledger.path.name)
            return None
        if ledger.prefix(known["lines"]) != known:
            what = f"its first {known['lines']} lines are not those that {path.name} was made after"
            raise RunFolderError(f"{ledger.path}: damaged, {what}; {MEND}")
        self._at, again = known["lines"], state.values.pop(KEY, None)
        self._continued = Continued(**again) if again else None
        if self._continued and ledger.lines > self._at and self._first_of(ledger) != self._continued:
            self._cut(ledger)  # the run was ended amid it
        return state

    def must_repeat(self, recorded: dict[str, Any], again: dict[str, Any]) -> None:
        """Compare a request served again with its record.

        Raises:
            RunFolderError: It ended differently.
        """
        for key in OUTCOME_KEYS:
            if recorded[key] != again[key]:
                found = f"{key} was {recorded[key]!r} and is now {again[key]!r}"
                why = "data, versions or machine have changed, the run cannot be continued as it was"
                mend = f"resume={FROM_CHECKPOINT} replaces the records after request {self._at}, and says so"
                raise NotRepeated(f"request {recorded['request']}: {found}; {why}; {mend}")

    def replaced(self, ledger: Ledger) -> int:
        """Prepare to replace the records after the checkpoint; of the releases among them, say how many.

        These have left, and count: whoever draws the requests' releases anew makes more of them.
        """
        count = released = 0
        for record in ledger.records(self._at + 1):
            count, released = count + 1, released + (record["outcome"] != "refused")
            if earlier := self._uncounted(record):
                count, released = count + earlier.replaced, released + earlier.released
        if self._begun is not None and self._begun.values["request"] > ledger.lines:
            released += 1  # it left before it could be recorded
        self._continued = Continued(self._at, count, released).and_before(self._continued)
        return released

    def released_before(self, record: dict[str, Any]) -> int:
        """Of a record that is to come out again: models that had left with those whose place it took."""
        earlier = self._uncounted(record)
        return earlier.released if earlier else 0

    def _uncounted(self, record: dict[str, Any]) -> Continued | None:
        """What a record took the place of, unless the state of the checkpoint has counted it."""
        earlier = Continued.of(record.get(KEY))
        return None if earlier == self._continued else earlier

    def replace(self, state: State, ledger: Ledger) -> None:
        """Cut off the records after the checkpoint, whose ``state`` has counted what was ``replaced``.

        First that is on disk: a run that ends at any instruction here has the count, and cuts when it is
        continued.
        """
        self.save(state, ledger)
        self._cut(ledger)

    def _cut(self, ledger: Ledger) -> None:
        self.last.unlink(missing_ok=True)  # what left then is counted, and is not put back
        self.__dict__.pop("_begun", None)
        ledger.keep(self._at)
        self.recorded = self._at

    def _first_of(self, ledger: Ledger) -> Continued | None:
        return Continued.of(next(ledger.records(self._at + 1)).get(KEY))

    def mark(self, request: int) -> dict[str, str]:
        """What the record of a request says besides, if it is the first that took the place of others."""
        again = self._continued
        return {KEY: str(again)} if again and again.after + 1 == request else {}

    def done(self) -> None:
        """The run is complete: the checkpoint, which holds secrets, goes."""
        for left in self.path.parent.glob(f"{FILE}*"):  # what a kill amid writing has left, too
            left.unlink(missing_ok=True)


def _left(path: Path, why: str) -> str:
    """The line for a run that would begin again, though models that it cannot draw again have left."""
    allowed = "force=true, for a training and a count of its own"
    return (
        f"resume: {path.parent}: releases are out that nobody can draw again, and {why}; allowed: {allowed}"
    )


def refused(difference: str, path: Path | None = None) -> str:
    """The line for inputs that are not those a run began with, by what ``path`` holds of them."""
    by = f" (by {path})" if path else ""
    return (
        f"resume: {difference}{by}; a run is continued with the inputs it began with (force=true repeats it)"
    )
