"""Wire formats of request and response bodies: one module each, listed in ``listing``."""
