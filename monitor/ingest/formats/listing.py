"""The one list of wire formats, and the recogniser that chooses by the body."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from monitor.errors import PayloadError
from monitor.ingest.formats.kserve_v1 import KSERVE_V1
from monitor.ingest.formats.open_inference_v2 import OPEN_INFERENCE_V2
from monitor.ingest.formats.own import OWN
from monitor.ingest.formats.wire import WireFormat

FORMATS: Mapping[str, WireFormat] = MappingProxyType(
    {
        "headwatch": OWN,
        "open_inference_v2": OPEN_INFERENCE_V2,
        "kserve_v1": KSERVE_V1,
    }
)


def recognise(document: Any) -> WireFormat:
    """The first format that knows this body; raises ``PayloadError`` (``unknown_format``)."""
    for wire in FORMATS.values():
        if wire.recognises(document):
            return wire
    examples = " or ".join(wire.example for wire in FORMATS.values())
    raise PayloadError(f"body: is in no known format; send {examples}", reason="unknown_format")
