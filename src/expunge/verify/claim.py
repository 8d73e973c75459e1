"""The claim of a run in words: who may see what, how often, which rows, what is public, what is not."""

from __future__ import annotations

from typing import Any

from expunge.verify.subject import Subject


def claim(subject: Subject) -> dict[str, str]:
    """What is claimed, by what it is about; of a method without a certificate that nothing is."""
    scheme = subject.settings.scheme
    if scheme == "release":
        return {**_release(subject), **_data(subject)}
    if scheme == "iteration":
        return {**_iteration(subject), **_data(subject)}
    if scheme in ("gaussian", "pure_eps"):
        return {**_published(subject), **_data(subject)}
    what = (
        "Nothing is claimed of what the model still tells about removed rows: the method has no certificate."
    )
    if scheme == "reference":
        what = "Nothing in numbers; the model is to be the exact minimiser over the rows that stay."
    return {"claim": what, "rows": _rows(subject)}


def _release(subject: Subject) -> dict[str, str]:
    claimed = subject.claimed
    pair = f"({_shown(claimed('epsilon'))}, {_shown(claimed('delta'))})"
    sees = f"whoever sees all of up to {_shown(claimed('releases'))} releases, and chooses each request after"
    cannot = f"{sees} seeing those before, cannot tell them from exact retraining with such noise"
    cannot += f", beyond {pair}"
    spent = _shown(claimed("epsilon_spent"))
    often = f"{_shown(claimed('released'))} releases so far, which together come to epsilon {spent}"
    if subject.settings.noise == "lattice":
        who = cannot[0].upper() + cannot[1:] + "."
    else:
        who = f"Figures only, which protect nobody: the noise is drawn from a seed. But for that, {cannot}."
    return {
        "claim": who,
        "how often": f"{often}. Requests beyond those that are covered are to be refused.",
        "rows": f"{_rows(subject)} However many leave at once, the promise is the same.",
        "public": "How many rows there are, which classes, which ids were asked to leave and when, what "
        "became of it, and all settings, the size of the noise among them.",
    }


def _iteration(subject: Subject) -> dict[str, str]:
    claimed = subject.claimed
    pair = f"({_shown(claimed('epsilon'))}, {_shown(claimed('delta'))})"
    who = f"Whoever sees all of up to {_shown(claimed('releases'))} models cannot tell them from the same "
    who += f"noisy fine-tuning of networks that were never trained on the rows that left, beyond {pair}"
    if subject.settings.noise != "lattice":
        who = f"Figures only, which protect nobody: the noise is drawn from a seed. But for that: {who}"
    return {
        "claim": f"{who}. Checked is the size of the noise, not that it was drawn, and the steps taken.",
        "how often": f"{_shown(claimed('released'))} models so far, the trained one first, which come to "
        f"epsilon {_shown(claimed('epsilon_spent'))}.",
        "rows": _rows(subject),
        "public": "How many rows there are, which classes, which ids were asked to leave and when, and all "
        "settings, the size of the noise among them.",
    }


def _published(subject: Subject) -> dict[str, str]:
    pair = f"({_shown(subject.claimed('epsilon'))}, {_shown(subject.claimed('delta'))})"
    who = (
        f"As published: one release is {pair}-indistinguishable from a retrained one, for requests that were "
        "not chosen by looking at models. This does not hold as stated (docs/certificate.md, section 10); "
        "checked is that the run is what the published method makes, and that its last bound bounds."
    )
    return {
        "claim": who,
        "how often": "Once: nothing is claimed for who sees several models.",
        "rows": _rows(subject),
        "public": "Nothing but one model; the perturbation and the seed must stay secret.",
    }


def _data(subject: Subject) -> dict[str, str]:
    total = subject.claimed("epsilon_total")
    together = (
        "no epsilon"
        if total is None
        else f"epsilon {_shown(total)}, delta {_shown(subject.claimed('delta_total'))}"
    )
    reasons = subject.claimed("not_covered")
    missing = (
        "The difference between this release and an earlier one that somebody has kept; the rows that stay; "
    )
    missing += "copies of the secret state, other trainings on the same rows, times and sizes"
    said = f"; and by the run's own words: {reasons}" if isinstance(reasons, str) else ""
    trusted = "That the data read here are the people's data; that earlier releases had noise of their own"
    if not subject.settings.own_rows:
        trusted = f"Features as the program made them, and what it says that they cost. {trusted}"
    if subject.settings.scheme in ("release", "iteration") and subject.settings.noise == "lattice":
        trusted += (
            "; that the noise came from the operating system, and that no draw was looked at and thrown away"
        )
    return {
        "with the features": f"Features and linear model together: {together}.",
        "not covered": f"{missing}{said}.",
        "on trust": f"{trusted}.",
    }


def _rows(subject: Subject) -> str:
    kept, n = int(subject.ledger.kept.sum()), len(subject.ledger.kept)
    requests = len(subject.ledger.records)
    return f"{n - kept} of {n} training rows have left, by {subject.ledger.removals} of {requests} requests."


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
