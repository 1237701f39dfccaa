"""What to do now, from cause, words and severity: the head of the runbooks, for this one episode."""

from __future__ import annotations

from monitor.records import Verdict
from monitor.report.episode_clauses import quoted, single_word
from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_words import SUSPECTED, capital, named_heads


def steps(report: EpisodeReport) -> list[str]:
    """What to do now, most urgent first: plain text."""
    verdict = report.verdict
    found = [f"Look for {SUSPECTED[item.name]} first." for item in verdict.suspicions]
    if "model" in verdict.causes:
        found.append(
            "Compare the deployed revision with the one that should run. Roll back, or, if the change was "
            "meant, declare the revision in the traffic."
        )
        if named_heads(verdict):
            found.append(
                "The framed heads point at the weights: compare the files with what should be deployed."
            )
    if "serving" in verdict.causes:
        found.append(
            "Check that the server runs the same revision and the same preprocessing; replay one request by "
            "hand with `headwatch explain`."
        )
    if "environment" in verdict.causes:
        found.append(
            "Build the baseline again when there is time."
            if verdict.upgrades
            else "Look for a new image, node type, driver, or a changed precision."
        )
    if "data" in verdict.causes:
        found.append(_about_words(verdict))
        found.append(
            "If the new traffic is wanted, accept it: `headwatch baseline promote --config FILE` makes it "
            "the "
            "baseline."
        )
    if verdict.severity == "page":
        found.append("If answers are wrong, put the fallback in front of the model before looking for more.")
    return [capital(one) for one in found if one]


def _about_words(verdict: Verdict) -> str:
    single = single_word(verdict)
    if single is None:
        return "Find out who sends the traffic and what changed: a new sender, domain, language or template."
    return (
        f"Find out who sends {quoted(single)}: one sender, a template, a campaign, or somebody who "
        "tries a "
        "trigger. Your own logs have the requests."
    )
