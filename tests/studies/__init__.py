"""Tests of ``expunge.studies``."""
