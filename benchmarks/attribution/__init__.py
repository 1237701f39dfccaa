"""Cost and accuracy of Integrated Gradients with head statistics, beside the usual recipe."""
