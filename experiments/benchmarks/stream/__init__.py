"""A sweep by one process and by several; see README.md."""
