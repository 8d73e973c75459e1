"""``python -m tests.golden freeze|check [NAME...]``: keep the golden runs, or compare with what is kept."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.golden.record import FROZEN, MACHINE, machine, made, written
from tests.golden.settings import NAMES, people


def main(action: str, *names: str) -> int:
    """Run the golden runs; return how many differ from what is kept."""
    assert action in ("freeze", "check"), __doc__
    differing = 0
    with tempfile.TemporaryDirectory() as temporary:
        data = people(Path(temporary))
        for name in names or NAMES:
            folder = Path(temporary) / "runs" / name
            folder.mkdir(parents=True)
            now, path = written(made(name, folder, data)), FROZEN / f"{name}.json"
            if action == "freeze":
                path.parent.mkdir(exist_ok=True)
                path.write_text(now)
            differs = path.read_text() != now
            differing += differs
            print(f"{name}: {'DIFFERS' if differs else 'as kept'}", flush=True)
            if differs:
                (Path(tempfile.gettempdir()) / f"golden_{name}.json").write_text(now)
    if action == "freeze":
        MACHINE.write_text(written(machine()))
    return differing


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
