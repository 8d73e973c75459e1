"""Tests of ``expunge.models``."""
