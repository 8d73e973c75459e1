"""One scrub of a network; see README.md."""
