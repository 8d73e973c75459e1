"""Tables of runs: their rows, columns, intervals over seeds, and how they are written."""
