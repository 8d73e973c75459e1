"""Unlearners: one module a method behind one small interface (``expunge.unlearners.base.Unlearner``)."""

from expunge.unlearners.base import Outcome, State, Unlearner

__all__ = ["Outcome", "State", "Unlearner"]
