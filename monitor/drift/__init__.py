"""Pure functions on arrays: evidence that the samples of a window left the baseline."""
