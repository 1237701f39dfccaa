"""Replay and analysis joined: samples in, analyses out."""
