"""Random problems against the truth in 64-bit mantissas: every bound, count and word of what is served."""
