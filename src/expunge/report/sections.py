"""Sections of the page that are prose and numbers: headline, limits of a certificate, settings, sources."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from expunge.report import text
from expunge.report.rows import OWN_FIT, Row
from expunge.report.runs import Run

LIMITS = """\
<h2 id="limits">What this certificate does not say</h2>
<p>The certificate makes one comparison. It takes the model that was released after a removal and a model
trained again without the removed rows, and says that someone who sees the released model can hardly tell
which of the two it is: the two are (ε, δ)-indistinguishable. What lies outside that comparison is not
covered:</p>
<ul>
<li><strong>Earlier releases.</strong> It speaks to someone who sees that one model. Whoever kept a model
from before the removal can compare the two, and the difference may show what was removed.</li>
<li><strong>Requests that react to the models.</strong> Which rows are to go must not be decided by
looking at a released model. Requests chosen that way depend on the secret noise, and the guarantee no
longer follows.</li>
<li><strong>Everything upstream.</strong> Whatever was made before the linear model must not depend on the
removed rows: features scaled by a mean or variance of the training set, an extractor trained on those
rows without differential privacy, hyper-parameters tuned on them. Such traces stay where they are.
Scaling each row by its own norm is safe.</li>
<li><strong>A perturbation that leaks.</strong> The random vector b and the state of the generator that
drew it must stay secret. A run folder holds b in <code>model.safetensors</code> so that the residual can
be checked, and whoever knows seed and settings can draw it again. This page names the seed because it
reports experiments; of a model meant for the public, publish the weights alone.</li>
</ul>
<p>Nor does it cover copies of the rows kept elsewhere (raw data, backups, logs), or methods whose ε
column is empty: those carry no such certificate at all.</p>"""

_DATA = ("dataset", "extractor", "model")
_TOP = ("seed", "device")
# Strings that are places on a machine: absolute, in somebody's home, or on a drive.
_PATH = re.compile(r"(?:~|\$HOME|[A-Za-z]:)?[/\\].*[/\\]?|.*(?:file:|[\s=:'\"]~?/)\S*/.*")


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


def headline(runs: Sequence[Run], lines: Sequence[Row]) -> str:
    """Return the numbers of the certified run that served most, most accurately; of any if none is."""
    pairs = list(zip(runs, lines, strict=True))
    certified = [pair for pair in pairs if pair[0].certified]
    run, best = max(certified or pairs, key=lambda pair: _merit(pair[1]))
    cards = [
        ("removals before a retrain or refusal", *_served(best)),
        ("test accuracy after the last request", *_after(best)),
        ("time of one removal (median)", *_time(best)),
    ]
    if best.epsilon_spent is not None:
        budget = f"of ε {text.setting(best.epsilon)}, δ {text.setting(run.number('delta'))}"
        cards.append(("ε spent at the last release", text.number(best.epsilon_spent), budget))
    if (total := _total(run)) is not None:
        cards.append(("total with the extractor", *total))
    body = "\n".join(
        f'<div class="card"><dt>{escape(name)}</dt><dd><span class="value">{escape(value)}</span> '
        f'<span class="of">{escape(of)}</span></dd></div>'
        for name, value, of in cards
    )
    which = (
        "The certified run that served most, most accurately"
        if certified
        else "No run here is certified; the one that served most"
    )
    alone = f"{which}: <strong>{escape(best.unlearner)}</strong>" if len(runs) > 1 else escape(best.unlearner)
    return f"""\
<section aria-label="Headline numbers">
<dl class="cards">
{body}
</dl>
<p class="note">{alone}</p>
</section>"""


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
    if (total := _total(run)) is not None:
        facts.append(("total with the extractor", " ".join(total)))
    if _as_published(run):
        facts.append(("guarantee of the extractor", "none: trained as published, which is not private"))
    return [(text.plain(key), shown(value)) for key, value in facts if value is not None]


def shown(value: Any) -> str:
    """Return a setting without the places of the machine it was made on: of a path, the last part only."""
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, str) and _PATH.fullmatch(value):
        return "…/" + text.plain(re.split(r"[/\\]", value.rstrip("/\\"))[-1])
    return text.setting(value)


def _merit(row: Row) -> tuple[bool, int, float, float]:
    served = row.requests if not row.budget_exhausted else row.removals_supported or 0
    return not row.budget_exhausted, served, row.test_accuracy_after or 0.0, row.speed_up or 0.0


def _served(row: Row) -> tuple[str, str]:
    if row.budget_exhausted:
        return text.count(row.removals_supported), f"of {text.count(row.requests)} requests"
    return f"all {text.count(row.requests)}", "requests" + (
        "; the budget never ran out" if row.budget else ""
    )


def _after(row: Row) -> tuple[str, str]:
    return text.accuracy(
        row.test_accuracy_after
    ), f"{text.accuracy(row.test_accuracy_before)} before the first"


def _time(row: Row) -> tuple[str, str]:
    if row.speed_up is None:
        return text.seconds(row.seconds_removal_median), ""
    retrain = "its own first fit" if row.retrain_from == OWN_FIT else "a retrain"
    return text.seconds(row.seconds_removal_median), (
        f"{text.times(row.speed_up)} the speed of {retrain} ({text.seconds(row.seconds_retrain)})"
    )


def _as_published(run: Run) -> bool:
    return run.setting("extractor.mode") == "private"


def _total(run: Run) -> tuple[str, str] | None:
    """Return ε and δ of extractor and head together; never for an extractor whose training is not private."""
    epsilon, delta = run.number("epsilon_total"), run.number("delta_total")
    if epsilon is None or _as_published(run):
        return None
    return f"ε {text.number(epsilon)}", f"δ {text.number(delta)}"
