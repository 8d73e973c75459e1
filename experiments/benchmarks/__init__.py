"""Measurements of speed, each against a baseline that is timed in the same process."""
