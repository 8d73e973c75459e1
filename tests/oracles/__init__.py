"""Naive float64 oracles, written straight from the equations."""
