"""What others do, on the same features in the same run."""
