"""Corruptions of what a run or a model has written: each is refused in one line, or changes nothing."""
