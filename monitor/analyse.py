"""Replay and analysis joined: samples in, analyses out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monitor.analysis.attribution import Integrated, integrate
from monitor.analysis.agreement import overlap_at, spearman
from monitor.analysis.gradient import gradient_reading
from monitor.analysis.layout import TokenLayout
from monitor.analysis.prediction import predict, target_score
from monitor.analysis.profile import ProfileReducer
from monitor.analysis.rollout import summarise_rollout
from monitor.analysis.settings import AnalysisSettings
from monitor.analysis.words import largest_words, word_sums
from monitor.records import (
    Array,
    Attribution,
    Features,
    Prediction,
    ProbeReading,
    Sample,
    SampleAnalysis,
    ServedPrediction,
)
from monitor.replay.replayed_model import ReplayModel
from monitor.replay.tokens import Encoded, Refused
