"""Results of comparisons as data, a file a comparison, and how one is made from a sweep's folder."""
