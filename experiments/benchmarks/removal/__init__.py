"""One certified removal, and training; see README.md."""
