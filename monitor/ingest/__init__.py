"""Payload bytes become samples: one module a wire format, one a transport."""
