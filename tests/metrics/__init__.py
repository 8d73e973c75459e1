"""Tests of ``expunge.metrics``."""
