"""One removal from a head of ten classes on wide features; see README.md."""
