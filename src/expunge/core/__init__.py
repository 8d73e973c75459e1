"""What everything stands on: errors, checks, seeds, hashing, locks, files. It imports no other room."""
