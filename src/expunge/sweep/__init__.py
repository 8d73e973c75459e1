"""Sweeps: many runs from one command, each in a folder named by its settings, and what they come to."""
