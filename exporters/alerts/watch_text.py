"""What an alert of the watch itself says, by what the metrics tell of the fault."""

from __future__ import annotations

from exporters.alerts.templates import first_of, plain_name, query

_DROPPED = {
    "queue_full": "Samples come faster than the disk takes them: send fewer, or give state.file a "
    "faster disk.",
    "unstorable": "The state file refuses samples: see whether its disk is full.",
    "overload|expired": "Analysing is slower than the traffic: give the sidecar more CPU, or lower "
    "window.samples.",
    "unauthorized": "A sender has no valid token: give it the one in ingest.token_file.",
}
NO_SAMPLE = "answer_unreadable"
"""The reason for which no sample is lost, only what the server answered to it."""

_REFUSED = "Send one request by hand: the answer says what is wrong with it."


def outbox(dropped: str) -> str:
    """What became of the evidence that was not delivered; ``dropped``: the counter over a range."""
    full = query(f"increase({dropped.replace('[', '{<model>}[')}) > 0")
    return (
        f"{{{{ if {full} }}}}The outbox is full, and what does not fit is lost."
        "{{ else }}The evidence waits in the outbox, which is bounded.{{ end }}"
    )


def most_dropped(dropped: str) -> str:
    """The commonest reason, in the middle of a sentence; ``dropped``: the counter over a range."""
    return (
        f"{{{{ range {_commonest(dropped)} }}}}, most of them because of {plain_name('reason')}{{{{ end }}}}"
    )


def against_dropping(dropped: str) -> str:
    """What to do first about the commonest reason; ``dropped``: the counter over a range."""
    cases = first_of((f"match `^({names})$` .Labels.reason", said) for names, said in _DROPPED.items())
    return f"{{{{ range {_commonest(dropped)} }}}}{cases}{{{{ else }}}}{_REFUSED}{{{{ end }}}}{{{{ end }}}}"


def arrived(received: str, during: str) -> str:
    """How many samples came in; ``received``: the counter over a range, which is ``during``."""
    asked = query(f"sum(increase({received.replace('[', '{<model>}[')}))")
    return f'{{{{ range {asked} }}}}{{{{ printf "%.0f" .Value }}}} samples arrived {during}.{{{{ end }}}}'


def by_state(*, stale: str, starting: str, silent: str, absent: str) -> str:
    """One of these texts: the sidecar says that it is stale or starting, says nothing, or never did."""
    cases = (
        (query('headwatch_state{state="stale", <model>} == 1'), stale),
        (query('headwatch_state{state="starting", <model>} == 1'), starting),
        ("$labels.instance", silent),
    )
    return f"{first_of(cases)}{{{{ else }}}}{absent}{{{{ end }}}}"


def _commonest(dropped: str) -> str:
    chosen = dropped.replace("[", f'{{reason!="{NO_SAMPLE}", <model>}}[')
    return query(f"topk(1, increase({chosen}) > 0)")
