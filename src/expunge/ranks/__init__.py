"""The processes that ``torchrun`` starts: rank 0 runs the program, the others sum over rows for it."""
