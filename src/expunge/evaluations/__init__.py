"""Evaluations over many models: pure functions of margins, models x examples."""
