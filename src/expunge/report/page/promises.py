"""What the numbers do not promise: the limits of a certificate, and of runs that carry none."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from expunge.certificate.composition import group
from expunge.core.columns import RETRAINED
from expunge.record.columns import merged
from expunge.report.read import guarantees, text
from expunge.report.read.runs import Run
from expunge.report.tables.table_rows import Row, lasting

_MANY = 12  # more runs than this are counted, not named
_ROWS = 10  # of one person: an example
_RELEASED = guarantees.SCHEMES.index(guarantees.FIGURES)  # up to it there is noise at release
_CERTIFICATE = """\
<h2 id="limits">What this certificate does not say</h2>
<p>The certificate makes one comparison, with models that were trained again without the removed rows:
they and what was released can hardly be told apart, they are (ε, δ)-indistinguishable. What lies outside
that comparison is not covered. Theorem, proof and what is assumed: <code>docs/certificate.md</code>.</p>
{schemes}
<ul>
{upstream}
</ul>
<p>Nor does a certificate cover copies of the rows kept elsewhere (raw data, backups, logs), or methods
whose ε column is empty: those carry no such certificate at all.</p>"""

_UPSTREAM = """\
<li><strong>Everything upstream.</strong> Whatever was made before the linear model must not depend on the
removed rows: features scaled by a mean or variance of the training set, an extractor trained on those
rows without differential privacy, hyper-parameters tuned on them. Such traces stay where they are.
Scaling each row by its own norm is safe.{private}</li>"""

_OF_RELEASES = """\
<h3>With noise at release{which}</h3>
<p>It speaks to whoever sees every release, up to the number that is covered, and chooses each request
after looking at all earlier ones.</p>
<ul>
<li><strong>The difference between two releases.</strong> Whoever kept a model from before a removal sees
what exact retraining at every step would show, and two exactly retrained models differ by the row that
left: the difference may show it.</li>
<li><strong>Rows that stay.</strong> A release says of them what any trained model says: that is no
differential privacy.</li>
<li><strong>What is public by design.</strong> How many rows there are, which classes, which requests were
made when, how many releases, and all settings.</li>
<li><strong>What is inside.</strong> <code>state.safetensors</code> holds the model without noise and must
stay secret, and a state restored from a backup has forgotten the releases made since. Residuals as
measured, times, and accuracies on removed or remaining rows are for the operator, not for
publication.</li>{figures}
</ul>"""

_FIGURES = """
<li><strong>Figures only{which}.</strong> Noise that comes from a seed, or is added in floating point, can
be taken off again: such a run protects nobody. Its numbers are those of the certificate all the same. A
run that protects has <code>unlearner.noise=lattice</code>, which draws it from the operating
system.</li>"""

_AS_PUBLISHED = """\
<h3>As published{which}</h3>
<ul>
<li><strong>Two things do not hold as stated.</strong> Whether a request is answered by an update, by
retraining or by a refusal depends on the secret perturbation b, so that a released model can tell which
of them it was, and the promised δ is passed. And a residual that is small enough is not enough where it
depends on b itself, as it does.</li>
<li><strong>One model only.</strong> The argument is about someone who sees one released model. Whoever
kept one from before the removal can compare the two, and the difference may show what was removed.</li>
<li><strong>Requests that react to the models.</strong> Which rows are to go must not be decided by
looking at a released model: such requests depend on b, and nothing follows any more.</li>
<li><strong>A perturbation that leaks.</strong> The vector b and the state of the generator that drew it
must stay secret. A run folder holds b in <code>model.safetensors</code> so that the residual can be
checked, and whoever knows seed and settings can draw it again. This page names the seed because it
reports experiments; of a model meant for the public, publish the weights alone.</li>
</ul>"""

_EITHER = "<h3>Of either</h3>"

_PRIVATE = """

<p>The extractor{which} was trained with differential privacy: (ε<sub>DP</sub>, δ<sub>DP</sub>) limits how
well anyone can tell from it whether one given row was there. It therefore stays as it is when rows are
removed. With the model's own (ε<sub>CR</sub>, δ<sub>CR</sub>) the total is (ε<sub>DP</sub> +
ε<sub>CR</sub>,
δ<sub>DP</sub> + δ<sub>CR</sub>). <strong>This total is for each removed row taken alone</strong>: it
compares
with an extractor trained on every row but that one. For m rows together, such as all the rows of one
person,
the extractor's part is m ε<sub>DP</sub>, with a δ that grows faster than m times; the model's part stays
the
same. For example, {example}. For many rows the sum soon says nothing. The random numbers that trained the
extractor must stay secret, as that of the model must.</p>"""

_NO_CERTIFICATE = """\
<li><strong>No certificate.</strong> Certified removal bounds the gradient that is left of a convex loss and
keeps it within a budget. Nothing is bounded here, there is no budget, and the loss of a network is not even
convex. No number says how well the model can be told from one that never saw the rows. An ε and a δ in the
settings of such a method say how much noise goes onto the weights; they are no guarantee.</li>"""
_HEURISTIC = """\
<li><strong>The curvature <code>fd</code> is a heuristic</strong>{which}. It guesses the Hessian, as a
matrix of rank one, from the difference of two gradients. It has no error bound: how far its step is from
that
of the true Hessian is not known.</li>"""
_REFUSED = """\
<li><strong>Refused requests.</strong> The model was left as it was, the rows still in it
({counts}).</li>"""
_NONE = "the unlearner gives no certificate"
_NOT_RETRAINED = "None of these runs was compared with a model trained again without the rows."


def promises(lines: Sequence[Row]) -> list[str]:
    """Return what is not promised: with a certificate, and without one, as far as there are such runs.

    Retraining needs no certificate, and doing nothing claims none.
    """
    others = [line for line in lines if line.of.empirical]
    certified = [line for line in lines if line.of.certified]
    parts = [_certificate(certified)] if certified else []
    return [*parts, _without_certificate(others)] if others else parts


def _certificate(certified: Sequence[Row]) -> str:
    """Return what the certificates do not say, by what they are."""
    figures = [row for row in certified if guarantees.scheme(row.of) == guarantees.FIGURES]
    kinds = {
        _OF_RELEASES: [row for row in certified if guarantees.rank(row.of) <= _RELEASED],
        _AS_PUBLISHED: [row for row in certified if guarantees.scheme(row.of) == guarantees.PUBLISHED],
    }
    only = _FIGURES.format(which=_which(figures, certified)) if figures else ""
    schemes = [
        kind.format(which=_which(some, certified), figures=only) for kind, some in kinds.items() if some
    ]
    if len(schemes) > 1:
        schemes.append(_EITHER)
    return _CERTIFICATE.format(
        schemes="\n".join(schemes), upstream=_UPSTREAM.format(private=_private(certified))
    )


def _private(lines: Sequence[Row]) -> str:
    """Return what the total of a private extractor and a certified model does not say; empty without one."""
    private = [line for line in lines if None not in (line.extractor_epsilon, line.epsilon_total)]
    if not private:
        return ""
    own = min((line.extractor_epsilon or 0.0, line.extractor_delta or 0.0) for line in private)
    one, many = (f"({text.number(e)}, {text.number(d)})" for e, d in (own, group(*own, _ROWS)))
    example = f"an extractor's {one} for one row is {many} for {_ROWS} rows"
    return _PRIVATE.format(which=_which(private, lines), example=example)


def _without_certificate(lines: Sequence[Row]) -> str:
    heuristic = [line for line in lines if _guesses(line.of)]
    refused = [f"{escape(line.unlearner)}: {text.count(line.refused)}" for line in lines if line.refused]
    besides = guarantees.grouped((_own_words(row), row.unlearner) for row in lines if _own_words(row))
    points = [
        _NO_CERTIFICATE,
        *(
            f"<li><strong>Not covered.</strong> {escape(said)}{_those(names, lines)}.</li>"
            for said, names in besides.items()
        ),
        *([_HEURISTIC.format(which=_which(heuristic, lines))] if heuristic else []),
        f"<li><strong>What was compared.</strong> {_compared(lines)}</li>",
        *([_REFUSED.format(counts=", ".join(refused))] if refused else []),
    ]
    body = "\n".join(points)
    return f"""\
<h2 id="no-certificate">What removal without a certificate does not promise</h2>
<p>This is about {_names(lines)}.</p>
<ul>
{body}
</ul>"""


def _own_words(row: Row) -> str:
    """Return what a run without a certificate says that it does not cover, besides that it has none."""
    return text.capital(guarantees.beyond(row.of).removeprefix(_NONE).removeprefix("; "))


def _those(names: Sequence[str], lines: Sequence[Row]) -> str:
    return f" ({escape(', '.join(names))})" if len(names) < len(lines) else ""


def _compared(lines: Sequence[Row]) -> str:
    """Return what the numbers of the runs say that they compare, each of the runs that have it."""
    said, again = [], False
    for key, column in merged(line.of.columns for line in lines).items():
        able = [line for line in lines if lasting(line.of, key) is not None]
        again |= key.startswith(RETRAINED) and bool(able)
        if column.caveat and able:
            said.append(escape(column.caveat.removesuffix(".")) + _which(able, lines) + ".")
    return "\n".join([*said, *([] if again else [_NOT_RETRAINED])])


def _guesses(run: Run) -> bool:
    """Return whether the run's steps use ``fd``; plain ascent uses no curvature, whatever is set."""
    return text.told(run, "curvature") == "fd" and text.told(run, "mode") != "ascent"


def _which(some: Sequence[Row], every: Sequence[Row]) -> str:
    """Return which runs a point is about, where it is not about all."""
    if len(some) == len(every):
        return ""
    return f" (only {_names(some)})" if len(some) <= _MANY else f" (only {len(some)} of the runs)"


def _names(lines: Sequence[Row]) -> str:
    return ", ".join(escape(line.unlearner) for line in lines)
