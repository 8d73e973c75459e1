"""Unlearners: one module a method; each removes rows from a model that it supports (``Method``)."""

from expunge.core.files import State
from expunge.unlearners.base import Method, Outcome, Unlearner

__all__ = ["Method", "Outcome", "State", "Unlearner"]
