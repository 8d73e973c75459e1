"""Runs whose every number is kept, so that a change of the program's shape cannot change its results."""
