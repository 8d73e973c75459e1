"""One row of the side-by-side table: everything that the report says of a run, unrounded."""

from __future__ import annotations

from dataclasses import dataclass

from expunge.report.runs import FORGETTING, PERSONS


@dataclass(frozen=True)
class Row:
    """What the table says of one run; also a line of ``table.csv``, in this order."""

    unlearner: str
    run: str
    dataset: str
    extractor: str
    model: str
    seed: str
    requests: int
    test_accuracy_before: float | None
    test_accuracy_after: float | None
    removals_supported: int | None
    budget_exhausted: bool | None
    retrained: int | None
    refused: int | None
    residual_measured: float | None
    residual_bound: float | None
    budget: float | None
    epsilon_spent: float | None
    epsilon: float | None
    seconds_removal_median: float | None
    seconds_removal_p95: float | None
    seconds_retrain: float | None
    retrain_from: str
    speed_up: float | None
    empirical: bool
    removed: int | None
    forget_accuracy: float | None
    retain_accuracy: float | None
    validation_accuracy: float | None
    sample_loss_before: float | None
    sample_loss_after: float | None
    sample_gradient_before: float | None
    sample_gradient_after: float | None
    retain_loss: float | None
    retain_gradient_norm: float | None
    retrain_weight_distance: float | None
    retrain_disagreement: float | None
    retrain_test_accuracy: float | None
    retrain_forget_accuracy: float | None
    retrain_retain_accuracy: float | None
    retrain_retain_gradient_norm: float | None
    membership_auc: float | None
    membership_tpr: float | None
    membership_logistic_auc: float | None
    membership_logistic_tpr: float | None
    retrain_membership_auc: float | None
    retrain_membership_tpr: float | None
    retrain_membership_logistic_auc: float | None
    retrain_membership_logistic_tpr: float | None
    retrain_js_test: float | None
    retrain_js_forget: float | None
    retrain_kl_test: float | None
    retrain_kl_forget: float | None
    relearn_steps: float | None
    retrain_relearn_steps: float | None
    completeness: float | None
    identity_train_accuracy: float | None
    identity_test_accuracy: float | None
    rest_train_accuracy: float | None
    rest_test_accuracy: float | None
    rest_train_kept: float | None
    rest_test_kept: float | None
    verification_auc: float | None
    verification_auc_rest: float | None
    verification_auc_identity: float | None
    reid_map: float | None
    reid_rank1: float | None
    reid_rank5: float | None
    reid_rank10: float | None
    activation_kept_identity: float | None
    activation_kept_rest: float | None
    activation_similarity_identity: float | None
    activation_similarity_rest: float | None
    reid_skipped: float | None
    retrain_identity_train_accuracy: float | None
    retrain_identity_test_accuracy: float | None
    retrain_rest_train_accuracy: float | None
    retrain_rest_test_accuracy: float | None
    retrain_rest_train_kept: float | None
    retrain_rest_test_kept: float | None
    retrain_verification_auc: float | None
    retrain_verification_auc_rest: float | None
    retrain_verification_auc_identity: float | None
    retrain_reid_map: float | None
    retrain_reid_rank1: float | None
    retrain_reid_rank5: float | None
    retrain_reid_rank10: float | None
    retrain_activation_kept_identity: float | None
    retrain_activation_kept_rest: float | None
    retrain_activation_similarity_identity: float | None
    retrain_activation_similarity_rest: float | None
    extractor_mode: str
    extractor_epsilon: float | None
    extractor_delta: float | None
    extractor_test_accuracy: float | None
    linear_probe_accuracy: float | None
    epsilon_total: float | None
    delta_total: float | None
    not_covered: str

    @property
    def total_differs(self) -> bool:
        """Whether extractor and model together guarantee other than the model alone."""
        return bool(self.not_covered) or self.epsilon_total not in (None, self.epsilon)

    @property
    def attacked(self) -> bool:
        """Whether anything was measured of what the model still knows of the removed rows."""
        return any(getattr(self, key) is not None for key in FORGETTING)

    @property
    def of_persons(self) -> bool:
        """Whether anything was measured of removed persons and everybody else."""
        return any(getattr(self, key) is not None for key in PERSONS)

    @property
    def used(self) -> float | None:
        """The bound at the last release, as a share of the budget."""
        return ratio(self.residual_bound, self.budget)


def ratio(above: float | None, below: float | None) -> float | None:
    """Return ``above / below``; None where one of them is not known, or from 0."""
    return above / below if above is not None and below else None
