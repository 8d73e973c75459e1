"""Tests of ``expunge.certificate``."""
