"""How long a removal without the rows takes, and how many of them there are between two passes."""
