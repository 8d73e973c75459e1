"""Tests of ``expunge.codec``."""
