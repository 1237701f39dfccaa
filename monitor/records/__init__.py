"""The frozen records that flow from stage to stage; stages know these, not each other.

    payload -> Sample -> SampleAnalysis -> Features (a window's samples, stacked)
            -> Verdict (against a Baseline) -> OutboxRecord, Snapshot

Axes are always named and ordered ``sample layer head statistic`` here.
"""

from monitor.records.explanations import Agreement, Faithfulness, Removal
from monitor.records.features import Features
from monitor.records.outgoing import JobStatus, OutboxKind, OutboxRecord, Snapshot, WindowFigures
from monitor.records.references import Baseline, ModelIdentity, ProbeReading, SurveyedHeads, WordCount
from monitor.records.samples import (
    INPUT_MEASURES,
    ROLLOUT_MEASURES,
    STATISTICS,
    Array,
    Attribution,
    HeadId,
    InputFacts,
    Prediction,
    RolloutSummary,
    Sample,
    SampleAnalysis,
    ServedAnswer,
    ServedPrediction,
)
from monitor.records.verdicts import (
    CHANNELS,
    LARGEST_SHOWN,
    Cause,
    ChannelName,
    ChannelVerdict,
    HeadEvidence,
    MeasureEvidence,
    Severity,
    State,
    Suspicion,
    SuspicionName,
    Verdict,
    WordEvidence,
)

__all__ = [
    "CHANNELS",
    "INPUT_MEASURES",
    "LARGEST_SHOWN",
    "ROLLOUT_MEASURES",
    "STATISTICS",
    "Agreement",
    "Array",
    "Attribution",
    "Baseline",
    "Cause",
    "ChannelName",
    "ChannelVerdict",
    "Faithfulness",
    "Features",
    "HeadEvidence",
    "HeadId",
    "InputFacts",
    "JobStatus",
    "MeasureEvidence",
    "ModelIdentity",
    "OutboxKind",
    "OutboxRecord",
    "Prediction",
    "ProbeReading",
    "Removal",
    "RolloutSummary",
    "Sample",
    "SampleAnalysis",
    "ServedAnswer",
    "ServedPrediction",
    "Severity",
    "Snapshot",
    "State",
    "SurveyedHeads",
    "Suspicion",
    "SuspicionName",
    "Verdict",
    "WindowFigures",
    "WordCount",
    "WordEvidence",
]
