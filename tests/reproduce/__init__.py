"""Tests of ``expunge.reproduce``."""
