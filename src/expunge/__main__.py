"""Run as ``python -m expunge``."""

from expunge.core.door import expunge

if __name__ == "__main__":
    expunge()
