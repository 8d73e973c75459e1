"""Feature extractors: what turns a data set's stored arrays into rows for a linear model."""
