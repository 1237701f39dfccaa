"""The dashboard to open first: is something different, since when, which heads, can that be trusted."""

from __future__ import annotations

from exporters.alert_rules import RUNBOOKS, alert_rules, page_name
from exporters.grafana.frame import Sections, dashboard, places
from exporters.grafana.panels import (
    Panel,
    Words,
    column_link,
    heads_table,
    lines,
    number,
    rows,
    states,
    steps,
    value_words,
)
from exporters.grafana.queries import MODEL, STATES, equal, last_hour, metric, per_second, state
from exporters.grafana.sdk import board, common, common_builders, model

UID = "headwatch-overview"
HEADS_URL = "/d/headwatch-heads?var-model=${__data.fields.model}&${__url_time_range}"


def overview() -> str:
    """The dashboard's JSON."""
    sections: Sections = {
        "Is something different?": [*_now(), *_over_time()],
        "Which heads, and where is the evidence?": _evidence(),
        "Can the answer be trusted?": _flow(),
    }
    return dashboard(
        UID,
        "overview",
        "What headwatch says of each model now, since when, and whether that can be relied on.",
        sections,
        places(several_models=True),
    )


def _now() -> list[Panel]:
    age = f"time() - max by (model) ({metric('window_end_timestamp_seconds')})"
    state_words = Words(
        shows="What headwatch says of each model now.",
        bad="critical, warning; and stale or too few samples, for then nobody looks. Only quiet is good.",
        then="read the cause, then the top heads below. Learning ends by itself.",
    )
    cause_words = Words(
        shows="data: other inputs. model: other weights. environment: the same weights give other numbers. "
        "serving: the server answers differently from the replay.",
        bad="any cause stands here.",
        then="data: ask who sends the traffic. model: look at the last deployment. environment: at the last "
        "image or node. serving: at the inference server.",
    )
    began = Words(
        shows="When the window began in which the evidence started to rise.",
        bad="it is there at all.",
        then="look for what was deployed or switched on just before.",
    )
    named = Words(
        shows="How many attention heads are named as drifted. The naming errs in few of them.",
        bad="above 0. Few heads in one layer point at weights, many in early layers at inputs.",
        then="open the dashboard headwatch / heads.",
    )
    last = Words(
        shows="Time since the last judged window ended.",
        bad="longer than two windows (window.duration in the configuration).",
        then="open headwatch / operations and see which job failed last.",
    )
    return [
        number("State", state_words, "none", 6, (state(), "{{model}}"))
        .mappings(value_words(STATES))
        .color_mode(common.BigValueColorMode.BACKGROUND),
        number("Cause", cause_words, "none", 5, (f"{metric('cause')} == 1", "{{cause}}"))
        .text_mode(common.BigValueTextMode.NAME)
        .no_value("no alarm"),
        number(
            "Drift began",
            began,
            "dateTimeFromNow",
            5,
            (f"{metric('alarm_since_timestamp_seconds')} * 1000", "{{model}}"),
        ).no_value("no alarm"),
        number("Heads named", named, "none", 4, (metric("heads_drifted"), "{{model}}")),
        number("Last success", last, "s", 4, (age, "{{model}}")),
    ]


def _over_time() -> list[Panel]:
    timeline = Words(
        shows="The state of each model over time.",
        bad="anything but quiet. Only quiet means that drift was looked for and not found.",
        then="click where a colour begins: that is the time to compare with your deployments.",
    )
    ratio = Words(
        shows="Each channel's evidence divided by the limit at which it alarms; all: the channels together. "
        "An alarm stays until its channel has recovered, also when the line falls below 1 again.",
        bad="a line reaches 1 (dashed). A slow climb towards it is no alarm yet.",
        then="heads or rollout: headwatch / heads. tokens, prediction, input: headwatch / tokens and "
        "predictions. model: compare the deployed files.",
    )
    drifted = Words(
        shows="Heads named as drifted in each window.",
        bad="above 0; a sudden jump is a switch somebody turned, a slow rise is the world.",
        then="open headwatch / heads.",
    )
    channel = f"clamp_min({metric('evidence')} / {metric('evidence_limit')}, 0)"
    pooled = f"clamp_min({metric('pooled_evidence')} / {metric('pooled_evidence_limit')}, 0)"
    limit = [model.Threshold(value=None, color="blue"), model.Threshold(value=1, color="red")]
    return [
        states("State over time", timeline, (state(), "{{model}}"), STATES),
        lines(
            "Evidence against its limit",
            ratio,
            "none",
            15,
            (channel, "{{model}} {{channel}}"),
            (pooled, "{{model}} all"),
        )
        .thresholds(board.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(limit))
        .thresholds_style(
            common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        )
        .min(0),
        steps(lines("Drifted heads over time", drifted, "none", 9, (metric("heads_drifted"), "{{model}}"))),
    ]


def _evidence() -> list[Panel]:
    heads = Words(
        shows="The heads with the strongest evidence: a statistic of each, in the baseline and now. "
        "The effect is in standard deviations of the baseline.",
        bad="evidence above the limit of channel heads, and an effect beyond 0.2 either way.",
        then="click the model for the maps of its layers.",
    )
    episode = Words(
        shows="The drift episode that stands, with its run in MLflow: head map, tokens gained and lost, "
        "the report.",
        bad="a row is here: an alarm stands.",
        then="click the page; report.html opens with three sentences on what changed.",
    )
    today = Words(
        shows="The MLflow run with today's windows.",
        bad="empty although MLflow is configured: no window was delivered yet.",
        then="click the page for the charts of every window; episodes are its neighbours.",
    )
    firing = Words(
        shows="Alerts of headwatch that fire in Prometheus.",
        bad="a row is here.",
        then="click the alert for its runbook.",
    )
    top = heads_table("Top heads", heads, 14, ("evidence", "effect", "before", "after"))
    firing_now = rows(
        "Alerts that fire",
        firing,
        10,
        {"": _alerts_with_pages()},
        {"alertname": "alert", "severity": "severity", "model": "model", "page": ""},
    )
    found = rows(
        "Episode",
        episode,
        14,
        {"": f"max by (model, episode, run_url) ({metric('episode_info')})"},
        {"model": "model", "episode": "episode", "run_url": "page"},
    )
    ran = rows(
        "Today's windows",
        today,
        10,
        {"": f"max by (model, run_url) ({metric('mlflow_run_info')})"},
        {"model": "model", "run_url": "page"},
    )
    page, runbook = "${__data.fields.run_url:raw}", f"{RUNBOOKS}/${{__data.fields.page:raw}}"
    return [
        column_link(top, "model", "Heads of this model", HEADS_URL, away=False),
        column_link(firing_now, "alert", "Runbook of this alert", runbook, away=True).no_value(
            "no alert fires"
        ),
        column_link(found, "page", "Open the episode in MLflow", page, away=True)
        .no_value("no alarm")
        .height(4),
        column_link(ran, "page", "Open the run in MLflow", page, away=True)
        .no_value("MLflow is not configured")
        .height(4),
    ]


def _alerts_with_pages() -> str:
    """The alerts that fire, each with the label ``page``: where its runbook is."""
    groups = alert_rules()["groups"]
    names = dict.fromkeys(rule["alert"] for group in groups for rule in group["rules"])
    firing = f'alertstate="firing", {MODEL}'
    found = " or ".join(
        f'label_replace(ALERTS{{{equal("alertname", name)}, {firing}}}, "page", "{page_name(name)}", "", "")'
        for name in names
    )
    return f"max by (alertname, severity, model, page) ({found})"


def _flow() -> list[Panel]:
    arrived = Words(
        shows="Samples a second that arrived, by the way they came, and those dropped, by reason.",
        bad="dropped is more than a hundredth of received: what is judged is not what was served.",
        then="the reason says which limit or which sender; headwatch / operations shows the queue.",
    )
    judged = Words(
        shows="Samples that each window was judged on, of those it received. A window takes a random part.",
        bad="judged near 0, or received far below your traffic.",
        then="check that the traffic reaches headwatch; low traffic joins windows for a day at most.",
    )
    outcome = Words(
        shows="Windows closed in the last hour, by outcome.",
        bad="too_few_samples, or none at all.",
        then="too_few_samples: lower window.minimum_samples or lengthen window.duration.",
    )
    return [
        lines(
            "Samples received and dropped",
            arrived,
            "cps",
            8,
            (per_second("samples_received_total", "source"), "received: {{source}}"),
            (f"{per_second('samples_dropped_total', 'reason')} > 0", "dropped: {{reason}}"),
        ).min(0),
        steps(
            lines(
                "Samples of a window",
                judged,
                "short",
                8,
                (metric("window_received"), "{{model}} received"),
                (metric("window_samples"), "{{model}} judged"),
            )
        ),
        lines(
            "Windows by outcome", outcome, "short", 8, (last_hour("windows_total", "outcome"), "{{outcome}}")
        ).min(0),
    ]
