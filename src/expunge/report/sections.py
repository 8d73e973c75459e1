"""Sections of the page that say what the runs are: what they share, their settings, their sources."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from expunge.report import guarantee, text
from expunge.report.rows import OWN_FIT, Row
from expunge.report.runs import Run

_DATA = ("dataset", "extractor", "model")
_TOP = ("seed", "device")


def lead(runs: Sequence[Run]) -> str:
    """Return one line on what the runs have in common."""
    parts = [f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}"]
    for key in _DATA:
        values = dict.fromkeys(text.plain(r.summary[key]) for r in runs if r.summary.get(key))
        if values:
            parts.append(f"{key} {escape(', '.join(values))}")
    for key, what in (("n_train", "training rows"), ("n_test", "test rows")):
        counts = dict.fromkeys(text.count(n) for r in runs if (n := r.number(key)) is not None)
        if counts:
            parts.append(f"{' or '.join(counts)} {what}")
    return " · ".join(parts)


def settings(runs: Sequence[Run], lines: Sequence[Row]) -> str:
    """Return the settings and versions of every run, folded away."""
    parts = ["<h2>Settings and versions</h2>"]
    for run, line in zip(runs, lines, strict=True):
        terms = "\n".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in _facts(run))
        title = f"{escape(line.unlearner)} <code>{escape(text.plain(run.name))}</code>"
        parts.append(f'<details>\n<summary>{title}</summary>\n<dl class="terms">\n{terms}\n</dl>\n</details>')
    return "\n".join(parts)


def sources(runs: Sequence[Run], lines: Sequence[Row], unfinished: Sequence[str]) -> str:
    """Return where every number comes from: run folders by name, and what was left out."""
    items = "\n".join(f"<li>{_source(run, line)}</li>" for run, line in zip(runs, lines, strict=True))
    left = ", ".join(f"<code>{escape(text.plain(name))}</code>" for name in unfinished)
    tail = f"\n<p>Left out, because the runs never finished: {left}.</p>" if left else ""
    return f"""\
<h2>Where the numbers come from</h2>
<p>Only from the files in these run folders: totals from <code>summary.json</code>, everything along the
requests from <code>removals.jsonl</code>, settings from <code>.hydra/config.yaml</code>.</p>
<ul class="source">
{items}
</ul>{tail}"""


def _source(run: Run, line: Row) -> str:
    retrain = (
        ""
        if not line.retrain_from or run.unlearner == "retrain"
        else (
            "; retrain time: this run's own first fit"
            if line.retrain_from == OWN_FIT
            else f"; retrain time: {line.retrain_from}"
        )
    )
    name, count = escape(text.plain(run.name)), text.count(len(run.records))
    return f"<code>{name}</code>: {escape(line.unlearner)}, {count} requests{escape(text.plain(retrain))}"


def _facts(run: Run) -> list[tuple[str, str]]:
    facts = [(key, run.config.get(key, run.summary.get(key))) for key in _TOP]
    facts += [pair for group in text.GROUPS for pair in text.flat(run.config.get(group), group)]
    facts += [(f"version of {name}", value) for name, value in text.flat(run.summary.get("versions"))]
    facts += [(key, run.number(key)) for key in ("seconds_fit", "peak_memory_mb")]
    extracted = {key: value for key, value in run.summary.items() if key.startswith("extractor_")}
    facts += text.flat(extracted)
    if (total := guarantee.worded(run)) is not None:
        facts.append((guarantee.TOGETHER, ", ".join(total)))
    return [(text.plain(key), text.shown(value)) for key, value in facts if value is not None]
