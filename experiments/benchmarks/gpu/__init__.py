"""What a GPU is for: linear models with many rows, and networks."""
