"""Tests of ``expunge.sweep``."""
