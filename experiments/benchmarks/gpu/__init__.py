"""What a GPU is good for: figures that are measured in one go, wherever there is one."""
