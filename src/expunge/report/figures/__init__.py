"""Figures of runs, each from their numbers alone."""
