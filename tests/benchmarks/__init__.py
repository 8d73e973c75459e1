"""Tests of ``experiments.benchmarks``."""
