"""Sections of the page that say what the runs are: what they share, their settings, their sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from expunge.report.page.tables import linked
from expunge.report.read import text, totals
from expunge.report.read.runs import Run
from expunge.report.read.sweeps import LeftOut
from expunge.report.tables.table_rows import OWN_FIT, Row

_DATA = ("dataset", "extractor", "model")
_TOP = ("seed", "device")
_MANY = 12  # more runs than this are folded away where each has a line or a list
_FEW = 6  # failures that are shown unfolded


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


def missing(kinds: Mapping[str, Sequence[LeftOut]]) -> str:
    """Return what is not in the tables: what failed, with its error, and what never finished."""
    return "\n".join(
        f"""\
<details class="warning"{" open" if len(some) <= _FEW else ""}>
<summary>{title}: {len(some)} {"run" if len(some) == 1 else "runs"}, in no table, figure or average</summary>
<ul class="source">
{"".join(map(_missing, some))}</ul>
</details>"""
        for title, some in kinds.items()
    )


def settings(lines: Sequence[Row]) -> str:
    """Return the settings and versions of every run, folded away."""
    parts = []
    for line in lines:
        terms = "\n".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in _facts(line.of))
        title = f"{escape(line.unlearner)} <code>{escape(text.plain(line.of.name))}</code>"
        parts.append(f'<details>\n<summary>{title}</summary>\n<dl class="terms">\n{terms}\n</dl>\n</details>')
    return "<h2>Settings and versions</h2>\n" + _folded("\n".join(parts), len(lines))


def sources(lines: Sequence[Row], links: Mapping[str, str]) -> str:
    """Return where every number comes from: run folders by name, with links where there are."""
    items = "\n".join(f"<li>{_source(line, links)}</li>" for line in lines)
    listed = _folded(f'<ul class="source">\n{items}\n</ul>', len(lines))
    return f"""\
<h2>Where the numbers come from</h2>
<p>Only from the files in these run folders: totals from <code>summary.json</code>, everything along the
requests from <code>removals.jsonl</code>, settings from <code>.hydra/config.yaml</code>.</p>
{listed}"""


def _folded(body: str, runs: int) -> str:
    """Return a long list folded away."""
    return body if runs <= _MANY else f"<details>\n<summary>All {runs} runs</summary>\n{body}\n</details>"


def _missing(one: LeftOut) -> str:
    return f"<li><code>{escape(text.plain(one.name))}</code>{escape(text.plain(one.why()))}</li>\n"


def _source(line: Row, links: Mapping[str, str]) -> str:
    again, run = "", line.of
    if line.retrain_from and run.role != "reference":
        whose = "this run's own first fit" if line.retrain_from == OWN_FIT else line.retrain_from
        again = f"; time of retraining: that of {whose}"
    name, count = linked(run, links), text.count(len(run.records))
    return f"{name}: {escape(line.unlearner)}, {count} requests{escape(text.plain(again))}"


def _facts(run: Run) -> list[tuple[str, str]]:
    facts = [(key, run.config.get(key, run.summary.get(key))) for key in _TOP]
    facts += text.settings(run).items()
    facts += [(f"version of {name}", value) for name, value in text.flat(run.summary.get("versions"))]
    facts += [(key, run.number(key)) for key in ("seconds_fit", "peak_memory_mb")]
    extracted = {key: value for key, value in run.summary.items() if key.startswith("extractor_")}
    facts += text.flat(extracted)
    if (total := totals.worded(run)) is not None:
        facts.append((totals.TOGETHER, ", ".join(total)))
    return [(text.plain(key), text.shown(value)) for key, value in facts if value is not None]
