"""What to run for each paper and benchmark, what was published, and what we got."""
