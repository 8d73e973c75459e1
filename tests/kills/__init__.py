"""A process is ended at every file-system event of what it does, and the same command is given again."""
