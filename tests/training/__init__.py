"""Tests of ``expunge.training``."""
