"""Training a network: settings, one plain loop that can be broken off and continued, a cache of results."""

from expunge.training.history import History, Trained
from expunge.training.learner import Learner
from expunge.training.loop import train
from expunge.training.settings import Training

__all__ = ["History", "Learner", "Trained", "Training", "train"]
