"""The scrub of Mehta et al. (CVPR 2022), in pieces: copies, selectors, steps."""

from expunge.scrub.problem import Problem
from expunge.scrub.proposal import FIGURES, Proposal
from expunge.scrub.scrub import Scrub
from expunge.scrub.scrub_error import ScrubError

__all__ = ["FIGURES", "Problem", "Proposal", "Scrub", "ScrubError"]
