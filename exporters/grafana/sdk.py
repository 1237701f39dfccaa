"""The parts of grafana-foundation-sdk that are used here, imported without its advice on newer schemas."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # The SDK prefers the schema of Grafana 12; the one used here loads in 10 and 11 too.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import (
        bargauge,
        heatmap,
        prometheus,
        stat,
        statetimeline,
        table,
        timeseries,
    )
    from grafana_foundation_sdk.builders import common as common_builders
    from grafana_foundation_sdk.builders import dashboard as board
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common
    from grafana_foundation_sdk.models import dashboard as model
    from grafana_foundation_sdk.models import heatmap as heatmap_model
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = [
    "SOURCE",
    "JSONEncoder",
    "PromQueryFormat",
    "bargauge",
    "board",
    "common",
    "common_builders",
    "heatmap",
    "heatmap_model",
    "model",
    "prometheus",
    "stat",
    "statetimeline",
    "table",
    "timeseries",
]

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
