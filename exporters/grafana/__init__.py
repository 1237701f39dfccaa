"""The Grafana dashboards as code: one module for each, written as JSON by ``exporters.grafana.write``."""
