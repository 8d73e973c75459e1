"""``python -m tests.ends [MOMENTS [SEED]]``: signals at random moments of runs, a network's and a sweep.

After each the same command goes on; records and model must be, byte for byte, those of the one that nothing
has disturbed. Prints a line for each that are not, and counts.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from expunge.core.ends import Terminated, listening
from tests import cli
from tests.ends.processes import signalled

_LINEAR = (*cli.SMALL[:1], "threads=1", "unlearner.lam=1e-2", "removal.count=60", "checkpoint_every=20")
_NETWORK = ("dataset=digits", "model=mlp", "unlearner=finetune", "training.epochs=12", "threads=1")
KINDS = {
    "run with figures": _LINEAR,
    "run": (*_LINEAR, "figures=false"),
    "network": (*_NETWORK, "figures=false", "removal.count=3", "checkpoint_every=1"),
    "sweep": ("-m", *_LINEAR, "figures=false", "seed=0,1"),
}
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def results(folder: Path) -> dict[str, bytes]:
    """What must come out the same: records without times, and models."""
    runs = [path.parent for path in folder.rglob("removals.jsonl")]
    ledgers = {f"{run.name}/ledger": cli.ledger(run) for run in runs}
    return ledgers | {f"{run.name}/model": (run / "model.safetensors").read_bytes() for run in runs}


def ended(kind: str, place: Path, *more: str) -> cli.Ended:
    """One command of this kind, whose run or sweep lies in ``place/it``."""
    key = "hydra.sweep.dir" if kind == "sweep" else "hydra.run.dir"
    return cli.expunge(*KINDS[kind], f"{key}=it", f"cache_dir={place / 'cache'}", *more, cwd=place)


def disturbed(kind: str, place: Path, number: signal.Signals, seconds: float) -> cli.Ended | None:
    """The same with a signal after so many seconds; None where it came too early or too late."""
    at = time.monotonic() + seconds
    with listening():
        try:
            with signalled(number, lambda: time.monotonic() > at):
                return ended(kind, place)
        except (Terminated, KeyboardInterrupt):
            return None


def fault(kind: str, place: Path, number: signal.Signals, seconds: float, wanted: dict[str, bytes]) -> str:
    """What was not as it must be; empty where nothing was, and ``missed`` where the signal was not heard."""
    broken = disturbed(kind, place, number, seconds)
    if broken is None or broken.code == 0:
        return "missed"
    if broken.code != CODES[number] or broken.err.count("\n") != 1 or "Traceback" in broken.err:
        return f"ended with {broken.code}: {broken.err!r}"
    begun = kind != "sweep" and (place / "it" / "removals.jsonl").exists()
    again = ended(kind, place, *(["resume=true"] if begun else []))
    if (again.code, again.err) != (0, ""):
        return f"went on with {again.code}: {again.err!r}"
    if left := [path.name for path in place.rglob("*.part")]:
        return f"left {left}"
    return "" if results(place / "it") == wanted else "came out otherwise"


def main(moments: int = 20, seed: int = 0) -> int:
    """Return how many were not as they must be."""
    draw, wrong = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as temporary:
        for kind in KINDS:
            whole = Path(temporary) / kind.replace(" ", "_")
            whole.mkdir()
            assert ended(kind, whole).code == 0  # brings all that is imported with it
            (whole / "again").mkdir()
            begun = time.monotonic()
            assert ended(kind, whole / "again").code == 0
            most, wanted, counts = time.monotonic() - begun, results(whole / "it"), Counter[str]()
            for k in range(moments):
                place, number = whole / str(k), list(CODES)[k % 2]
                place.mkdir()
                said = fault(kind, place, number, draw.uniform(0, most), wanted)
                counts[said if said in ("", "missed") else "wrong"] += 1
                if said not in ("", "missed"):
                    print(f"{kind} {k}, {number.name}: {said}", flush=True)
            wrong += counts["wrong"]
            right, missed = counts[""], counts["missed"]
            print(f"{kind}: {right} as they must be, {missed} missed, {counts['wrong']} wrong", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(*map(int, sys.argv[1:])), 1))
