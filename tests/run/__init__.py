"""Tests of ``expunge.run``."""
