"""Lines that every run has, whatever its method promises."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from expunge.verify.exact import least_above, number
from expunge.verify.files import INPUTS, MODEL, RunFiles, mapping
from expunge.verify.ledger import same_number
from expunge.verify.lines import Faults, Line
from expunge.verify.subject import Subject

_PARTS = ("training inputs", "training labels", "test inputs", "test labels", "class names")
_RELEASE = (
    "release: whoever sees all of up to {} releases and chooses requests after them cannot tell them from "
    "exact retraining with the same noise, beyond ({:g}, {:g})"
)
_NOISY = (
    "release: whoever sees all of up to {} models and chooses requests after them cannot tell them from the "
    "same noisy fine-tuning of networks that were never trained on the rows that left, beyond ({:g}, {:g})"
)
_NOISE = ("release", "iteration")
_FIGURES = "figures only: the noise is drawn {}; the figures are right, and protect nobody"
_AS_PUBLISHED = (
    "as published: the decision to retrain or to refuse depends on the secret perturbation, and so does the "
    "residual that it is to hide; a released model can tell that rows were removed (docs/certificate.md)"
)
_CLAIMS = ("epsilon", "delta", "epsilon_total", "delta_total", "guarantee", "releases", "epsilon_spent")


def check_files(files: RunFiles) -> Line:
    """Files are whole: where a digest was written into one, it is that of its bytes."""
    faults = Faults()
    faults.need(files.model_fault is None, f"{MODEL}: {files.model_fault}")
    recorded, shown = mapping(files.inputs.get("digests")), mapping(files.summary.get("inputs"))
    for name, digest in shown.items() if recorded else ():
        if name != "requests":
            there = recorded.get(name)
            faults.need(there == digest, f"{name}: summary.json and {INPUTS} differ", digest, there)
    return faults.line("files", "whole, and of one run", len(files.digests), len(files.digests))


def check_data(subject: Subject) -> Line:
    """The data that were read here are those that the run was of, by number and by digest."""
    faults, dataset = Faults(), subject.dataset
    for key, count in (("n_train", len(dataset.y_train)), ("n_test", len(dataset.y_test))):
        faults.need(same_number(subject.claimed(key), count), key, subject.claimed(key), count)
    recorded = mapping(subject.claimed("inputs"))
    for part in (*_PARTS, *(["training weights"] if "training weights" in subject.digests else [])):
        names = [name for name in recorded if name.endswith(f", {part}")]
        claimed = recorded[names[0]] if names else None
        faults.need(claimed == subject.digests[part], f"digest of the {part}", claimed, subject.digests[part])
    seed = subject.settings.all.get("seed")
    faults.need(same_number(subject.claimed("seed"), seed), "seed", subject.claimed("seed"), seed)
    n = len(dataset.y_train)
    return faults.line("data", "rows, labels and test rows by their digests", subject.claimed("n_train"), n)


def check_classes(subject: Subject) -> Line:
    """The model has one column for each class that has rows left, of two classes one, and nothing else."""
    faults, model, columns = Faults(), subject.files.model, subject.columns
    d, width = subject.table.dim, columns.width
    right = (d,) if width == 1 else (d, width)
    names = {"weight"} if subject.settings.scheme == "release" else {"weight", "perturbation"}
    faults.need({*model} == names, f"arrays of {MODEL}", sorted(model), sorted(names))
    for name in sorted(names & {*model}):
        array = model[name]
        faults.need(array.shape == right, f"shape of {name}", array.shape, right)
        faults.need(array.dtype == np.float64, f"type of {name}", str(array.dtype), "float64")
        finite = bool(np.isfinite(array).all())
        faults.need(finite, f"{name} holds what is no number", finite, True)
    state = subject.files.state_values.get("classes") if subject.settings.scheme == "release" else None
    if state is not None:
        there = np.unique(subject.dataset.y_train[subject.ledger.kept]).tolist()
        faults.need(state == there, "classes in the state", state, there)
    shape = model["weight"].shape if "weight" in model else None
    return faults.line("classes", "columns of the model, of the classes that have rows left", shape, right)


def check_convexity(subject: Subject) -> Line:
    """The factor lam is above 0, and each column has rows: its loss is lam n-strongly convex."""
    faults, lam = Faults(), subject.settings.lam
    counts = [*subject.columns.counts, *(n for line in subject.counts for n in line)]
    least = min(counts, default=0)
    faults.need(lam > 0, "lam", lam, "above 0")
    faults.need(least > 0, "rows of a column", least, "above 0")
    return faults.line("strong convexity", f"lam n of the smallest column, lam = {lam:g}", None, lam * least)


def check_words(subject: Subject) -> Line:
    """The guarantee in words is that of the method and its noise; a method without one claims nothing."""
    faults, settings = Faults(), subject.settings
    said, covered_not = subject.claimed("guarantee"), subject.claimed("not_covered")
    if settings.scheme in (*_NOISE, "gaussian", "pure_eps"):
        for key, own in (("role", "certified"), ("unlearner", settings.of("unlearner").get("name"))):
            faults.need(subject.claimed(key) == own, key, subject.claimed(key), own)
        exact = settings.scheme in _NOISE and settings.noise == "lattice"
        right = "release:" if exact else "figures only" if settings.scheme in _NOISE else "as published"
        known = _words(subject, right)
        faults.need(said in known, "guarantee", said, known[0])
        parts = [subject.features.not_covered if subject.features else None, *([] if exact else [right])]
        for part in filter(None, parts):
            there = isinstance(covered_not, str) and part in covered_not
            faults.need(there, "not_covered says so", covered_not, part)
        return faults.line("guarantee", "in words, that of method and noise", right, right)
    for key in _CLAIMS:
        faults.need(
            subject.claimed(key) is None,
            f"{key} of a method without a certificate that is known here",
            subject.claimed(key),
        )
    faults.need(subject.claimed("role") != "certified", "role", subject.claimed("role"), "not certified")
    for place, record in enumerate(subject.ledger.records, start=1):
        for key in ("residual_bound", "budget", "epsilon_spent"):
            faults.need(
                record[key] is None,
                f"line {place}: {key} of a method without a certificate that is known here",
                record[key],
            )
    return faults.line("guarantee", "nothing is claimed, in words or in numbers", None, None)


def _words(subject: Subject, right: str) -> list[str]:
    """What a run may say of its guarantee: no word more than holds."""
    if right == "as published":
        return [_AS_PUBLISHED]
    if right == "figures only":
        return [_FIGURES.format(source) for source in ("from a seed", "in floating point")]
    epsilon, delta = (subject.figure(key) or 0.0 for key in ("epsilon", "delta"))
    said = _NOISY if subject.settings.scheme == "iteration" else _RELEASE
    return [said.format(subject.claimed("releases"), epsilon, delta)]


def check_composition(subject: Subject) -> Line:
    """Features and linear model together: exact sums, rounded up; null where one of them promises nothing."""
    faults, features = Faults(), subject.features
    reasons = subject.claimed("not_covered")
    parts = {key: (getattr(features, key), number(subject.claimed(key))) for key in ("epsilon", "delta")}
    for key, (upstream, own) in parts.items():
        claimed, extractor = subject.claimed(f"{key}_total"), subject.claimed(f"extractor_{key}")
        if extractor is not None:
            faults.need(same_number(extractor, upstream), f"extractor_{key}", extractor, upstream)
        right = None
        if subject.settings.scheme in _NOISE and own is not None and not (features and features.not_covered):
            right = least_above(Fraction(upstream) + Fraction(own))
            right = min(1.0, right) if key == "delta" else right
        faults.need(same_number(claimed, right), f"{key}_total", claimed, right)
        if right is None:
            faults.need(isinstance(reasons, str) and bool(reasons), "not_covered has the reason", reasons)
        if key == "epsilon":
            shown = claimed, right
    return faults.line("composition", "epsilon_total: features and model, the sum rounded up", *shown)
