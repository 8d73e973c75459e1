"""A lower bound on epsilon, by the best tests of an observer, beside what a certified method claims."""
