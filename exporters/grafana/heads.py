"""The dashboard of one model's attention heads: which layers moved, which heads, do they matter."""

from __future__ import annotations

from exporters.grafana.frame import Sections, choice, dashboard
from exporters.grafana.panels import (
    Panel,
    Words,
    bars,
    coloured,
    heat,
    lines,
    number,
    stacked,
    steps,
)
from exporters.grafana.queries import MODEL, against_limit, equal, mean, worst
from exporters.grafana.tables import heads_table

UID = "headwatch-heads"


def heads(runbooks: str | None) -> str:
    """The dashboard's JSON; ``runbooks``: the address of their folder, None where it is not known."""
    sections: Sections = {
        "Which layers?": [*_now(), *_maps()],
        "Which heads, and what do they do now?": _heads(),
        "Do they matter?": _importance(),
    }
    statistics = choice(
        "statistic", "Statistic", f"label_values(headwatch_layer_statistic{{{MODEL}}}, statistic)", "entropy"
    )
    return dashboard(
        UID,
        "heads",
        "What the attention heads of one model do against its baseline: layers, heads, roles, importance.",
        sections,
        several_models=False,
        choices=[statistics],
        runbooks=runbooks,
    )


def _now() -> list[Panel]:
    named = Words(
        shows="Heads named as drifted, of all heads of the model.",
        bad="above 0.",
        then="look below whether they stand in one layer or in many.",
    )
    changed = Words(
        shows="Heads of which the share of a role (self, previous, first, separator) moved since the "
        "baseline by at least a tenth, and beyond chance.",
        bad="above 0: these heads do another job than before.",
        then="read which role below; the episode's report shows each head before and after.",
    )
    largest = Words(
        shows="The largest change of any head's statistic, in standard deviations of the baseline.",
        bad="beyond about 0.3: that is what chance gives with windows of 200 samples.",
        then="find its layer in the map. Longer inputs move it too: compare headwatch / "
        "tokens and predictions.",
    )
    evidence = Words(
        shows="Evidence of the channels heads and rollout, divided by the limit at which they alarm.",
        bad="1 or more: in alarm.",
        then="read the cause in headwatch / overview.",
    )
    roles = f"sum by (model) ({worst('heads_role_changed', 'role')})"
    both = against_limit('channel=~"heads|rollout"')
    return [
        coloured(number("Heads named", named, "none", 6, (worst("heads_drifted"), "{{model}}")), 1, "orange"),
        coloured(number("Heads with another role", changed, "none", 6, (roles, "{{model}}")), 1, "orange"),
        number("Largest change", largest, "none", 6, (worst("layer_effect"), "{{model}}")).decimals(2),
        coloured(
            number("Evidence against its limit", evidence, "none", 6, (both, "{{channel}}")).decimals(2),
            1,
            "red",
        ),
    ]


def _maps() -> list[Panel]:
    change = Words(
        shows="Layer by time: the largest change of a head's statistic in each layer, in standard deviations "
        "of the baseline. Dark is unchanged (chance gives 0.3), the brightest is 2 and more.",
        bad="bright cells that stay. One layer alone points at its weights, all layers together at the "
        "inputs. Longer inputs move it too.",
        then="open the episode's head map in MLflow for layer by head.",
    )
    profile = Words(
        shows="Layer by time: the mean of the chosen statistic over the heads of each layer. Entropy is "
        "normalised: 0 looks at one token, 1 at all alike.",
        bad="a row that changes its colour and keeps it.",
        then="choose another statistic above; compare the time with your deployments.",
    )
    statistic = mean("layer_statistic", "layer", where=equal("statistic", "$statistic"))
    return [
        heat(
            "Change of each layer",
            change,
            "none",
            12,
            (worst("layer_effect", "layer"), "{{layer}}"),
            brightest=2,
        ),
        heat("$statistic of each layer", profile, "none", 12, (statistic, "{{layer}}")),
    ]


def _heads() -> list[Panel]:
    top = Words(
        shows="The heads with the strongest evidence: a statistic of each in the baseline and now, the "
        "effect in standard deviations of the baseline, and the head's share of the model's importance.",
        bad="an effect beyond 0.2 either way, the more so with a large importance.",
        then="important heads that moved: look at the predictions next. Unimportant ones can wait.",
    )
    named = Words(
        shows="Heads named as drifted in each window.",
        bad="above 0.",
        then="a jump: look for a switch at that time. A slow rise: the traffic changes.",
    )
    changed = Words(
        shows="Heads with another role than in the baseline, by the role of which their share moved most.",
        bad="above 0. previous: word order is read differently. separator or first: heads fall "
        "idle or wake up.",
        then="read role_changes.json of the episode in MLflow for the heads themselves.",
    )
    leading = Words(
        shows="How many heads each role describes best, in the last attributed samples.",
        bad="the bands shift and stay; dead grows.",
        then="compare with the heads that changed their role.",
    )
    roles = lines("Role changes", changed, "none", 8, (worst("heads_role_changed", "role"), "{{role}}"))
    return [
        heads_table(
            "Top heads",
            top,
            24,
            ("layer", "head", "statistic", "instance"),
            ("evidence", "effect", "before", "after", "importance_ratio"),
        ),
        steps(lines("Drifted heads over time", named, "none", 8, (worst("heads_drifted"), "{{model}}"))),
        steps(roles),
        stacked(
            lines(
                "Roles of all heads",
                leading,
                "none",
                8,
                (f"{mean('heads_leading', 'role')} > 0", "{{role}}"),
            )
        ),
    ]


def _importance() -> list[Panel]:
    top = Words(
        shows="Each top head's share of the model's head importance: how much the predictions would move "
        "without it. All heads of a model together have 1.",
        bad="a drifted head is far above an even share (1 / number of heads).",
        then="expect predictions to follow: look at headwatch / tokens and predictions.",
    )
    layer = Words(
        shows="The share of the model's head importance in each layer, in the last window.",
        bad="importance moves to other layers and stays there: the model decides by other means.",
        then="compare with the layers that changed above.",
    )
    return [
        bars(
            "Importance of the top heads",
            top,
            "percentunit",
            12,
            (
                f"sort_desc({worst('head_importance_ratio', 'layer', 'head')})",
                "layer {{layer}}, head {{head}}",
            ),
        ),
        stacked(
            lines(
                "Importance of each layer",
                layer,
                "percentunit",
                12,
                (mean("layer_importance_ratio", "layer"), "layer {{layer}}"),
            )
        ).max(1),
    ]
