"""Tests of ``expunge.report``."""
