"""Rows of other kinds than dense ones in memory: fit and removal against scikit-learn."""
