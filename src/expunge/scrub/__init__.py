"""The scrub of Mehta et al. (CVPR 2022), in pieces: copies, selectors, steps."""

from expunge.scrub.scrub import FIGURES, Proposal, Scrub
from expunge.scrub.scrub_error import ScrubError
from expunge.scrub.steps import Problem

__all__ = ["FIGURES", "Problem", "Proposal", "Scrub", "ScrubError"]
