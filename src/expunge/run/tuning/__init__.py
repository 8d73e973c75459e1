"""Equal tuning: the same number of trials for every method, on rows that the test never sees."""
