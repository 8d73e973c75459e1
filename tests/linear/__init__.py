"""Tests of ``expunge.linear``."""
