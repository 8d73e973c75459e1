"""Tests of ``expunge.charts``, and what holds of every chart that any test draws."""
