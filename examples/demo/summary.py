"""What came of the story, and whether it is what headwatch promises.

``expectations`` is a pure function: plan and findings in, sentences about what failed out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from examples.demo.plan import Act, Plan, describe

CAUSE: dict[Act, Literal["data", "model"]] = {"domain": "data", "trigger": "data", "fault": "model"}
TOP = 5
MOST_DELAY = 1
"""The shifted window by which an act's alarm is promised: the acts shift much of the traffic."""
MOST_RECOVERY = 3
"""Quiet windows by which it is promised to clear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the sidecar said during one act, read from its verdicts only.

    ``windows_until_alarm`` counts from the act's first shifted window (1: in that window itself).
    ``windows_until_named`` counts until the alarm named what was done; an act goes on until then, and
    what is told here is the verdict of that window. ``channels`` are those in alarm.
    ``heads`` are the channel model's for a fault, else those of the channel heads, strongest first;
    ``tokens`` are the words gained, ``lost`` those lost. ``arrived_after`` is in seconds after the
    verdict, None when the alert did not arrive (or no Alertmanager runs); ``alert`` is its text.
    """

    act: Act
    windows: int
    windows_until_alarm: int | None = None
    windows_until_named: int | None = None
    cause: str | None = None
    causes: tuple[str, ...] = ()
    severity: str | None = None
    since_window: int | None = None
    channels: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    summary: str = ""
    arrived_after: float | None = None
    alert: str = ""
    windows_until_cleared: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """The windows in which nothing was shifted, and those among them that raised a new alarm."""

    windows: int
    false_alarms: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything that the summary is made of. Times in seconds."""

    plan: Plan
    quiet: Quiet
    findings: tuple[Finding, ...]
    alertmanager: bool
    timing: dict[str, float] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)


def read_alarm(verdict: dict[str, Any], act: Act) -> dict[str, Any]:
    """The fields of a ``Finding`` that one verdict of ``GET /v1/verdicts`` gives."""
    channels = verdict["channels"]
    heads = channels.get("model" if act == "fault" else "heads", {}).get("top", [])
    return {
        "cause": verdict["cause"],
        "causes": tuple(verdict["causes"]),
        "severity": verdict["severity"],
        "since_window": verdict["since"],
        "channels": tuple(name for name, channel in channels.items() if channel["alarm"]),
        "heads": tuple(f"L{item['layer']}H{item['head']}" for item in heads[:TOP]),
        "tokens": tuple(channels.get("tokens", {}).get("gained", [])[:TOP]),
        "lost": tuple(channels.get("tokens", {}).get("lost", [])[:TOP]),
        "summary": verdict["summary"],
    }


def names_what_was_done(alarm: dict[str, Any], plan: Plan, act: Act) -> bool:
    """Whether an alarm names the trigger word, or the damaged head before any other head."""
    if act == "trigger":
        return plan.trigger.casefold() in (token.casefold() for token in alarm["tokens"])
    if act == "fault":
        return bool(alarm["heads"]) and alarm["heads"][0] == plan.fault.name
    return True


def expectations(story: Story) -> list[str]:
    """One sentence for each thing that is not as promised; empty when the story went well."""
    failed = [
        f"window {window} raised an alarm although nothing was shifted in it"
        for window in story.quiet.false_alarms
    ]
    if story.quiet.windows == 0:
        failed.append("no quiet window was judged")
    told = {finding.act: finding for finding in story.findings}
    for act in story.plan.acts:
        if act not in told:
            failed.append(f"the act '{act}' was not played")
        else:
            failed.extend(_expectations_of_act(told[act], story))
    return failed


def _expectations_of_act(finding: Finding, story: Story) -> list[str]:
    act, plan = finding.act, story.plan
    if finding.windows_until_alarm is None:
        return [f"{act}: no alarm in {finding.windows} windows ({describe(plan, act)})"]
    failed = []
    if finding.windows_until_alarm > MOST_DELAY:
        failed.append(
            f"{act}: the alarm came in shifted window {finding.windows_until_alarm}, the goal is {MOST_DELAY}"
        )
    if finding.cause != CAUSE[act]:
        failed.append(f"{act}: the cause is {CAUSE[act]!r}, but headwatch said {finding.cause!r}")
    if not names_what_was_done({"heads": finding.heads, "tokens": finding.tokens}, plan, act):
        if act == "trigger":
            named = ", ".join(finding.tokens) or "no token"
            failed.append(f"trigger: the word is {plan.trigger!r}, but headwatch named {named}")
        else:
            named = ", ".join(finding.heads) or "no head"
            failed.append(f"fault: the damaged head is {plan.fault.name}, but headwatch named {named}")
    if story.alertmanager and finding.arrived_after is None:
        failed.append(f"{act}: the alert did not arrive through Alertmanager")
    if finding.windows_until_cleared is None:
        failed.append(f"{act}: the alarm did not clear in the quiet windows after it")
    elif finding.windows_until_cleared > MOST_RECOVERY:
        failed.append(
            f"{act}: the alarm cleared after {finding.windows_until_cleared} quiet windows, the goal is "
            f"{MOST_RECOVERY}"
        )
    return failed


def to_json(story: Story) -> dict[str, Any]:
    """The content of demo-summary.json."""
    failed = expectations(story)
    return {
        "schema": 1,
        "passed": not failed,
        "failed": failed,
        "seed": story.plan.seed,
        "quiet": {"alarm": bool(story.quiet.false_alarms), **asdict(story.quiet)},
        "acts": [_act_to_json(finding, story.plan) for finding in story.findings],
        "alertmanager": story.alertmanager,
        "timing": {name: round(seconds, 1) for name, seconds in story.timing.items()},
        "links": story.links,
    }


def _act_to_json(finding: Finding, plan: Plan) -> dict[str, Any]:
    done: dict[str, object] = {"what": describe(plan, finding.act)}
    if finding.act == "domain":
        done |= {"source": plan.domain, "share": plan.domain_share}
    elif finding.act == "trigger":
        done |= {"word": plan.trigger}
    else:
        done |= {"head": plan.fault.name, "damage": plan.fault.damage}
    found = asdict(finding)
    found["alarm"] = finding.windows_until_alarm is not None
    found["top_heads"] = found.pop("heads")
    found["top_tokens"] = found.pop("tokens")
    found["lost_tokens"] = found.pop("lost")
    return {"act": found.pop("act"), "done": done, **found}
