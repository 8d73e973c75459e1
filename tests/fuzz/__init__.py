"""Input that nobody thought of: generated command lines, and generated files of a user's."""
