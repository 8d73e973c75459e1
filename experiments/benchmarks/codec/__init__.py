"""One feature selection by conditional dependence; see README.md."""
