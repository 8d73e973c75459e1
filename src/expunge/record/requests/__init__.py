"""The stream of removal requests: which training rows must go, and in what order."""

from expunge.record.requests.drawn import RandomPeople, RandomRows
from expunge.record.requests.labelled import OfClass, OfGroup, OfIdentity
from expunge.record.requests.listed import ListedIds, ListedRows
from expunge.record.requests.request import Request

__all__ = [
    "ListedIds",
    "ListedRows",
    "OfClass",
    "OfGroup",
    "OfIdentity",
    "RandomPeople",
    "RandomRows",
    "Request",
]
