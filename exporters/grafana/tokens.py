"""The dashboard of what one model reads and answers: tokens, explanations, predictions, inputs."""

from __future__ import annotations

from exporters.grafana.frame import Sections, dashboard
from exporters.grafana.panels import Panel, Words, limited, lines, names_beside, stacked, steps
from exporters.grafana.queries import equal, mean, worst
from exporters.grafana.sdk import common_builders
from exporters.grafana.tables import column_unit, rows

UID = "headwatch-tokens"
SHARE = "percentunit"
NOT_ATTRIBUTED = "nothing attributed yet, or analysis.attribution is off"
NOT_WATCHED = "nothing attributed yet, or analysis.watch_lists is empty"


def tokens(runbooks: str | None) -> str:
    """The dashboard's JSON; ``runbooks``: the address of their folder, None where it is not known."""
    sections: Sections = {
        "Which tokens?": _tokens(),
        "Can the explanations be relied on?": _explanations(),
        "Does it matter? Predictions": _predictions(),
        "What comes in? Inputs": _inputs(),
    }
    return dashboard(
        UID,
        "tokens and predictions",
        "Which tokens drive one model, whether the explanations agree, what it predicts, and what it is fed. "
        "No token is ever a label: the words stand in the episode's run in MLflow.",
        sections,
        several_models=False,
        runbooks=runbooks,
    )


def _tokens() -> list[Panel]:
    overlap = Words(
        shows="Of the baseline's 20 commonest top-attributed words, the share that is among the last "
        "window's 20 too. Windows are small samples, so it never stays at 1.",
        bad="it falls below its usual level and stays there.",
        then="open the episode in MLflow: it names the tokens gained and lost.",
    )
    moved = Words(
        shows="How many tokens are clearly more, or clearly less, common than in the baseline.",
        bad="above 0.",
        then="the episode's run in MLflow names them. A name or a template points at one sender; a word "
        "without sense in a steady share of inputs may be a trigger that somebody tries.",
    )
    watched = Words(
        shows="For each watch list: the share of the attribution that lies on its words, in inputs that have "
        "one of them.",
        bad="it rises: the model leans on these words more than it did.",
        then="read examples in the episode's report; decide whether the model should be used like that.",
        empty=NOT_WATCHED,
    )
    seen = Words(
        shows="For each watch list: the share of attributed samples that have one of its words.",
        bad="a step: other inputs come in.",
        then="judge the attribution beside it only where this is not near 0.",
        empty=NOT_WATCHED,
    )
    parts = Words(
        shows="The share of the attribution that lies on punctuation, and on special tokens.",
        bad="it rises: predictions rest on form instead of words.",
        then="look for inputs that lost their punctuation, or for a changed tokenizer.",
        empty=NOT_ATTRIBUTED,
    )
    return [
        lines("Overlap of top tokens", overlap, SHARE, 8, (mean("top_tokens_overlap_ratio"), "{{model}}"))
        .min(0)
        .max(1),
        steps(
            lines(
                "Tokens gained and lost",
                moved,
                "none",
                8,
                (worst("tokens_gained"), "gained"),
                (worst("tokens_lost"), "lost"),
            )
        ),
        lines(
            "Attribution on punctuation and special tokens",
            parts,
            SHARE,
            8,
            (mean("attribution_share_ratio", "part"), "{{part}}"),
        ).min(0),
        lines(
            "Attribution on watch lists",
            watched,
            SHARE,
            12,
            (mean("watch_list_share_ratio", "watch_list"), "{{watch_list}}"),
        ).min(0),
        lines(
            "Samples with a watched word",
            seen,
            SHARE,
            12,
            (mean("watch_list_seen_ratio", "watch_list"), "{{watch_list}}"),
        ).min(0),
    ]


def _explanations() -> list[Panel]:
    agreement = Words(
        shows="How far other rankings of the tokens agree with Integrated Gradients: rank correlation "
        "(spearman) and the share of the five strongest tokens that are the same (overlap_at_5).",
        bad="gradient_times_input falls: the top tokens of every sample are taken from it. rollout is low "
        "for most models; attention is no explanation.",
        then="trust tokens of the attributed samples over those of the whole window.",
        empty=NOT_ATTRIBUTED,
    )
    faithful = Words(
        shows="What the prediction loses without a method's top tokens (comprehensiveness: high is good) and "
        "with them alone (sufficiency: low is good).",
        bad="comprehensiveness near 0: the tokens that are named do not carry the prediction.",
        then="read named tokens as a hint only, and look at the heads instead.",
        empty=NOT_ATTRIBUTED,
    )
    converged = Words(
        shows="The share of attributed samples whose label changes without their three strongest tokens, and "
        "the share of attributions that did not converge (they are left out of all means).",
        bad="not converged above a tenth (dashed); or flips that drop to 0 with short inputs.",
        then="raise analysis.attribution.maximum_steps.",
        empty=NOT_ATTRIBUTED,
    )
    samples = Words(
        shows="How many samples had Integrated Gradients in the last run; the other panels of this row are "
        "means over them.",
        bad="fewer than 5: means of so few say little.",
        then="raise analysis.attribution.samples; it costs CPU.",
        empty=NOT_ATTRIBUTED,
    )
    return [
        names_beside(
            lines(
                "Agreement with Integrated Gradients",
                agreement,
                "none",
                12,
                (mean("attribution_agreement", "method", "measure"), "{{method}}: {{measure}}"),
            )
        ),
        names_beside(
            lines(
                "Faithfulness",
                faithful,
                "none",
                12,
                (mean("attribution_faithfulness", "method", "measure"), "{{method}}: {{measure}}"),
            )
        ),
        limited(
            lines(
                "Flipped and not converged",
                converged,
                SHARE,
                12,
                (mean("attribution_flips_ratio"), "flipped"),
                (mean("attribution_unconverged_ratio"), "not converged"),
            )
            .min(0)
            .max(1)
            .height(6),
            0.1,
        ),
        steps(
            lines("Attributed samples", samples, "none", 12, (mean("attribution_samples"), "{{model}}"))
        ).height(6),
    ]


def _predictions() -> list[Panel]:
    mix = Words(
        shows="The mean probability that the model gives each label: the mix of its predictions.",
        bad="a band grows or shrinks and stays.",
        then="compare with the truth where you have labels: a changed mix is no error by itself.",
        empty="no window judged yet, or a model without labels",
    )
    table = Words(
        shows="The same mix in the baseline and in the last window.",
        bad="the two columns differ by more than a few points.",
        then="evidence for channel prediction in headwatch / overview says whether that is chance.",
        empty="no window judged yet, or a model without labels",
    )
    effect = Words(
        shows="Change of each measure of predictions, inputs and attention flow since the evidence began to "
        "rise, in standard deviations of the baseline.",
        bad="beyond 0.2 either way: drift.minimum_effect wakes nobody below it.",
        then="read the table beside it for the numbers.",
    )
    moved = Words(
        shows="The same measures now: the mean of each in the baseline and since the evidence began to rise, "
        "and how far it moved either way, in standard deviations of the baseline. The largest stands first.",
        bad="moved by more than 0.2.",
        then="the measure that moved most names the kind of change: a probability, a length, unknown tokens.",
    )
    fidelity = Words(
        shows="The share of served labels that the replay gives too.",
        bad="it leaves the baseline's line downwards: the server does something that its own files do not.",
        then="compare preprocessing, version and precision of the inference server.",
        empty="no window judged yet, or requests without the server's prediction",
    )
    baseline, window = (
        mean("prediction_mix_ratio", "label", where=equal("when", when)) for when in ("baseline", "window")
    )
    usual = mean(
        "measure_before", where=f"{equal('channel', 'fidelity')}, {equal('measure', 'label_differs')}"
    )
    both = rows(
        "Prediction mix before and after",
        table,
        6,
        {"baseline": baseline, "window": window},
        {"label": "label", "model": ""},
    )
    for heading in ("baseline", "window"):
        both = column_unit(both, heading, SHARE, 1)
    return [
        stacked(lines("Prediction mix", mix, SHARE, 10, (window, "{{label}}"))),
        both,
        lines(
            "Agreement with the server",
            fidelity,
            SHARE,
            8,
            (mean("fidelity_ratio"), "window"),
            (f"1 - {usual}", "baseline"),
        ).max(1),
        names_beside(
            lines(
                "Changes of predictions, inputs and flow",
                effect,
                "none",
                14,
                (mean("measure_effect", "channel", "measure"), "{{channel}}: {{measure}}"),
            )
        ).height(10),
        _moved(moved).height(10),
    ]


def _moved(words: Words) -> Panel:
    by = ("channel", "measure")
    columns = {when: mean(f"measure_{when}", *by) for when in ("before", "after")}
    panel = rows(
        "Measures before and after",
        words,
        10,
        {**columns, "moved": f"abs({mean('measure_effect', *by)})"},
        {"channel": "channel", "measure": "measure", "model": ""},
    )
    for heading in ("before", "after", "moved"):
        panel = column_unit(panel, heading, "none", 3)
    return panel.sort_by([common_builders.TableSortByFieldState().display_name("moved").desc(True)])


def _inputs() -> list[Panel]:
    length = Words(
        shows="Mean number of tokens of an input, in the last window and in the baseline.",
        bad="the window leaves the baseline's line and stays away.",
        then="shorter: a field that is no longer sent, or a cut. Longer: another source, or a template.",
    )
    unknown = Words(
        shows="Share of tokens that the tokenizer does not know.",
        bad="above the baseline: another language or a broken encoding.",
        then="look at the encoding of what is sent, and at the tokenizer's files.",
    )
    cut = Words(
        shows="Share of inputs that are cut at the model's limit.",
        bad="above the baseline: the model no longer sees the end of its inputs.",
        then="shorten inputs before they are sent, or raise model.max_tokens with the server's limit.",
    )

    def panel(title: str, words: Words, unit: str, name: str) -> Panel:
        return lines(
            title,
            words,
            unit,
            8,
            (mean(name, where=equal("when", "window")), "window"),
            (mean(name, where=equal("when", "baseline")), "baseline"),
        ).min(0)

    return [
        panel("Input length", length, "short", "input_tokens"),
        panel("Unknown tokens", unknown, SHARE, "input_unknown_ratio"),
        panel("Truncated inputs", cut, SHARE, "input_truncated_ratio"),
    ]
