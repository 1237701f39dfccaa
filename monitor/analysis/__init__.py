"""Pure functions on tensors: what each head does and which tokens drive the prediction."""
