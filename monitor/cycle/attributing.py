"""Integrated Gradients of the subsamples that wait; each text goes with its commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from monitor.analysis.heads.survey import HeadSurvey
from monitor.cycle.state import Cycle
from monitor.live import attribution_evidence
from monitor.live.reporting import Attributed, gained_words, shared_words
from monitor.reading.integrated import top_words
from monitor.records import Sample

# Learnt samples that get Integrated Gradients as the baseline is made: no verdict comes meanwhile.
MOST_AT_ONCE = 40


def waiting(cycle: Cycle) -> dict[int, list[Sample]]:
    """The samples that wait for Integrated Gradients, by window."""
    due: dict[int, list[Sample]] = defaultdict(list)
    for index, sample in cycle.store.attribution_due():
        due[index].append(sample)
    return due


def attribute_window(cycle: Cycle, index: int, samples: Sequence[Sample]) -> None:
    """Integrated Gradients of a subsample; the next verdict or the baseline counts its words."""
    survey = HeadSurvey(cycle.config.analysis.scheduled)
    attributions = cycle.analyser.attribute(samples, should_stop=cycle.should_stop, survey=survey)
    if cycle.should_stop():
        return
    words = top_words(attributions, cycle.config.analysis.top_words)
    if cycle.baseline is None:
        meta = dict(cycle.words.learn(words, cycle.context()))
        if attributions:
            meta |= cycle.learning.attributed(attribution_evidence.attribution_metrics(attributions))
        cycle.store.commit_attribution(index, outbox=(), meta=meta)
        return
    records, keep = [], dict[str, str]()
    if attributions:
        head_metrics = survey.metrics()
        cycle.attribution = {**attribution_evidence.attribution_metrics(attributions), **head_metrics}
        known = shared_words(cycle.baseline, cycle.privacy) | gained_words(cycle.verdict)
        public = attribution_evidence.public_words(attributions, known=known, privacy=cycle.privacy)
        prefix = f"{cycle.analyser.model.identity.name}/{cycle.in_force.version}"
        records = [
            attribution_evidence.attribution_record(
                prefix,
                index,
                # the window's own time: it belongs to its day's run, however late this is done
                cycle.store.window(index).last_moment,
                attributions,
                public,
                head_metrics=head_metrics,
                heads=survey.to_json() if head_metrics else None,
            )
        ]
        episode = cycle.episode()
        cycle.reporter.take(
            index,
            Attributed(
                samples=len(attributions),
                metrics=cycle.attribution,
                words=public,
                examples=episode.examples(cycle.analyser, samples, attributions, known=known),
            ),
        )
        newer, keep = cycle.reporter.attributed(episode, index)
        records += newer
    meta = {**cycle.words.take(words, cycle.context(), cycle.clock()), **keep}
    cycle.store.commit_attribution(index, outbox=cycle.wanted(records), meta=meta)


def attribute_learnt(cycle: Cycle) -> None:
    """Integrated Gradients of the newest learnt subsamples that wait: the baseline needs them."""
    due = waiting(cycle)
    room = MOST_AT_ONCE
    for index in sorted(due, reverse=True):
        room -= len(due[index])
        if room >= 0 and not cycle.should_stop():
            attribute_window(cycle, index, due[index])
        else:
            cycle.store.commit_attribution(index, outbox=())
