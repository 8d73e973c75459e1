"""``python -m tests.kills [--twice] [--seconds=S] [NAME...]``: every event of all scenarios, or of the named.

With ``--seconds`` as many of each scenario as there is time for: one of each sort first, which differ
in more than numbers and made-up names, then the others in an order drawn by chance.
"""

from __future__ import annotations

import argparse
import collections
import math
import random
import re
import sys
import tempfile
import time
from pathlib import Path

from tests.kills.kill import Unbroken, killed, unbroken
from tests.kills.scenarios import SCENARIOS, warm

_MADE_UP = re.compile(r"[0-9a-f]{8,}|[0-9]+|(?<=tmp)\w+")


def main(*arguments: str) -> int:
    """Kill at events; return how many ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCENARIOS)} (default: all)")
    parser.add_argument("--twice", action="store_true", help="kill the command after it as well")
    parser.add_argument("--seconds", type=float, default=math.inf, help="at most so long a scenario")
    options = parser.parse_args(arguments)
    if unknown := sorted({*options.names} - {*SCENARIOS}):
        parser.error(f"NAME: got {', '.join(unknown)}, allowed: {', '.join(SCENARIOS)}")
    done = [_kill(name, options.seconds, options.twice) for name in options.names or SCENARIOS]
    print(
        f"{sum(kills for kills, _ in done)} kills, {(wrong := sum(bad for _, bad in done))} ended otherwise"
    )
    return wrong


def _kill(name: str, seconds: float, twice: bool) -> tuple[int, int]:
    """How many events of a scenario it was killed at, and how many of these ended otherwise."""
    warm([name])
    with tempfile.TemporaryDirectory() as folder:
        chance, kills, wrong = random.Random(name), 0, 0
        whole = unbroken(SCENARIOS[name], Path(folder))
        count, (first, rest) = len(whole.events), in_order(whole, chance)
        began = time.monotonic()
        for event in first + rest:
            if time.monotonic() - began > seconds:
                break
            found = list(killed(whole, event, *((chance.randrange(count),) if twice else ())))
            kills, wrong = kills + 1, wrong + bool(found)
            if found:
                print(f"{name} at {event}, {whole.events[event]}: {'; '.join(found)}", flush=True)
        kinds = collections.Counter(one.partition(" ")[0] for one in whole.events)
        told = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
        sorts = f"{min(kills, len(first))} of {len(first)} sorts"
        took = f"{time.monotonic() - began:.0f} s"
        print(f"{name}: {kills} of {count} events ({told}), {sorts}, {wrong} otherwise, {took}", flush=True)
        return kills, wrong


def in_order(whole: Unbroken, chance: random.Random) -> tuple[list[int], list[int]]:
    """The events of a scenario, in an order drawn by chance: one of each sort, and the others."""
    events = chance.sample(range(len(whole.events)), len(whole.events))
    first = {_MADE_UP.sub("#", whole.events[event]): event for event in events}.values()
    return list(first), [event for event in events if event not in set(first)]


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
