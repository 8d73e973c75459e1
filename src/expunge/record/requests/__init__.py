"""The stream of removal requests: which training rows must go, and in what order."""

from expunge.record.requests.corrupted import Mislabelled, Poisoned
from expunge.record.requests.drawn import RandomPeople, RandomRows, RandomSample
from expunge.record.requests.labelled import OfClass, OfGroup, OfIdentity
from expunge.record.requests.listed import ListedIds, ListedRows
from expunge.record.requests.located import Neighbours, Outliers
from expunge.record.requests.request import Request

__all__ = [
    "ListedIds",
    "ListedRows",
    "Mislabelled",
    "Neighbours",
    "OfClass",
    "OfGroup",
    "OfIdentity",
    "Outliers",
    "Poisoned",
    "RandomPeople",
    "RandomRows",
    "RandomSample",
    "Request",
]
