"""What the running sidecar keeps between the jobs of a cycle: the model, baselines, episodes, evidence."""
