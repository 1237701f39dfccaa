"""What to do now, from cause, words and severity: the head of the runbooks, for this one episode."""

from __future__ import annotations

from monitor.report.episode_clauses import quoted
from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_shift import is_hidden, single_word
from monitor.report.episode_words import SUSPECTED, capital, known_time, named_heads, utc


def steps(report: EpisodeReport) -> list[str]:
    """What to do now, most urgent first: plain text, a sentence each."""
    verdict = report.verdict
    found = [f"Look for {SUSPECTED[item.name]} first." for item in verdict.suspicions]
    if "model" in verdict.causes:
        found += _about_model(report)
    if "serving" in verdict.causes:
        found.append("Check that the server runs the same revision and the same preprocessing.")
        found.append("Replay one request by hand with `headwatch explain` and compare the answers.")
    if "environment" in verdict.causes:
        found.append(
            "Build the baseline again when there is time."
            if verdict.upgrades
            else "Look for a new image, node type, driver, or a changed precision."
        )
    if "data" in verdict.causes:
        found.append(_about_words(report))
        found.append(
            "If the new traffic is wanted, accept it: `headwatch baseline promote --config FILE` makes it "
            "the baseline."
        )
    if verdict.severity == "page":
        found.append("If answers are wrong, put the fallback in front of the model before looking for more.")
    return [capital(one) for one in found]


def _about_model(report: EpisodeReport) -> list[str]:
    found = [
        (
            "Compare the deployed revision with the one that should run, and roll back unless the change was "
            "meant."
        ),
        "If the change was meant, declare the revision in the traffic.",
    ]
    if named_heads(report.verdict):
        found.append("The framed heads point at the weights: compare the files with what should be deployed.")
    return found


def _about_words(report: EpisodeReport) -> str:
    word = single_word(report)
    if word is None:
        return "Find out who sends the traffic and what changed: a new sender, domain, language or template."
    if is_hidden(word):
        since = report.verdict.since_time
        when = f"since {utc(since)}" if since is not None and known_time(since) else "since then"
        return f"Look in your own logs for a word that is new {when}, and find out who sends it."
    return (
        f"Find out who sends {quoted(word)}: one sender, a template, a campaign, or somebody who tries a "
        "trigger; your own logs have the requests."
    )
