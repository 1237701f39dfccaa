"""Where verdicts go: Prometheus, MLflow, notifications."""
