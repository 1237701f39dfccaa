"""See ``benchmarks.detection.worlds``, where the measured samples come from."""

from benchmarks.detection.worlds import load_world

__all__ = ["load_world"]
