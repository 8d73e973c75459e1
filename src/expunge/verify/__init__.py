"""``expunge-verify``: an independent checker of what a run claims, with arithmetic of its own."""
