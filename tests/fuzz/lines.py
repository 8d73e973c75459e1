"""``python -m tests.fuzz.lines --count 2000 --seed 0``: generated command lines, each run and judged.

A line ends well with a run folder that is whole, or with exit code 2 and one line that names the key, nothing
left and nothing touched.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import resource
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from expunge.core.torchvision_import import import_torchvision
from tests.fuzz import by_hand
from tests.fuzz.generator import lines
from tests.fuzz.judge import SECONDS, judged
from tests.fuzz.line import Line
from tests.fuzz.world import made, seen

_GIB = 1 << 30
_MEMORY = 12 * _GIB
_PATIENCE = 15 * SECONDS  # of the clock
OFFLINE = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
_HEAVY = ("torch", "opacus", "sklearn.linear_model", "numba", "matplotlib.pyplot", "wandb")
ENVIRONMENT = {**OFFLINE, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled", "COLUMNS": "100"}


def _work(pipe: Connection, root: str) -> None:
    """Judge the lines that come through the pipe, in a process that may not take all memory."""
    # Of addresses the engine that draws charts reserves more than there is memory.
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_GIB, _GIB))
    os.chdir(root)
    before = seen(Path(root))
    while (line := pipe.recv()) is not None:
        wrong, code = judged(line, Path(root), before)
        pipe.send((wrong, code, seen(Path(root)) != before))


def results(asked: list[Line], within: Path) -> Iterator[tuple[Line, str, int]]:
    """Judge lines one after the other; a process that hangs or is killed is replaced."""
    worker: Any = None
    for line in asked:
        if worker is None:
            root = Path(tempfile.mkdtemp(dir=within))
            made(root)
            pipe, other = multiprocessing.Pipe()
            worker = multiprocessing.Process(target=_work, args=(other, str(root)))
            worker.start()
        pipe.send(line)
        wrong, code, spoiled = f"no answer in {_PATIENCE:g} s", -3, True
        try:
            if pipe.poll(_PATIENCE):
                wrong, code, spoiled = pipe.recv()
        except EOFError:
            wrong = "the process died"
        if spoiled:  # the next ones get a world as it was
            worker.kill()
            worker.join()
            worker = None
        yield line, wrong, code
    if worker is not None:
        pipe.send(None)
        worker.join()


def main() -> int:
    """Run the lines; returns how many ended otherwise than they may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1, help="run every so manieth line, from ...")
    parser.add_argument("--part", type=int, default=0, help="... this one on, as one process of several")
    parser.add_argument("--by-hand", action="store_true", help="those of by_hand.py instead")
    parser.add_argument("--kind", default=None, help="only lines of this kind")
    parser.add_argument(
        "--out", type=Path, default=None, help="a file for what went wrong, a line of JSON each"
    )
    args = parser.parse_args()
    for name in _HEAVY:  # once, before the processes are forked
        importlib.import_module(name)
    import_torchvision()
    codes: Counter[tuple[str, int]] = Counter()
    wrongs = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(ENVIRONMENT, HOME=folder, EXPUNGE_CACHE=str(Path(folder, "cache")))
        made_up = by_hand.lines() if args.by_hand else lines(args.count, args.seed)
        asked = [line for line in made_up if args.kind in (None, line.kind)]
        for line, wrong, code in results(asked[args.part :: args.parts], Path(folder)):
            codes[line.kind, code] += 1
            if wrong:
                wrongs += 1
                command = shlex.join((line.program, *(word[:200] for word in line.arguments)))
                print(f"{line.kind}: {command}\n    {wrong}", flush=True)
                if args.out:
                    with args.out.open("a") as file:
                        file.write(
                            json.dumps([line.kind, line.program, line.arguments, line.names, wrong]) + "\n"
                        )
    for (kind, code), number in sorted(codes.items()):
        print(f"{kind}: rc {code}: {number}")
    total = Counter({code: 0 for _, code in codes})
    for (_, code), number in codes.items():
        total[code] += number
    print(
        f"{sum(total.values())} lines, by exit code {dict(sorted(total.items()))}; {wrongs} ended as none may"
    )
    return min(wrongs, 1)


if __name__ == "__main__":
    raise SystemExit(main())
