"""Tests of ``expunge.tracking``."""
