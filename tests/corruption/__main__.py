"""``python -m tests.corruption [--count 500] [--seed 0] [--only NAME...] [--all]``: how they end."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.corruption.judge import cases
from tests.corruption.subjects import SUBJECTS


def main() -> int:
    """Print what must not be, and a count of all; return how many there are of the former."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=sorted(SUBJECTS), default=())
    parser.add_argument("--all", action="store_true", help="print every case")
    asked = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    bad, started = 0, time.perf_counter()
    for case in cases(asked.count, asked.seed, tuple(asked.only)):
        counts[case.subject, case.verdict] += 1
        bad += not case.good
        if asked.all or not case.good:
            print(
                f"{case.subject} {case.number} {case.file} {case.how}: {case.verdict}: {case.said}",
                flush=True,
            )
    for (subject, verdict), count in sorted(counts.items()):
        print(f"{subject:24} {verdict:10} {count}")
    seconds = time.perf_counter() - started
    print(f"{sum(counts.values())} corruptions, {bad} not as they must be, {seconds:.0f} s")
    return bad


if __name__ == "__main__":
    sys.exit(min(main(), 1))
