"""Tables of the scrub benchmark's JSON."""

from __future__ import annotations

from typing import Any

from experiments.benchmarks.scrub.ours import GUARD, STAGES
from experiments.benchmarks.tables import factor, seconds, short, span, table, times, verdict

WHAT = {
    "copies": "(1) copies and activations",
    "selection": "(2) selection",
    "curvature": "(3) curvature and solve",
    "update": "(4) update",
    GUARD: "guard",
}


def stages_lines(part: dict[str, Any]) -> list[str]:
    """The table of one scrub against the published order of work, in Markdown."""
    shares, whole, lower = part["shares"], part["whole"], part["lower"]
    how = {
        "copies": f"single forwards{_scaled(shares['forwards'], part['copies'])}",
        "selection": f"per candidate, {shares['candidates']} a step, scaled to all",
        "curvature": f"dense solve{_scaled(shares['dense'], part['weights'])}",
        "update": "not charged",
    }
    rows = [
        [
            WHAT[row["stage"]],
            seconds(row["ours"]),
            how[row["stage"]],
            *([seconds(row["published"]), factor(row)] if "published" in row else ["", ""]),
        ]
        for row in part["stages"]
    ]
    rows.append(["whole scrub", seconds(whole["ours"]), "", seconds(whole["published"]), factor(whole)])
    if shares["dense"] < part["weights"]:
        rows.append(["", "", "the same, dense solve not scaled", seconds(lower), factor(lower)])
    rows.append([f"{WHAT[GUARD]}: {part['guard']['images']:,} images", seconds(part["guard"]), "", "", ""])
    return [
        f"One image from {part['family']}, {part['images']}, n = {part['n']:,}; {part['copies']:,} copies, "
        f"{part['units']:,} units; selected {part['selected']} units with {part['weights']:,} weights. "
        f"{part['repeats']} interleaved repeats.",
        "",
        *table("stage|ours: s (range)|published order of work|s (range)|time over ours (range)", rows),
        "",
        f"Target: the whole scrub at least {part['at_least']}x faster, the dense solve not scaled: "
        f"{times(lower['ratio'])}, {verdict(part['met'])}.",
        "",
        *_differences(part["differences"]),
    ]


def _differences(found: dict[str, Any]) -> list[str]:
    return [
        f"Largest difference from single forwards, over {found['copies']} copies: activations "
        f"{found['activations']:.1g}, losses {found['losses']:.1g}, relative to the largest of the column. "
        f"Update of {found['weights']:,} of the weights against the dense solve in float64: "
        f"{found['step']:.1g}, relative."
    ]


def settings_lines(part: dict[str, Any]) -> list[str]:
    """The table of one scrub with our own settings and with the published ones."""
    names = {"own": "ours (`lcodec`: K-FAC)", "published": "published (`lcodec_published`: fd)"}
    rows = [
        [
            names[row["settings"]],
            str(row["selected"]),
            *(seconds(row["stages"][stage]) for stage in STAGES),
            seconds(row["whole"]),
        ]
        for row in part["rows"]
    ]
    stages = "|".join(f"{WHAT[stage]}: s" for stage in STAGES)
    return [
        f"One image from {part['family']}, {part['images']}; {part['copies']:,} copies; the same units are "
        f"selected: {'yes' if part['same_units'] else 'no'}. {part['repeats']} interleaved repeats.",
        "",
        *table(f"settings|selected|{stages}|whole scrub: s (range)", rows),
        "",
        f"Target: with our own settings at most {part['at_most']:g} s on two cores: {verdict(part['met'])}.",
    ]


def families_lines(part: dict[str, Any]) -> list[str]:
    """The table of our scrub on every family."""
    rows = [
        [
            row["family"],
            f"{row['units']:,}",
            str(row["selected"]),
            f"{row['weights']:,}",
            *(short(row["seconds"][stage]) for stage in (*STAGES, GUARD)),
            span(row["whole"]),
        ]
        for row in part["rows"]
    ]
    stages = "|".join(f"{WHAT[stage]}: s" for stage in (*STAGES, GUARD))
    return [
        f"Ours, {part['images']}; {part['copies']:,} copies; medians of {part['repeats']} repeats.",
        "",
        *table(f"network|units|selected|weights selected|{stages}|whole without guard: s (range)", rows),
    ]


def memory_lines(part: dict[str, Any]) -> list[str]:
    """The table of peak memory."""
    rows = [
        [
            job["family"],
            f"{job['weights'] / 1e6:.1f} M",
            f"{job['selected']:,}",
            short(job["seconds"]),
            *(f"{job[key]:,.0f}" for key in ("held_mb", "scrub_mb", "peak_mb")),
            f"at most {job['at_most']:,.0f} MB: {verdict(job['met'])}",
        ]
        for job in part["jobs"]
    ]
    heads = (
        "network|weights|selected|seconds|MB with network and history loaded|MB by the scrub|"
        "peak MB of the process|limit of the peak"
    )
    return [f"{part['copies']:,} copies, one 3 x 32 x 32 image of random pixels.", "", *table(heads, rows)]


def _scaled(done: int, whole: int) -> str:
    return f", all {whole:,}" if done == whole else f", {done:,} of {whole:,}, scaled to all"
