"""What profiling costs beside the plain forward pass of the same batch."""
