"""What Prometheus scrapes: the one table of metrics, their points, and the reference that lists them."""
