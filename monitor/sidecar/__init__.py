"""What surrounds the cycle while it runs: jobs, deliveries, sinks, and the operations endpoints."""
