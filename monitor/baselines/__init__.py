"""Baselines: how one is built, its file, the folder of its versions, and what it has not seen."""
