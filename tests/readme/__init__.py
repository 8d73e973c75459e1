"""What the pages tell a reader to type: found, read by real shells, and run."""
