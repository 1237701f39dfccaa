"""Where verdicts go: Prometheus, its alerts, Grafana, MLflow, notifications."""
