"""Tests of ``expunge.unlearners``."""
