"""Tables of the codec benchmark's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.benchmarks import growth
from experiments.benchmarks.tables import factor, seconds, short, table, times, verdict


def selection_lines(part: dict[str, Any]) -> list[str]:
    """The table of whole selections, in Markdown."""
    rows = []
    for size in part["sizes"]:
        for row in size["methods"]:
            ours = row["key"] == "c"
            scaled = "" if ours or size["share"] is None else f", scaled from {size['share']} a step"
            memory = size["memory"]
            rows.append(
                [
                    f"{size['p']:,}",
                    f"({row['key']}) {row['method']}{scaled}",
                    seconds(row),
                    "" if ours else factor(row),
                    str(len(size["selected"])) if ours else _alone(row["alone"]),
                    f"{short(memory['peak_mib'])} ({short(memory['call_mib'])} by the call)" if ours else "",
                ]
            )
    heads = "columns p|method|seconds (range)|time over ours (range)|selected|peak MiB"
    return [
        f"{part['repeats']} interleaved repeats, n = {part['sizes'][0]['n']:,}.",
        "",
        *table(heads, rows),
    ]


def check_lines(part: dict[str, Any]) -> list[str]:
    """The table of selections held against a plain one."""
    rows = [
        [
            f"{size['p']:,}",
            f"{len(size['columns'])} columns, {'the same' if size['same'] else 'NOT the same'}",
            "" if size["largest_score_difference"] is None else f"{size['largest_score_difference']:.2g}",
            _steps(size["float32_differs"], len(size["steps"])),
            _steps(size["by_rounding"], len(size["steps"])),
        ]
        for size in part["sizes"]
    ]
    heads = (
        "columns p|ours and plain float64|largest difference of a score|"
        "steps where (a) would choose another column|steps where rounding alone changes the choice of float32"
    )
    return table(heads, rows)


def growth_lines(part: dict[str, Any]) -> list[str]:
    """The tables of the growth."""
    series = [part[name] for name in ("by_rows", "by_columns", "by_chosen")]
    return growth.lines(series, "(a) s, scaled|(c) s|(a) / (c)")


def limits_lines(part: dict[str, Any]) -> list[str]:
    """The table of large runs, each in a process of its own."""
    rows = []
    for job in part["jobs"]:
        most = job["at_most"]
        limit = f"{most['seconds']:g} s" + (f", {most['mib']:,.0f} MiB" if "mib" in most else "")
        answer = f"{job['columns']} columns" if "columns" in job else f"T = {job['value']:.3f}"
        rows.append(
            [
                f"{job['task']}, {job['data']}, n = {job['n']:,}, p = {job['p']}, ties {job['ties']}",
                short(job["seconds"]),
                f"{short(job['peak_mib'])} ({short(job['call_mib'])} by the call)",
                answer,
                f"at most {limit}: {verdict(job['met'])}",
            ]
        )
    return table("run|seconds|peak MiB|result|limit", rows)


def ties_lines(part: dict[str, Any]) -> list[str]:
    """The table of both ways to break ties, on binary columns."""
    rows = []
    for size in part["sizes"]:
        for who, what in (("published", "published shape, scaled"), ("ours", "ours")):
            random, noise = (size["seconds"][ties][who] for ties in ("random", "noise"))
            rows.append([f"{size['n']:,}", what, short(random), short(noise), times(random / noise)])
    first = part["sizes"][0]
    head = f"n (p = {first['p']}, {first['k']} selected)"
    heads = f"{head}|method|CODEC, ties at random: s|L-CODEC, noise: s|CODEC / L-CODEC"
    return table(heads, rows)


def _alone(columns: Sequence[int] | None) -> str:
    return "" if columns is None else f"{len(columns)} by itself"


def _steps(differing: Sequence[int], steps: int) -> str:
    if not differing:
        return f"none of {steps}"
    return f"{len(differing)} of {steps}, from step {differing[0]}"
