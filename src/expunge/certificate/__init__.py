"""What a removal certificate promises and what it has cost so far: float64 arithmetic, no model."""

from expunge.certificate.account import Account, ReleaseAccount, joint
from expunge.certificate.bounds import CERTIFICATES, StepFacts
from expunge.certificate.guarantee import Guarantee
from expunge.certificate.release import ReleaseGuarantee

__all__ = [
    "CERTIFICATES",
    "Account",
    "Guarantee",
    "ReleaseAccount",
    "ReleaseGuarantee",
    "StepFacts",
    "joint",
]
