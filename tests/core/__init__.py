"""Tests of ``expunge.core``."""
