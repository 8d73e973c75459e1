"""What all benchmarks do alike: options, turns in one process, ratios, JSON, page and picture.

A benchmark is a folder with a program, the JSON file and the picture that it writes, named like the folder,
and a page, README.md, with the results between two marks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from experiments.benchmarks.machine import environment, environment_line, sharing
from expunge.charts import style
from expunge.core.errors import DataError
from expunge.core.files import write_atomically, write_json

BEGIN = "<!-- RESULTS: written by --write, do not edit between these two lines -->"
END = "<!-- END OF RESULTS -->"
WHOLE = ""  # the name of the only part of a benchmark: the JSON file holds it without a name

Report = dict[str, Any]  # part -> what was measured
Key = TypeVar("Key", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Something that a benchmark measures in one go.

    Attributes:
        measure: Takes the options and the number of threads, returns what the JSON file is to hold.
        lines: The tables of that, in Markdown.
        heading: Of its section on the page; none where the page needs none.
        picture: What the benchmark's picture shows; none where the picture is not of this part.
        option: The option that asks for it; parts without one are measured where no option asks for another.
    """

    measure: Callable[[argparse.Namespace, int], dict[str, Any]]
    lines: Callable[[Any], Sequence[str]]
    heading: str = ""
    picture: str = ""
    option: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: run by ``main``.

    Attributes:
        folder: Where its files are; its name is that of the benchmark.
        description: For ``--help``.
        parts: By name, in the order of the page.
        arguments: Adds the options that are its own.
        options: What each option that asks for parts does, for ``--help``.
        libraries: Those whose versions count, beside the ones that always do.
        draw: Makes the picture of a report under a name; called where the part with a picture is there.
    """

    folder: Path
    description: str
    parts: Mapping[str, Part]
    arguments: Callable[[argparse.ArgumentParser], None]
    options: Mapping[str, str] | None = None
    libraries: Sequence[str] = ()
    draw: Callable[[Report, str], style.Drawn] | None = None

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Measure, print, and write JSON and picture (and, with ``--write``, the results on the page)."""
        options = self.parser().parse_args(arguments)
        out = Path(options.out)
        report = self.read(out) if out.exists() else {}
        out.parent.mkdir(parents=True, exist_ok=True)
        with sharing(options.threads) as count:
            where = environment(count, self.libraries)
            print(environment_line(where), f"Load before: {where['load_before']}.", flush=True)
            for name in self.asked(options):
                report[name] = {"environment": where, **self.parts[name].measure(options, count)}
                print("\n".join(["", *self.parts[name].lines(report[name])]), flush=True)
                write_json(out, report.get(WHOLE, report))
        drawn = self.drawn(report, out.stem)
        if drawn:
            write_atomically(out.with_suffix(".png"), drawn.png)
            write_atomically(out.with_suffix(".svg"), drawn.svg.encode())
        if options.write:
            self.write_page(report)
        return 0

    def parser(self) -> argparse.ArgumentParser:
        """The options of every benchmark and its own."""
        name = self.folder.name
        parser = argparse.ArgumentParser(
            prog=f"python -m experiments.benchmarks.{name}", description=self.description
        )
        parser.set_defaults(threads=None)
        self.arguments(parser)
        parser.add_argument("--repeats", type=positive, default=3, help="interleaved repeats (default 3)")
        for option, help_text in (self.options or {}).items():
            parser.add_argument(f"--{option}", action="store_true", help=help_text)
        parser.add_argument(
            "--out",
            default=self.folder / f"{name}.json",
            help="JSON file, kept up to date part by part; the picture is put beside it",
        )
        parser.add_argument("--write", action="store_true", help="write what the JSON file holds on the page")
        return parser

    def asked(self, options: argparse.Namespace) -> list[str]:
        """Names of the parts that the options ask for."""
        given = [name for name, part in self.parts.items() if part.option and getattr(options, part.option)]
        return given or [name for name, part in self.parts.items() if not part.option]

    def read(self, path: Path) -> Report:
        """What a JSON file holds, by part."""
        held = json.loads(path.read_text(encoding="utf-8"))
        return {WHOLE: held} if WHOLE in self.parts else held

    def drawn(self, report: Report, name: str) -> style.Drawn | None:
        """The picture, where the report has what it shows."""
        shown = any(part.picture and name in report for name, part in self.parts.items())
        return self.draw(report, name) if self.draw and shown else None

    def body(self, report: Report) -> list[str]:
        """What stands on the page between the marks."""
        lines: list[str] = []
        for name, part in self.parts.items():
            if name in report:
                lines += [f"### {part.heading}", ""] if part.heading else []
                lines += [environment_line(report[name]["environment"]), "", *part.lines(report[name]), ""]
                lines += [f"![{part.picture}]({self.folder.name}.png)", ""] if part.picture else []
        return lines

    def write_page(self, report: Report) -> None:
        """Replace what stands between the marks of README.md.

        Raises:
            DataError: A mark is missing.
        """
        page = self.folder / "README.md"
        before, found, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        _, last, after = rest.partition(END)
        if not found or not last:
            raise DataError(f"{self.folder.name}/{page.name}: the marks around the results are missing")
        body = "\n".join(self.body(report)).strip()
        write_atomically(page, f"{before}{BEGIN}\n\n{body}\n\n{END}{after}".encode())


def threads_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    parser.add_argument(
        "--threads", type=positive, help="for torch, BLAS and compiled passes (default all cores)"
    )


def positive(text: str) -> int:
    """A whole number of at least 1, from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, allowed: at least 1")
    return value


def in_turns(ways: Mapping[Key, Callable[[int], T]], repeats: int) -> dict[Key, list[T]]:
    """Call each way with the number of the repeat: A, B, ..., A, B, ..., all in this process.

    Only times taken like this make a ratio: both sides then met the same machine, libraries and load.
    """
    found: dict[Key, list[T]] = {key: [] for key in ways}
    for repeat in range(repeats):
        for key, way in ways.items():
            found[key].append(way(repeat))
    return found


def clock(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    begin = perf_counter()
    call()
    return perf_counter() - begin


def ratio(top: Sequence[ArrayLike], bottom: Sequence[ArrayLike]) -> dict[str, Any]:
    """``ratio`` of the medians, and ``ratio_by_repeat`` where both have times.

    Args:
        top: Seconds, repeat by repeat, one or many in each.
        bottom: Likewise, of the same repeats.
    """
    above, below = ([np.ravel(repeat) for repeat in side] for side in (top, bottom))
    return {
        "ratio": float(np.median(np.concatenate(above)) / np.median(np.concatenate(below))),
        "ratio_by_repeat": [
            float(np.median(a) / np.median(b)) for a, b in zip(above, below, strict=True) if a.size and b.size
        ],
    }


def spread(seconds: ArrayLike) -> dict[str, Any]:
    """Median, tenth and ninetieth percentile and mean in milliseconds, and how many."""
    p10, median, p90 = (float(q) for q in 1e3 * np.percentile(seconds, (10, 50, 90)))
    mean = 1e3 * float(np.mean(seconds))
    return {"median": median, "p10": p10, "p90": p90, "mean": mean, "count": np.size(seconds)}


def repeated(seconds: list[float]) -> dict[str, Any]:
    """The seconds of every repeat and their median."""
    return {"seconds": seconds, "median": float(np.median(seconds))}
