"""Tables of a benchmark's JSON, for the terminal and for README.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.core.errors import DataError

BEGIN = "<!-- RESULTS: written by --write, do not edit between these two lines -->"
END = "<!-- END OF RESULTS -->"


def environment_line(where: dict[str, Any]) -> str:
    """Machine, versions and threads in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    pools = ", ".join(f"{name}: {count}" for name, count in where["library_threads"].items())
    return (
        f"{where['processor']}, {where['cores']} cores; threads: torch {where['torch_threads']}, "
        f"compiled passes {where['row_threads']}, {pools}; Python {where['python']}, {versions}."
    )


def setting_lines(found: dict[str, Any]) -> list[str]:
    """Both tables of one setting, in Markdown."""
    s = found["setting"]
    heading = (
        f"### lam {s['lam']:g}, std {s['std']:g} (eps {s['epsilon']:g}, delta {s['delta']:g}, "
        f"budget {s['budget']:.3g}; n = {s['n']:,}, d = {s['d']})"
    )
    removal = [
        [
            f"({row['key']}) {row['method']}",
            typical(row["ms"]),
            short(row["ms"]["mean"]),
            f"{times(row['ratio'])} ({span(row['ratio_by_repeat'])})",
            _target(row),
            f"{row['retrained']} of {row['served']}",
            f"{row['bound']:.2g}" + (f" ({row['over_budget']} over budget)" if row["over_budget"] else ""),
            f"{row['residual']:.2g}",
        ]
        for row in found["removal"]
    ]
    training = [
        [
            row["method"],
            typical(row["ms"]),
            f"{row['gradient_norm']:.2g}" + (f" ({row['stopped_by']})" if "stopped_by" in row else ""),
            f"{times(row['ratio'])} ({span(row['ratio_by_repeat'])})" if "ratio" in row else "",
            f"at most {row['at_most']}x: {verdict(row['met'])}" if "at_most" in row else "",
        ]
        for row in found["training"]
    ]
    return [
        heading,
        "",
        *table(
            "method|ms per removal (p10-p90)|mean|faster than (a), by repeat|target|retrained|bound|residual",
            removal,
        ),
        "",
        *table("training|ms (p10-p90)|gradient norm|time over lbfgs, by repeat|target", training),
    ]


def growth_lines(measured: dict[str, Any]) -> list[str]:
    """Both tables of the growth, in Markdown."""
    lines: list[str] = []
    for part, fixed in (("by_rows", "d"), ("by_dim", "n")):
        series = measured[part]
        rows = [
            [f"{size:,}", short(1e3 * a), short(1e3 * b), times(ratio)]
            for size, a, b, ratio in zip(
                series["sizes"], series["seconds"]["a"], series["seconds"]["b"], series["ratio"], strict=True
            )
        ]
        slopes = series["exponent"]
        rows.append(["fitted exponent", f"{slopes['a']:.2f}", f"{slopes['b']:.2f}", ""])
        heads = f"{series['name']} ({fixed} = {series[fixed]:,})|(a) ms|(b) ms|(a) / (b)"
        lines += ["", *table(heads, rows)]
    return lines[1:]


def write_into(readme: Path, report: dict[str, Any]) -> None:
    """Replace what stands between the two marks of ``readme``.

    Raises:
        DataError: A mark is missing.
    """
    lines: list[str] = []
    if "removal" in report:
        part = report["removal"]
        lines += [
            environment_line(part["environment"]),
            f"{part['repeats']} interleaved repeats of {part['removals']} requests.",
        ]
        for found in part["settings"]:
            lines += ["", *setting_lines(found)]
    if "growth" in report:
        lines += ["", "### Growth", "", environment_line(report["growth"]["environment"]), ""]
        lines += [*growth_lines(report["growth"]), "", "![Time of one removal against n and d](removal.png)"]
    write_between(readme, BEGIN, END, lines)


def write_parts(
    page: Path,
    marks: tuple[str, str],
    report: Mapping[str, Any],
    lines: Mapping[str, Callable[[Any], Sequence[str]]],
    headings: Mapping[str, str],
    pictures: Mapping[str, str],
) -> None:
    """Replace what stands between the two marks of ``page`` by the parts that ``report`` has.

    Args:
        page: A Markdown file.
        marks: What the results stand between.
        report: Part -> what was measured, with its ``environment``.
        lines: Part -> its table; also the order of the parts.
        headings: Part -> its heading.
        pictures: Part -> the line that shows its picture.

    Raises:
        DataError: A mark is missing.
    """
    found: list[str] = []
    for part in lines:
        if part in report:
            found += [f"### {headings[part]}", "", environment_line(report[part]["environment"]), ""]
            found += [*lines[part](report[part]), ""]
            found += [pictures[part], ""] if part in pictures else []
    write_between(page, *marks, found)


def write_between(page: Path, begin: str, end: str, lines: Sequence[str]) -> None:
    """Replace what stands between two marks of ``page``.

    Raises:
        DataError: A mark is missing.
    """
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not found or not last:
        raise DataError(f"{page.name}: the marks around the results are missing")
    body = "\n".join(lines).strip()
    page.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}", encoding="utf-8", newline="\n")


def table(heads: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, laid out; ``heads`` are separated by bars."""
    names = heads.split("|")
    whole = [names, *rows]
    widths = [max(len(row[k]) for row in whole) for k in range(len(names))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in whole
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def typical(ms: dict[str, Any]) -> str:
    """A median with the tenth and ninetieth percentile."""
    return f"{short(ms['median'])} ({short(ms['p10'])}-{short(ms['p90'])})"


def short(value: float) -> str:
    """A number in three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def times(ratio: float) -> str:
    """A ratio."""
    return f"{short(ratio)}x"


def span(ratios: Sequence[float]) -> str:
    """Smallest and largest."""
    return f"{short(min(ratios))}-{short(max(ratios))}"


def _target(row: dict[str, Any]) -> str:
    if "at_least" not in row:
        return ""
    aim = f" (aim {row['aim']}x: {verdict(row['ratio'] >= row['aim'])})" if "aim" in row else ""
    return f"at least {row['at_least']}x: {verdict(row['met'])}{aim}"


def verdict(met: bool) -> str:
    """In a word."""
    return "met" if met else "missed"
