"""Methods that exist for networks and for the linear model alike: whose settings are whose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from expunge.core.errors import InvalidValue

if TYPE_CHECKING:
    from expunge.training import Learner


def linear_settings(model: Learner | None, **settings: Any) -> dict[str, Any]:
    """Return the settings of the linear model that are given (not None).

    Args:
        model: The network's learner; None for the linear model.
        settings: ``lam``, ``std``, ``tol``, ``max_iter``, ``subsample_ratio``, ``joint_training``.

    Raises:
        InvalidValue: One is given for a network, where it would mean nothing.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    if model is not None and given:
        key, value = next(iter(given.items()))
        raise InvalidValue(key, value, "null for a network, whose penalty is training.weight_decay")
    return given
