"""Two checkpoints on the same inputs, head by head."""
