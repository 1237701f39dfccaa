"""A sidecar's status as one screen of at most 80 columns: what the overview dashboard shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from exporters.severity_words import alert_severity
from exporters.verdict_text import cause_words, head_name, utc
from monitor.commands.numbers import ago, amount, bounded, size
from monitor.commands.terminal import hanging

Json = Mapping[str, Any]

LABEL = 12
BAR = 24
TOP_HEADS = 5
OVERVIEW = "headwatch-overview"
UNVERSIONED = "unversioned"
"""What the replay calls the revision of a local folder that nobody named: nothing worth a word."""
STATES = {
    "quiet": "quiet",
    "alarm": "alarm",
    "starting": "starting, the model is loading",
    "learning": "learning its baseline",
    "stale": "stale, no fresh result",
    "too_few_samples": "too few samples to judge",
}
STYLES = {"critical": "bold red", "warning": "bold yellow", "info": "bold cyan", "quiet": "bold green"}
NOT_WATCHED = "bold magenta"
# The page of docs/runbooks for each channel; a channel in alarm raises the alert of that name.
RUNBOOKS = {
    "heads": "head-drift",
    "rollout": "head-drift",
    "tokens": "token-drift",
    "prediction": "prediction-drift",
    "input": "input-drift",
    "model": "model-changed",
    "fidelity": "serving-mismatch",
}
STATE_RUNBOOKS = {
    "stale": "stale",
    "starting": "stale",
    "too_few_samples": "too-few-samples",
}


def report(status: Json, *, address: str, columns: int = 80, drawn: bool = True) -> Text:
    """All of it; ``drawn``: bars of blocks, else of ``#``. The times are those of the sidecar's clock."""
    verdict: Json = status["verdict"] or {}
    parts = [
        _head(status, verdict, columns),
        _facts(status, verdict, columns),
        _evidence(verdict, drawn=drawn),
        _heads(verdict),
        _flow(status, verdict, columns),
        _jobs(status),
        _links(status, verdict, address),
    ]
    whole = Text()
    for lines in parts:
        said = list(lines)
        if said:
            whole.append("\n" if whole else "")
            whole.append(Text("\n").join(said))
            whole.append("\n")
    whole.rstrip()
    return whole


def severity_words(verdict: Json) -> str:
    """The severity as Prometheus says it, and as headwatch does.

    >>> severity_words({"severity": "page"})
    'critical (page)'
    """
    own = verdict.get("severity") or "note"
    return f"{alert_severity(own)} ({own})"


def _head(status: Json, verdict: Json, columns: int) -> Iterator[Text]:
    state, alarm = status["state"], bool(verdict.get("alarm"))
    words = STATES.get(state, str(state))
    if alarm:
        # a window that cannot be judged ends no alarm
        words = f"{words}; an alarm stands" if state != "alarm" else words
        words = f"{words}, {severity_words(verdict)}"
    style = STYLES["quiet"] if state == "quiet" else NOT_WATCHED
    if alarm:
        style = STYLES[alert_severity(verdict.get("severity"))]
    yield Text(f"{printable(status['name'])}: {words}", style=style)
    said = status.get("trouble") or verdict.get("summary") or ""
    if said and not status.get("trouble") and verdict["state"] != state:
        said = f"The last verdict: {said}"
    if state == "starting":
        said = "Traffic is received and kept; it is judged once the model is loaded."
    if said:
        yield Text(hanging("  ", printable(said), columns))


def _facts(status: Json, verdict: Json, columns: int) -> Iterator[Text]:
    now = status["time"]
    if verdict.get("alarm"):
        yield _fact("cause", cause_words(verdict) or "unknown", columns)
        if verdict["since_time"] is not None:
            began = f"{utc(verdict['since_time'])}, {ago(now - verdict['since_time'])}"
            yield _fact("since", f"{began} (window {verdict['since']})", columns)
    model = status["model"]
    if model:
        heads = f"{model['layers']} layers x {model['heads']} heads" if model["layers"] else "no heads read"
        declared = "" if model["revision"] == UNVERSIONED else f", revision {model['revision']}"
        yield _fact("model", f"{model['architecture']}, {heads}{declared}", columns)
    learning = status["learning"]
    if status["baseline"]:
        yield _fact("baseline", status["baseline"], columns)
    elif model:
        yield _fact("baseline", f"none yet: {learning['samples']} of {learning['wanted']} samples", columns)
    if verdict:
        judged = f"{amount(verdict['samples'])} samples of {amount(verdict['received'])} requests"
        yield _fact(
            "last window",
            f"{verdict['index']}, ended {utc(verdict['end'])}, {ago(now - verdict['end'])}: {judged}",
            columns,
        )


def _evidence(verdict: Json, *, drawn: bool) -> Iterator[Text]:
    channels = verdict.get("channels") or {}
    if not channels:
        return
    full, empty = ("█", "░") if drawn else ("#", ".")
    yield Text(f"{'evidence':<{LABEL}}{'now':>9}{'limit':>9}", style="bold")
    pooled = {"alarm": False, "since": None, "evidence": verdict["evidence"], "limit": verdict["limit"]}
    for name, channel in {"all": pooled, **channels}.items():
        evidence, limit = channel["evidence"], channel["limit"]
        share = 0.0 if evidence is None or not limit else min(1.0, max(0.0, evidence / limit))
        length = round(BAR * share)
        line = Text(f"{printable(name):<{LABEL}}{bounded(evidence):>9}{bounded(limit):>9}  ")
        line.append(full * length, style="red" if share >= 1 else "green")
        line.append(empty * (BAR - length), style="dim")
        if channel["alarm"]:
            since = "" if channel["since"] is None else f" since window {channel['since']}"
            line.append(f"  alarm{since}", style="bold")
        yield line


def _heads(verdict: Json) -> Iterator[Text]:
    """The heads with the strongest evidence, each statistic of a head once."""
    every = [head for channel in (verdict.get("channels") or {}).values() for head in channel["top"]]
    every.sort(key=lambda head: -(head["evidence"] or 0.0))
    strongest: dict[tuple[str, str], Json] = {}
    for head in every:
        strongest.setdefault((head_name(head), head["statistic"]), head)
    if not strongest:
        return
    named = len({head_name(head) for head in every if head["named"]})
    yield Text(f"{'heads':<{LABEL}}{named or 'none'} named as drifted; those with the strongest evidence:")
    titles = (
        f"{'head':<{LABEL}}{'statistic':<18}{'before':>9}    {'after':>9}{'effect':>12}{'importance':>12}"
    )
    yield Text(titles, style="bold")
    for (name, statistic), head in list(strongest.items())[:TOP_HEADS]:
        effect = f"{bounded(head['effect'], 1, sign=True)} sd"
        importance = "?" if head["importance"] is None else f"{head['importance']:.1%}"
        moved = f"{bounded(head['before'], 3):>9} -> {bounded(head['after'], 3):>9}"
        line = f"{name:<{LABEL}}{printable(statistic):<18}{moved}{effect:>12}{importance:>12}"
        yield Text(line, style="" if head["named"] else "dim")


def _flow(status: Json, verdict: Json, columns: int) -> Iterator[Text]:
    channels = (verdict.get("channels") or {}).values()
    if channels:
        gained, lost = (
            len({word for channel in channels for word in channel[way]}) for way in ("gained", "lost")
        )
        yield _fact("tokens", f"{gained} seen more often, {lost} less often", columns)
    dropped = status["samples_dropped"]
    reasons = ", ".join(f"{name} {amount(count)}" for name, count in dropped.items() if count)
    received = sum(status["samples_received"].values())
    told = f"{amount(received)} received, {amount(sum(dropped.values()))} dropped"
    told += f" ({reasons})" if reasons else ""
    yield _fact("samples", f"{told}, {amount(status['pending_samples'])} wait to be analysed", columns)
    if status.get("fidelity") is not None:
        yield _fact("served", f"the replay repeats {status['fidelity']:.1%} of the served labels", columns)
    for name, sink in (status.get("sinks") or {}).items():
        yield _fact(name, f"{amount(sink['delivered'])} delivered, {amount(sink['failed'])} failed", columns)
    outbox = status["outbox"]
    kinds = ", ".join(f"{kind} {amount(count)}" for kind, count in outbox["records"].items() if count)
    waits = f"{kinds} ({size(outbox['bytes'])})" if kinds else "nothing waits"
    given_up = f", {amount(outbox['dropped'])} records dropped" if outbox["dropped"] else ""
    yield _fact("outbox", f"{waits}{given_up}", columns)
    if not status["configuration"]["reload_successful"]:
        yield _fact(
            "reload", "failed, the former configuration is in force; the log of headwatch says why", columns
        )


def _jobs(status: Json) -> Iterator[Text]:
    if not status["jobs"]:
        return
    yield Text(
        f"{'job':<{LABEL}}{'last success':<18}{'took':>9}{'runs':>12}{'failed':>9}{'skipped':>9}",
        style="bold",
    )
    for name, job in status["jobs"].items():
        last = ago(status["time"] - job["last_success"]) if job["last_success"] else "never"
        took = f"{job['last_duration']:.1f} s" if job["runs"] else "-"
        counts = f"{amount(job['runs']):>12}{amount(job['failures']):>9}{amount(job['skipped']):>9}"
        line = f"{printable(name):<{LABEL}}{last:<18}{took:>9}{counts}"
        yield Text(line, style="" if job["last_success"] or not job["runs"] else "bold")


def _links(status: Json, verdict: Json, address: str) -> Iterator[Text]:
    links = status["links"]
    pages = [RUNBOOKS[name] for name, channel in (verdict.get("channels") or {}).items() if channel["alarm"]]
    pages += [STATE_RUNBOOKS[status["state"]]] if status["state"] in STATE_RUNBOOKS else []
    runbooks = (links.get("runbooks") or "docs/runbooks").rstrip("/")
    grafana = links.get("dashboards")
    rows = [
        ("report", f"{address}/v1/report" if verdict.get("alarm") else None),
        ("episode", links.get("episode")),
        ("MLflow", links.get("mlflow_run")),
        ("dashboard", f"{grafana.rstrip('/')}/d/{OVERVIEW}" if grafana else None),
        *(("runbook", f"{runbooks}/{page}.md") for page in dict.fromkeys(pages)),
        ("verdicts", f"{address}/v1/verdicts"),
    ]
    for name, link in rows:
        # whole, however long it is: a cut address leads nowhere
        if link:
            yield Text(f"{name:<{LABEL}}{printable(link)}")


def _fact(name: str, text: str, columns: int) -> Text:
    return Text(hanging(f"{printable(name):<{LABEL}}", printable(text), columns))


def printable(text: str) -> str:
    r"""The text without what would steer a terminal.

    >>> printable("a\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))
