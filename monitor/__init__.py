"""headwatch's sidecar: payloads in, samples through the model, head and token drift out."""

__version__ = "0.1.0"
