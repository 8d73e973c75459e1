"""Charts and pictures: how they look, and how they become files; what is in them, who calls says."""
