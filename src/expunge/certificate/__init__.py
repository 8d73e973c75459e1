"""What a removal certificate promises and what it has cost so far: float64 arithmetic, no model."""

from expunge.certificate.account import Account, joint
from expunge.certificate.bounds import CERTIFICATES, StepFacts
from expunge.certificate.guarantee import Guarantee

__all__ = ["CERTIFICATES", "Account", "Guarantee", "StepFacts", "joint"]
