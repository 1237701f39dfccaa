"""What a drift alert says: templates that Prometheus fills in from the metrics of the model in alarm.

An on-call person has to read in one minute what changed, since when, whether the data or the model
is the cause, whether it matters, and what to do first. No metric holds a token, so a text can only
count them; the evidence names them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exporters.alerts.templates import (
    NEXT,
    SELECT,
    first_of,
    listed,
    moved,
    named,
    plain_name,
    query,
    sentence,
    when,
)
from monitor.records.statistic_names import MEASURES, PHRASES

HEADS_SHOWN = 3

_CAUSES: Mapping[str, tuple[str, str]] = {
    # cause: what it says, and what to do first; the most important cause first
    "model": (
        "its files are not those that the baseline was made with",
        "Look at the last deployment: roll it back, or declare the revision.",
    ),
    "serving": (
        "the replay behaves as before, and the server's answers differ from it",
        "Compare the server's revision, preprocessing and tokenizer with the sidecar's.",
    ),
    "environment": (
        "the same files give other numbers",
        "Look at the last change of an image, a library, a driver or a node type.",
    ),
    "data": (
        "the inputs changed, and nothing says that the model did",
        "Find out who sends the changed inputs. To keep them: headwatch baseline promote --config FILE.",
    ),
}
_UNKNOWN = "Read the runbook; the cause is not known yet."
# Beside another cause, less can be said of the data.
_DATA_TOO = "the inputs drift as well"
_EXPECTED = {
    "rollout": "A rollout was declared, so a change of the model is expected.",
    "upgrade": "Libraries, precision or device were upgraded, so other numbers are expected.",
}
_HARM = {
    "critical": "Look at it now.",
    "warning": "Look at it in working hours.",
    "info": "Nothing needs to be done now.",
}


def since() -> str:
    """When the drift began: ``2026-09-21 15:10 UTC``."""
    asked = query("headwatch_alarm_since_timestamp_seconds{<model>}")
    moment = '{{ (. | first | value | toTime).Format "2006-01-02 15:04 UTC" }}'
    return f"{{{{ with {asked} }}}}{moment}{{{{ else }}}}an unknown time{{{{ end }}}}"


def cause() -> str:
    """Data, model, environment or serving with what it says; then what is known besides."""
    others = query('headwatch_cause{cause!="data", <model>} == 1')
    said = ""
    for name, (meaning, _) in _CAUSES.items():
        told = meaning
        if name == "data":
            told = f"{{{{ if {others} }}}}{_DATA_TOO}{{{{ else }}}}{meaning}{{{{ end }}}}"
        found = f"{{{{ $s }}}}{name} ({told}){{{{ $s = ` and ` }}}}"
        said += when(f'headwatch_cause{{cause="{name}", <model>}} == 1', found)
    said += "{{ if not $s }}not known yet{{ end }}." + NEXT
    for name, told in _EXPECTED.items():
        said += when(f'headwatch_expected_change{{change="{name}", <model>}} == 1', sentence(told))
    return said + listed(
        "headwatch_suspicion{<model>} == 1", plain_name("suspicion"), lead="Suspected: ", by="suspicion"
    )


def effect() -> str:
    """Whether it matters: how far the predictions moved, and how urgent headwatch finds it."""
    predictions = measures("prediction", lead="Largest change of the predictions: ", count=1)
    harm = first_of((f"eq $labels.severity `{name}`", sentence(said)) for name, said in _HARM.items())
    return f"{predictions}{harm}{{{{ end }}}}"


def first_step(causes: Sequence[str]) -> str:
    """What to do first about these causes, the most important one in front.

    >>> first_step(["model", "data"])
    'Look at the last deployment: roll it back, or declare the revision.'
    """
    return _CAUSES[causes[0]][1] if causes else _UNKNOWN


def action() -> str:
    """What to do first, by the most important cause."""
    known = first_of(
        (query(f'headwatch_cause{{cause="{name}", <model>}} == 1'), sentence(said))
        for name, (_, said) in _CAUSES.items()
    )
    return f"{known}{{{{ else }}}}{sentence(_UNKNOWN)}{{{{ end }}}}"


def heads(lead: str) -> str:
    """``lead`` and the strongest of the named heads, before and after."""
    # Without a count topk would fail, and its error would stand in the message.
    count = f"scalar(max(clamp(headwatch_heads_drifted{{<model>}}, 1, {HEADS_SHOWN}) or vector(1)))"
    values, effect = moved("head", ("layer", "head", "statistic"))
    name = "L{{ .Labels.layer }}H{{ .Labels.head }}"
    shown = f"{name} ({named('statistic', PHRASES)} {values}, {effect})"
    strongest = f"topk({count}, headwatch_head_evidence{{<model>}})"
    return listed(strongest, shown, lead=lead, otherwise="It is not known yet which heads.")


def heads_counted() -> str:
    """How many heads are named, as the beginning of a sentence that lists them."""
    return (
        f"{{{{ range {query('headwatch_heads_drifted{<model>}')} }}}}"
        "{{ if eq .Value 0.0 }}No head is named for certain; the likeliest is "
        "{{ else if eq .Value 1.0 }}One head is named: "
        "{{ else }}{{ .Value }} heads are named, strongest first: {{ end }}{{ end }}"
    )


def tokens() -> str:
    """How many tokens came and went."""
    gained, lost = (
        f"{{{{ range {query(f'headwatch_tokens_{name}{{<model>}}')} }}}}{{{{ .Value }}}}{{{{ end }}}}"
        for name in ("gained", "lost")
    )
    said = f"Words seen clearly more often: {gained}, less often: {lost}. The evidence names them."
    return when("headwatch_tokens_gained{<model>}", sentence(said))


def measures(channel: str, *, lead: str, count: int) -> str:
    """``lead`` and the measures of a channel that moved most, before and after."""
    effects = f'abs(headwatch_measure_effect{{channel="{channel}", <model>}})'
    values, by = moved("measure", ("channel", "measure"))
    shown = f"{named('measure', MEASURES[channel])} {values} ({by})"
    return listed(f"topk({count}, {effects})", shown, lead=lead)


def in_alarm(channel: str, said: str) -> str:
    """``said`` if this channel is in alarm."""
    return when(f'headwatch_channel_alarm{{channel="{channel}", <model>}} == 1', said)


def agreement() -> str:
    """The share of labels on which the server and the replay agree."""
    said = sentence("Served and replayed labels agree on {{ .Value | humanizePercentage }} of the samples.")
    return f"{{{{ range {query('headwatch_fidelity_ratio{<model>}')} }}}}{said}{{{{ end }}}}"


def evidence_url() -> str:
    """The page of the episode's run in MLflow; empty where there is none."""
    asked = query('headwatch_episode_info{run_url!="", <model>}')
    return f"{{{{ range {asked} }}}}{{{{ .Labels.run_url }}}}{{{{ end }}}}"


def dashboard_url(grafana: str, dashboard: str, *, from_onset: bool) -> str:
    """A dashboard that shows this model; ``from_onset``: from an hour before the drift began."""
    labels = "&".join(
        f"var-{name}={{{{ $labels.{name} | urlquery }}}}" for name in ("job", "instance", "model")
    )
    address = f"{grafana.rstrip('/')}/d/{dashboard}?{labels}"
    if not from_onset:
        return address
    onset = query("1000 * (headwatch_alarm_since_timestamp_seconds{<model>} - 3600)")
    return f'{address}{{{{ range {onset} }}}}&from={{{{ printf "%.0f" .Value }}}}&to=now{{{{ end }}}}'


def data_too() -> str:
    """``yes`` while the data are a cause of the alarm, else ``no``."""
    asked = query('headwatch_cause{cause="data", <model>} == 1')
    return f"{SELECT}{{{{ if {asked} }}}}yes{{{{ else }}}}no{{{{ end }}}}"
