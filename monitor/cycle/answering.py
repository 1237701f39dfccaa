"""What a user has asked for meanwhile: the new normal."""

from __future__ import annotations

import logging

from monitor.cycle.state import Cycle
from monitor.errors import HeadwatchError
from monitor.live import promotion

log = logging.getLogger("headwatch.cycle")


def answer(cycle: Cycle) -> None:
    """Promote what stands in alarm to the baseline, where a user has asked for it."""
    request = promotion.asked(cycle.store)
    if request is None or cycle.should_stop():
        return
    try:
        done = promotion.promote(
            store=cycle.store,
            force=cycle.in_force,
            standing=cycle.standing,
            words=cycle.words,
            verdict=cycle.verdict,
            model=cycle.analyser.model,
            probe=cycle.model.probe,
            context=cycle.context(),
            created=cycle.clock(),
            wanted=cycle.wanted,
            last=cycle.reporter.of_end(cycle.episode, "accepted"),
            request=request,
        )
    except HeadwatchError as error:
        log.warning("not promoted: %s", error)
        cycle.store.set_metas(promotion.answering(request, promotion.Answer(problem=str(error))))
        return
    cycle.verdict = None
    log.warning("episode %s is accepted: baseline %s stands", done.episode, done.version)
