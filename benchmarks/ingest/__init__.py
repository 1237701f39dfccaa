"""The receiver alone: requests a second and latency, idle and beside a computation."""
