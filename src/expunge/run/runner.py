"""One experiment: data, features, fit, a stream of removal requests, metrics, summary."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.core.files import State, save_state
from expunge.core.folders import discard
from expunge.core.plain import plain
from expunge.core.read_back import of_file
from expunge.record.ledger import FILE, Ledger
from expunge.record.resume import FROM_CHECKPOINT, NotRepeated, RunCheckpoint
from expunge.record.summary import summarise
from expunge.record.written import write_summary
from expunge.run.checked import Checked
from expunge.run.experiment import Experiment
from expunge.run.session import Session
from expunge.run.show import FIGURES
from expunge.run.sound import LAST, SUMMARY
from expunge.tracking import Guarded

log = logging.getLogger(__name__)


def run(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """Run ``experiment`` in ``folder`` and return its summary.

    A folder that already holds the beginning of this run is continued: requests that were served before are
    not served again, except those after the last checkpoint, whose records must come out the same, unless
    ``resume=checkpoint`` has them replaced.

    Raises:
        RunFolderError: The folder holds another run, or served requests do not repeat.
        DataError: A file of the data or of weights has changed in the meantime.
        BrokenInvariant: A request came out as none may: it is not recorded, and the checkpoint stays.
    """
    every, was_complete = experiment.checkpoint_every, (folder / SUMMARY).exists()
    checkpoint = RunCheckpoint(folder, experiment.shown, experiment.inputs, every)
    session = Session(experiment, *experiment.extract())
    with Ledger(folder / FILE) as ledger, Guarded(experiment.tracker) as tracker:
        _begin(session, checkpoint, ledger)
        _catch_up(session, checkpoint, ledger)
        _require_alone(folder, ledger, was_complete)
        _reopen(experiment, checkpoint, folder)
        columns = session.columns()
        tracker.start(experiment.shown, folder, experiment.group)
        tracker.define(columns)
        tracker.before(session.before())
        for record in ledger.records():
            tracker.log(record)
        for request in session.pending():
            session.prepare(request)
            outcome, seconds = session.serve(request)
            checkpoint.once(request.number, experiment.unlearner)
            record = session.record(request, outcome, seconds) | checkpoint.mark(request.number)
            experiment.inputs.require_unchanged()  # nothing is recorded that comes of a mixture of data
            session.checked.record(record)
            session.save_arrays(folder)  # first: what is recorded is not evaluated again
            tracker.log(ledger.append(record))
            if request.number % checkpoint.every == 0:
                checkpoint.save(session.state(), ledger)
        facts = experiment.hidden(session.facts())
        experiment.inputs.require_unchanged(thorough=True)
        model = State(experiment.model.model())
        save_state(folder / "model.safetensors", model, secret="perturbation" in model.arrays)
        if getattr(experiment.unlearner, "draws_anew", False):
            checkpoint.save(session.state(), ledger, complete=True)
        elif getattr(experiment.unlearner, "keeps_secret", False):
            checkpoint.keep(experiment.unlearner.state())
        ledger.require_whole()
        summary: dict[str, Any] = plain(summarise(ledger.records(), facts, columns), "summary")
        write_summary(folder, summary)  # the seed is in it
        tracker.finish(summary)
        tracker.figures(partial(experiment.draw, folder))
    checkpoint.done()
    return summary


def _begin(session: Session, checkpoint: RunCheckpoint, ledger: Ledger) -> None:
    """Train, or go on from the checkpoint."""
    state = checkpoint.load(ledger)
    _account(session, ledger)
    if state is None:
        session.fit()
        session.experiment.inputs.require_unchanged()
        checkpoint.require_repeatable(session.experiment.unlearner)
        checkpoint.save(session.state(), ledger)
    else:
        with of_file(checkpoint.read):
            session.load(state)
            session.checked.loaded(ledger, session.served, session.removed, session.requested)


def _require_alone(folder: Path, ledger: Ledger, was_complete: bool) -> None:
    """Refuse to go on where another process, which a lock did not keep out, has ended the run meanwhile.

    Raises:
        RunFolderError: It has; what it left stays.
    """
    ledger.require_alone()
    if (folder / SUMMARY).exists() and not was_complete:
        raise RunFolderError(f"{folder}: another process has ended this run since this one began to go on")


def _reopen(experiment: Experiment, checkpoint: RunCheckpoint, folder: Path) -> None:
    """Let a run that was complete, and has been asked for more, go on; any other goes on as it is.

    Only here, when all that it goes on from has been read: what is refused must not cost the summary.
    """
    if (folder / SUMMARY).exists():
        discard(folder / FIGURES)
    for of_less in LAST:
        (folder / of_less).unlink(missing_ok=True)
    checkpoint.reopen()
    experiment.inputs.write(folder)


def _account(session: Session, ledger: Ledger) -> None:
    """Compare what has been recorded with what was asked for; the account goes on from there."""
    experiment = session.experiment
    rows = len(session.y_train)
    session.checked = Checked(experiment.unlearner, ledger, experiment.requests, rows)


def _catch_up(session: Session, checkpoint: RunCheckpoint, ledger: Ledger) -> None:
    """Serve the requests that were recorded after the checkpoint again, or have their records replaced.

    Raises:
        NotRepeated: One comes out otherwise, and nobody asked for that.
    """
    try:
        _serve_again(session, checkpoint, ledger)
    except NotRepeated as error:
        if session.experiment.settings.get("resume") != FROM_CHECKPOINT:
            raise
        log.warning("%s", error)
    else:
        return
    _reopen(session.experiment, checkpoint, checkpoint.path.parent)
    state = checkpoint.load(ledger)
    assert state is not None
    with of_file(checkpoint.read):
        session.load(state)
    session.count_released(checkpoint.replaced(ledger))
    checkpoint.replace(session.state(), ledger)
    _account(session, ledger)


def _serve_again(session: Session, checkpoint: RunCheckpoint, ledger: Ledger) -> None:
    unlearner, recorded = session.experiment.unlearner, ledger.records(session.served + 1)
    for request, before in zip(session.pending(ledger.lines), recorded, strict=True):
        session.count_released(checkpoint.released_before(before))
        outcome, seconds = session.serve(request)
        checkpoint.once(request.number, unlearner)
        record = session.record(request, outcome, seconds, evaluate=False)
        session.experiment.inputs.require_unchanged()
        checkpoint.must_repeat(before, record)
        if request.number % checkpoint.every == 0:
            checkpoint.save(session.state(), ledger)
