"""Tests of ``expunge.datasets``."""
