"""What trains and predicts: the linear model and the network, one small interface (``Predictor``)."""

from expunge.predictors.base import (
    KINDS,
    ByClass,
    Differentiable,
    Embedding,
    Graded,
    Mapped,
    NothingLeft,
    Predictor,
    Probabilistic,
    Randomised,
)

__all__ = [
    "KINDS",
    "ByClass",
    "Differentiable",
    "Embedding",
    "Graded",
    "Mapped",
    "NothingLeft",
    "Predictor",
    "Probabilistic",
    "Randomised",
]
