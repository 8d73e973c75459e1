"""Tests of ``expunge.curvature``."""
