"""Tests of ``expunge.extractors``."""
