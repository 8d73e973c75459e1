"""Run as ``python -m expunge``."""

from expunge.app import main

if __name__ == "__main__":
    main()
