"""One certified removal from ten one-vs-rest classes; see README.md."""
