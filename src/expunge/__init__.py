"""expunge: machine unlearning experiments with a certificate for every removal."""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, which the commands import only once they can be interrupted
if TYPE_CHECKING:
    from typing import Any

    from expunge.estimator import CertifiedLogisticRegression
    from expunge.frames import load
    from expunge.serving import RemovalService

    __version__: str

__all__ = ["CertifiedLogisticRegression", "RemovalService", "load"]


def __getattr__(name: str) -> Any:
    # Heavy imports wait until they are needed: `expunge --help` must not pay for scikit-learn and numba.
    if name == "__version__":
        from expunge.core.versions import version_of

        return version_of("expunge") or "unknown"
    if name == "CertifiedLogisticRegression":
        from expunge.estimator import CertifiedLogisticRegression

        return CertifiedLogisticRegression
    if name == "RemovalService":
        from expunge.serving import RemovalService

        return RemovalService
    if name == "load":
        from expunge.frames import load

        return load
    raise AttributeError(f"module 'expunge' has no attribute {name!r}")
