"""The columns of what was measured of a removal: on the rows that go and stay, and against a retrain."""

from __future__ import annotations

from expunge.report import text
from expunge.report.column import Column
from expunge.report.row import Row

_BOTH = "unlearned / retrained"
_PERSONS = {
    "identity_test_accuracy": "person, test",
    "identity_train_accuracy": "person, train",
    "rest_test_accuracy": "rest, test",
    "rest_train_accuracy": "rest, train",
    "rest_test_kept": "rest kept, test",
    "rest_train_kept": "rest kept, train",
    "verification_auc": "verification AUC",
    "verification_auc_rest": "verification AUC, rest",
    "verification_auc_identity": "verification AUC, person",
    "reid_map": "mAP",
    "reid_rank1": "rank 1",
    "reid_rank5": "rank 5",
    "reid_rank10": "rank 10",
    "activation_kept_identity": "activation kept, person",
    "activation_kept_rest": "activation kept, rest",
    "activation_similarity_identity": "activation similarity, person",
    "activation_similarity_rest": "activation similarity, rest",
}


def empirical() -> list[Column]:
    """Return the columns that judge a removal without a certificate."""
    return [
        Column(
            "forget_accuracy",
            "forget accuracy",
            "last",
            "",
            "Share of the rows asked to be removed that the last model classifies rightly; the aim is what a "
            "model that never saw them reaches, not 0.",
            text.accuracy,
        ),
        Column(
            "retain_accuracy",
            "retain accuracy",
            "last",
            "↑",
            "Share of the training rows never asked to be removed that the last model classifies rightly.",
            text.accuracy,
        ),
        Column(
            "sample_gradient_after",
            "sample gradient",
            "before → after, mean",
            "",
            "2-norm of the gradient of the removed rows' mean loss, at the model before and after their "
            "request; mean over the requests.",
            several=_sample_gradient,
        ),
        Column(
            "retrain_weight_distance",
            "from retrained",
            "weights, predictions",
            "↓",
            "How far the last model is from one trained from scratch without all requested rows: distance of "
            "the weights over the norm of its weights; share of test rows classified differently.",
            several=_from_retrained,
        ),
    ]


def forgetting() -> list[Column]:
    """Return the columns that ask whether the model has forgotten, next to one that never saw the rows."""
    both, at = _BOTH, f"at 1% FPR, {_BOTH}"
    loss = "by their loss: a forget row is taken for a training row where its loss is small"
    outputs = "by a logistic regression on the model's outputs"
    aim = "the aim is the retrained model's value"
    return [
        _beside(
            "membership_auc",
            "membership AUC",
            both,
            "",
            f"How well forget rows are told from test rows {loss}; 0.5 is chance; {aim}.",
        ),
        _beside(
            "membership_tpr",
            "membership TPR",
            at,
            "",
            f"Share of forget rows that this attack recognises at 1% false alarms; {aim}.",
        ),
        _beside(
            "membership_logistic_auc",
            "membership AUC, logistic",
            both,
            "",
            f"How well forget rows are told from test rows {outputs}; 0.5 is chance; {aim}.",
        ),
        _beside(
            "membership_logistic_tpr",
            "membership TPR, logistic",
            at,
            "",
            f"Share of forget rows that the logistic attack recognises at 1% false alarms; {aim}.",
        ),
        Column(
            "retrain_js_test",
            "divergence from retrained",
            "JS, test / forget rows",
            "↓",
            "Jensen-Shannon divergence of the predictions from the retrained model's, in nats; mean over the "
            "test rows, and over the forget rows.",
            several=lambda r: _of_two(r.retrain_js_test, r.retrain_js_forget),
        ),
        _beside(
            "relearn_steps",
            "relearn steps",
            both,
            "",
            "Gradient steps on the forget rows until the model fits them as well as before any removal; "
            f"{aim}.",
        ),
        Column(
            "completeness",
            "completeness",
            "",
            "↑",
            "Share of the forget rows that this and the retrained model classify alike.",
            text.share,
        ),
    ]


def persons() -> list[Column]:
    """Return the columns of a removed person and everybody else, next to those of the retrained model.

    What they mean is what the metrics themselves say.
    """
    from expunge.metrics import activation, identity, reid, verification  # slow: they need numba

    said: dict[str, tuple[str, str]] = {}
    for metric in (identity, verification, reid, activation):
        said |= {key: (arrow, _sentence(words)) for key, (arrow, words) in metric.DEFINITIONS.items()}
    return [
        *(_beside(key, head, _BOTH, *said[key]) for key, head in _PERSONS.items()),
        Column("reid_skipped", "queries skipped", "", *said["reid_skipped"], text.count),
    ]


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _beside(key: str, head: str, sub: str, arrow: str, definition: str) -> Column:
    """Return a column that holds a value of the unlearned model next to the retrained one's."""
    other = f"retrain_{key}"

    def cell(row: Row) -> str:
        return _of_two(getattr(row, key), getattr(row, other))

    return Column(key, head, sub, arrow, definition, several=cell, beside=other)


def _sample_gradient(row: Row) -> str:
    before, after = text.number(row.sample_gradient_before), text.number(row.sample_gradient_after)
    return text.NONE if before == after == text.NONE else f"{before} → {after}"


def _from_retrained(row: Row) -> str:
    weights, share = text.number(row.retrain_weight_distance, 2), text.share(row.retrain_disagreement)
    return text.NONE if weights == share == text.NONE else f"{weights}, {share}"


def _of_two(ours: float | None, other: float | None) -> str:
    if ours is None and other is None:
        return text.NONE
    return f"{text.number(ours)} / {text.number(other)}"
