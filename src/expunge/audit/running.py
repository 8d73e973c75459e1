"""All methods that were asked for, side by side on the cores there are."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from expunge.audit.auditing import audit
from expunge.audit.judging import LEAST_PILOT, PILOT
from expunge.audit.methods import Entry
from expunge.audit.problems import PROBLEMS
from expunge.audit.stopped import Stopped
from expunge.audit.worlds import Effort
from expunge.core.cores import available_cores
from expunge.core.errors import BrokenInvariant, UserError

_ENDING = 5.0  # seconds for what is done after the last draw


@dataclass(frozen=True)
class _Until:
    """When all must be done (seconds since the epoch), and the share of what is left that one has."""

    end: float
    share: float

    def begun(self) -> float:
        """When one that begins now must stop, by the clock of this process."""
        return time.monotonic() + max(0.0, self.end - time.time()) * min(1.0, self.share)


def audit_all(
    found: Sequence[Entry],
    pairs: int,
    bulk: int,
    minutes: float,
    seed: int,
    workers: int | None = None,
    done: Callable[[str], None] = lambda name: None,
) -> list[dict[str, Any]]:
    """Audit every entry; return their records in order.

    As each begins it has its share of the time that is left: one that is slow here makes fewer pairs, and
    says how many.

    Args:
        found: What to audit.
        pairs: From end to end, for each; fewer for those where one takes longer, see ``Entry.share``.
        bulk: Pairs of noise alone, for each of those whose noise is that of releases.
        minutes: For all together.
        seed: Of what is drawn, with the method's name: it is the same whichever others are asked for.
        workers: Processes; None for as many as there are cores, 1 for none but this one.
        done: Told the name of each that is done.
    """
    workers = min(workers or available_cores(), len(found))
    end = time.time() + 60 * minutes - _ENDING
    shares = [entry.share for entry in found]
    jobs = [
        (entry, pairs, bulk, _Until(end, workers * entry.share / sum(shares[place:])), seed)
        for place, entry in enumerate(found)
    ]
    if workers == 1:
        records = []
        for job in jobs:
            records.append(_unpacked(_audited(*job)))
            done(job[0].name)
        return records
    # Not forked: threads of BLAS and of ours do not live on in a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_alone) as pool:
        futures = [pool.submit(_audited, *job) for job in jobs]
        names = dict(zip(futures, (job[0].name for job in jobs), strict=True))
        try:
            for future in as_completed(futures):
                _unpacked(future.result())
                done(names[future])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [_unpacked(future.result()) for future in futures]


def _alone() -> None:
    """One thread in each process, for as many processes as cores are at work; and what ``main`` sets."""
    from expunge.linear.parallel import set_threads

    set_threads(1)
    logging.getLogger("expunge.linear.solver").addHandler(logging.NullHandler())


def _unpacked(made: dict[str, Any] | UserError | Stopped) -> dict[str, Any]:
    if isinstance(made, Exception):
        raise made
    return made


def _audited(
    entry: Entry, pairs: int, bulk: int, until: _Until, seed: int
) -> dict[str, Any] | UserError | Stopped:
    """The record of one method, or why there is none: an error with a text alone gets to another process."""
    try:
        return _record(entry, pairs, bulk, until, seed)
    except UserError as error:
        return UserError(f"{entry.name}: {error}")
    except BrokenInvariant as error:
        return Stopped(f"{entry.name}: {error}")


def _record(entry: Entry, pairs: int, bulk: int, until: _Until, seed: int) -> dict[str, Any]:
    from expunge.run.build import build_unlearner

    stop = until.begun()
    network = "_target_" in (entry.settings["model"] or {})
    method = build_unlearner(entry.settings, {"unlearner": entry.choice}, network, ())
    effort = Effort(max(LEAST_PILOT * PILOT, round(entry.share * pairs)), bulk, stop)
    own = int.from_bytes(sha256(f"{seed} {entry.name}".encode()).digest()[:8], "big")
    made = audit(method, PROBLEMS[entry.data](), effort, own)
    return made.record(entry.name, entry.settings["unlearner"])
