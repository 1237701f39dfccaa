"""What each token contributes: attention followed to the input, gradients, and tests of both."""
