"""The dashboard to open first: is something different, since when, which heads, can that be trusted."""

from __future__ import annotations

from exporters.alerts.rules import alert_rules, page_name
from exporters.grafana.frame import Sections, dashboard
from exporters.grafana.panels import (
    Panel,
    Words,
    bars,
    coloured,
    limited,
    lines,
    number,
    states,
    steps,
    value_words,
)
from exporters.grafana.queries import (
    CAUSES,
    MODEL,
    MOST_LIMITS,
    STATES,
    against_limit,
    cause,
    equal,
    last_hour,
    metric,
    per_second,
    state,
    worst,
)
from exporters.grafana.sdk import common
from exporters.grafana.tables import column_link, column_page, column_words, heads_table, rows
from exporters.severity_words import ALERT_SEVERITIES

UID = "headwatch-overview"
HEADS_URL = (
    "/d/headwatch-heads?${datasource:queryparam}&${job:queryparam}&var-instance=${__data.fields.instance}"
    "&var-model=${__data.fields.model}&${__url_time_range}"
)
AWAY = "no headwatch is scraped here: nothing is watched"


def overview(runbooks: str | None) -> str:
    """The dashboard's JSON; ``runbooks``: the address of their folder, None where it is not known."""
    sections: Sections = {
        "Is something different?": [*_now(), *_over_time()],
        "What to open, and which heads?": _evidence(runbooks),
        "Can the answer be trusted?": _flow(),
    }
    return dashboard(
        UID,
        "overview",
        "What headwatch says of each model now, since when, and whether that can be relied on.",
        sections,
        several_models=True,
        runbooks=runbooks,
    )


def _now() -> list[Panel]:
    age = f"time() - min by (model) ({metric('window_end_timestamp_seconds')})"
    state_words = Words(
        shows="What headwatch says of each model now; of several replicas the worst. An alarm stands until "
        "it is over, also when later windows cannot be judged.",
        bad="critical, warning; and stale, gone or too few samples, for then nobody looks. Only quiet is "
        "good.",
        then="read the cause, then the alerts and the top heads below. Learning ends by itself.",
        empty=AWAY,
    )
    cause_words = Words(
        shows="data: other inputs. model: other weights. environment: the same weights give other numbers. "
        "serving: the server answers differently from the replay. One value for each cause of each model.",
        bad="any cause stands here.",
        then="data: ask who sends the traffic. model: look at the last deployment. environment: at the last "
        "image or node. serving: at the inference server.",
        empty=AWAY,
    )
    began = Words(
        shows="When the window began in which the evidence started to rise. An orange line marks it in every "
        "chart.",
        bad="it is there at all.",
        then="look for what was deployed or switched on just before.",
        empty="no alarm",
    )
    named = Words(
        shows="How many attention heads are named as drifted. The naming errs in few of them.",
        bad="above 0 (orange). Few heads in one layer point at weights, many in all layers at inputs.",
        then="open the dashboard headwatch / heads.",
    )
    last = Words(
        shows="Time since the last judged window ended; of several replicas the longest.",
        bad="longer than two windows (window.duration in the configuration).",
        then="open headwatch / operations and see which job failed last.",
    )
    return [
        number("State", state_words, "none", 6, (state(), "{{model}}"))
        .mappings(value_words(STATES))
        .color_mode(common.BigValueColorMode.BACKGROUND),
        number("Cause", cause_words, "none", 5, (cause(), "{{model}}")).mappings(value_words(CAUSES)),
        number(
            "Drift began",
            began,
            "dateTimeFromNow",
            5,
            (f"min by (model) ({metric('alarm_since_timestamp_seconds')}) * 1000", "{{model}}"),
        ),
        coloured(number("Heads named", named, "none", 4, (worst("heads_drifted"), "{{model}}")), 1, "orange"),
        number("Last success", last, "s", 4, (age, "{{model}}")),
    ]


def _over_time() -> list[Panel]:
    timeline = Words(
        shows="The state of each model over time; of several replicas the worst.",
        bad="anything but quiet. Only quiet means that drift was looked for and not found.",
        then="hover where a colour begins: that is the time to compare with your deployments.",
        empty=AWAY,
    )
    strongest = Words(
        shows="The strongest evidence of the last window: each channel's, divided by the limit at which it "
        "alarms, 100 at most. The eight highest.",
        bad="1 or more (red): in alarm.",
        then="read beside it since when.",
    )
    ratio = Words(
        shows="Each channel's evidence divided by the limit at which it alarms, 100 at most; "
        "all: the channels together. An alarm stays until its channel has recovered, also when the line "
        "falls below 1 again.",
        bad="a line reaches 1 (dashed). A slow climb towards it is no alarm yet.",
        then="heads or rollout: headwatch / heads. tokens, prediction, input: headwatch / tokens and "
        "predictions. model: compare the deployed files.",
    )
    drifted = Words(
        shows="Heads named as drifted in each window.",
        bad="above 0; a sudden jump is a switch somebody turned, a slow rise is the world.",
        then="open headwatch / heads.",
    )
    channel = against_limit()
    pooled = f"clamp({metric('pooled_evidence')} / {metric('pooled_evidence_limit')}, 0, {MOST_LIMITS})"
    return [
        states("State over time", timeline, (state(), "{{model}}"), STATES),
        bars(
            "Strongest evidence now",
            strongest,
            "none",
            6,
            (f"sort_desc(topk(8, {channel}))", "{{model}} {{channel}}"),
            limit=1,
        ).decimals(2),
        limited(
            lines(
                "Evidence against its limit",
                ratio,
                "none",
                11,
                (channel, "{{model}} {{channel}}"),
                (f"max by (model) ({pooled})", "{{model}} all"),
            )
            .min(0)
            .axis_soft_max(1.2),
            1,
        ),
        steps(lines("Drifted heads over time", drifted, "none", 7, (worst("heads_drifted"), "{{model}}"))),
    ]


def _evidence(runbooks: str | None) -> list[Panel]:
    heads = Words(
        shows="The heads with the strongest evidence: a statistic of each, in the baseline and now. "
        "The effect is in standard deviations of the baseline.",
        bad="evidence above the limit of channel heads, and an effect beyond 0.2 either way.",
        then="click the model for the maps of its layers.",
        empty="no window judged yet, or a model whose heads are not read",
    )
    episode = Words(
        shows="The drift episode that stands, with its run in MLflow: head map, tokens gained and lost, "
        "the report.",
        bad="a row is here: an alarm stands.",
        then="click the page; report.html opens with three sentences on what changed. Without a page, MLflow "
        "is not configured or has not answered yet: ask headwatch status.",
        empty="no alarm",
    )
    today = Words(
        shows="The MLflow run with today's windows.",
        bad="empty although MLflow is configured: no window was delivered yet.",
        then="click the page for the charts of every window; episodes are its neighbours.",
        empty="MLflow is not configured, or has no window yet",
    )
    firing = Words(
        shows="Alerts of headwatch that fire in Prometheus, and the page of the runbook for each.",
        bad="a row is here.",
        then="click the alert or its page: what to do stands there.",
        empty="no alert fires",
    )
    top = heads_table(
        "Top heads",
        heads,
        16,
        ("model", "layer", "head", "statistic", "instance"),
        ("evidence", "effect", "before", "after"),
    )
    firing_now = rows(
        "Alerts that fire",
        firing,
        12,
        {"": _alerts_with_pages()},
        {
            "severity": "severity",
            "alertname": "alert",
            "model": "model",
            "instance": "instance",
            "page": "runbook",
        },
    )
    found = rows(
        "Episode",
        episode,
        12,
        {"": f"max by (model, episode, run_url) ({metric('episode_info')})"},
        {"model": "model", "episode": "episode", "run_url": "page"},
    )
    ran = rows(
        "Today's windows",
        today,
        8,
        {"": f"max by (model, run_url) ({metric('mlflow_run_info')})"},
        {"model": "model", "run_url": "page"},
    )
    page = "${__data.fields.run_url:raw}"
    for column in ("alert", "runbook") if runbooks is not None else ():
        runbook = f"{runbooks}/${{__data.fields.page:raw}}"
        firing_now = column_link(firing_now, column, "Runbook of this alert", runbook, away=True)
    severities = {word: colour for word, colour in STATES.values() if word in ALERT_SEVERITIES.values()}
    return [
        column_words(firing_now, "severity", severities).height(6),
        column_page(found, "page", "open the episode in MLflow", page).height(6),
        column_link(top, "model", "Heads of this model", HEADS_URL, away=False).height(9),
        column_page(ran, "page", "open the run in MLflow", page).height(9),
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
    return f"max by (alertname, severity, model, instance, page) ({found})"


def _flow() -> list[Panel]:
    arrived = Words(
        shows="Samples a second that arrived, by the way they came, and those dropped, by reason.",
        bad="dropped is more than a hundredth of received: what is judged is not what was served.",
        then="the reason says which limit or which sender; headwatch / operations shows the queue.",
        empty="no headwatch is scraped here",
    )
    judged = Words(
        shows="Samples that the last window was judged on, of those it received; of several replicas the "
        "sum. A window takes a random part.",
        bad="judged near 0, or received far below your traffic.",
        then="check that the traffic reaches headwatch; low traffic joins windows for a day at most.",
    )
    outcome = Words(
        shows="Windows closed in the last hour, by outcome.",
        bad="too_few_samples, or none at all.",
        then="too_few_samples: lower window.minimum_samples or lengthen window.duration.",
        empty="no window closed yet",
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
                (f"sum by (model) ({metric('window_received')})", "{{model}} received"),
                (f"sum by (model) ({metric('window_samples')})", "{{model}} judged"),
            )
        ),
        lines(
            "Windows by outcome", outcome, "short", 8, (last_hour("windows_total", "outcome"), "{{outcome}}")
        ).min(0),
    ]
