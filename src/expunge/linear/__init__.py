"""Logistic regression on rows of norm at most 1: loss, Newton solver, removal updates. No I/O, no config."""
