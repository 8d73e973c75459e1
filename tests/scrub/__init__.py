"""Tests of ``expunge.scrub``."""
