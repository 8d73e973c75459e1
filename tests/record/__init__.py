"""Tests of ``expunge.record``."""
