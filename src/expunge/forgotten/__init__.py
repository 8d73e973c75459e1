"""What left with each request of a run, shown: data are read again for it, where that is asked for."""
