"""The detector as a whole: a frozen fit of the baseline, and one pure step per window.

    features -> every channel's evidence -> one budget -> latched alarms -> cause -> severity -> Verdict

Guarantee: while inputs, model and serving are those of the baseline (up to the tolerances stated
in ``bets``, ``direction`` and ``tokens``), the mean number of windows between alarms of the
stochastic channels is at least ``mean_windows``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from monitor.drift.decision import Budget
from monitor.drift.fitted import Fitted, fit_baseline
from monitor.drift.probe import compare
from monitor.drift.settings import DriftSettings
from monitor.drift.state import DetectorState
from monitor.drift.stream import restarted, watch_model, watch_stream
from monitor.drift.tokens import WordName
from monitor.drift.verdict import WindowFacts, build_verdict
from monitor.drift.waiting import gather
from monitor.errors import StateError
from monitor.records import Baseline, ChannelName, Features, ProbeReading, Verdict

__all__ = ["Detector", "DetectorState", "WindowFacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """Everything fitted on one baseline; immutable. Build it with ``Detector.fit``."""

    fitted: Fitted

    @classmethod
    def fit(
        cls, baseline: Baseline, settings: DriftSettings, *, mean_windows: float, unseen_count: int = 0
    ) -> Detector:
        """Fit every channel that the baseline can watch.

        ``mean_windows``: mean windows between false alarms. ``unseen_count``: see ``WordBets``.
        """
        return cls(
            fitted=fit_baseline(baseline, settings, mean_windows=mean_windows, unseen_count=unseen_count)
        )

    @property
    def baseline(self) -> Baseline:
        """What windows are judged against."""
        return self.fitted.baseline

    @property
    def settings(self) -> DriftSettings:
        """The settings it was fitted with."""
        return self.fitted.settings

    @property
    def budget(self) -> Budget:
        """The mean number of windows between false alarms, and each channel's share."""
        return self.fitted.budget

    def start(self) -> DetectorState:
        """The state of a detector that has seen nothing."""
        return self.fitted.start()

    def evidence(self, state: DetectorState) -> dict[ChannelName, float]:
        """The log R of every stochastic channel."""
        return self.fitted.evidence(state)

    def judge(
        self,
        state: DetectorState,
        features: Features,
        *,
        window: WindowFacts,
        probe: ProbeReading | None,
        declared: bool = False,
        integrated: Sequence[Sequence[str]] = (),
        word_name: WordName,
    ) -> tuple[DetectorState, Verdict]:
        """One window: the new state and the verdict; ``state`` is left as it is.

        ``declared``: the model's change was announced, so it is noted and pages nobody.
        ``integrated``: the top words by Integrated Gradients of every sample attributed since the last
        window. The order of the samples does not matter: two replicas' windows joined are one window.
        ``word_name(word, requests)`` shows a word in clear or hashed. Raises StateError if ``state``
        belongs to another baseline.
        """
        if state.baseline != self.baseline.version:
            raise StateError(
                f"detector state: made for baseline {state.baseline}, this is {self.baseline.version}; "
                "start a fresh one"
            )
        before = state
        state = replace(state, times=state.times_with(window.index, window.start))
        result = compare(self.baseline.probe, probe, self.fitted.head_sd, self.fitted.prediction_sd)
        state = watch_model(self.fitted, state, result, window.index)
        state, heard = gather(
            state,
            features,
            integrated,
            window=window.index,
            end=window.end,
            minimum=self.settings.minimum,
            largest=self.baseline.largest_repeat,
        )
        enough = heard is not None
        cleared: dict[ChannelName, float] = dict.fromkeys(set(before.latches) - set(state.latches), 0.0)
        if heard is not None:
            state, gone = watch_stream(self.fitted, state, heard, word_name)
            cleared |= gone
        raised = set(state.latches) - set(before.latches)
        if state.latches and state.episode is None:
            state = replace(state, episode=f"{self.baseline.version}-{window.index}")
        verdict = build_verdict(
            self.fitted,
            state,
            window,
            samples=len(features),
            enough=enough,
            raised=raised,
            cleared={name: cleared[name] for name in cleared if name not in state.latches},
            was=before,
            result=result,
            declared=declared,
            reading=probe,
        )
        if not state.latches and state.episode is not None:
            state = replace(restarted(self.fitted, state), episode=None)
        return state, verdict
