"""``python -m tests.kills [--twice] [NAME...]``: every event of every scenario, or of those named."""

from __future__ import annotations

import collections
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.kills.kill import killed, unbroken
from tests.kills.scenarios import SCENARIOS, warm


def main(*arguments: str) -> int:
    """Kill at every event, with ``--twice`` the command after it as well; return how many ended otherwise."""
    names, wrong, total = [name for name in arguments if name != "--twice"], 0, 0
    warm(names or SCENARIOS)
    for name in names or SCENARIOS:
        with tempfile.TemporaryDirectory() as folder:
            began, chance = time.monotonic(), random.Random(name)
            whole = unbroken(SCENARIOS[name], Path(folder))
            count = len(whole.events)
            for event in range(count):
                again = (chance.randrange(count),) if "--twice" in arguments else ()
                found = list(killed(whole, event, *again))
                wrong += bool(found)
                if found:
                    print(f"{name} at {event}, {whole.events[event]}: {'; '.join(found)}", flush=True)
            kinds = collections.Counter(one.partition(" ")[0] for one in whole.events)
            told = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
            print(f"{name}: {count} events ({told}) in {time.monotonic() - began:.0f} s", flush=True)
            total += count
    print(f"{total} kills, {wrong} ended otherwise")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
