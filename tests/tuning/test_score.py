from __future__ import annotations

from dataclasses import replace

from scipy.stats import binom

from monitor.tuning.incidents import Incident
from monitor.tuning.score import score
from tests.exporters.scenes import quiet

SIZE = 100


def verdicts(line):
    """One letter a window: ``.`` quiet, ``R`` raised, ``a`` in alarm, ``C`` cleared; 5 minutes each."""
    return [
        replace(
            quiet(index),
            start=300.0 * index,
            end=300.0 * (index + 1),
            state="alarm" if letter in "Ra" else "quiet",
            alarm=letter in "Ra",
            raised=letter == "R",
            cleared=letter == "C",
            causes=("data",) if letter in "Ra" else (),
        )
        for index, letter in enumerate(line)
    ]


def incident(start, stop, *, name="one", cause=None, start_time=None):
    return Incident(name=name, cause=cause, start=start, stop=stop, start_time=start_time)


def scored(line, *incidents, mean_windows=10.0):
    pieces = [range(SIZE * index, SIZE * (index + 1)) for index in range(len(line))]
    return score(verdicts(line), pieces, incidents, mean_windows=mean_windows, window_seconds=300.0)


def test_an_alarm_that_begins_outside_every_incident_is_a_false_one():
    found = scored("..RaC...Ra.C...", incident(700, 1000))
    assert (found.false_alarms, found.found) == (1, 1)


def test_delay_counts_windows_from_the_first_with_a_sample_of_the_incident():
    found = scored("...aRaaC..".replace("aR", ".R"), incident(350, 600))
    (one,) = found.incidents
    assert (one.window, one.delay, one.delay_seconds) == (4, 2, 600.0)


def test_delay_in_time_runs_from_the_start_of_the_incident_to_the_end_of_the_window():
    (one,) = scored("....RaC...", incident(350, 600, start_time=1000.0)).incidents
    assert one.delay_seconds == 5 * 300.0 - 1000.0


def test_an_alarm_that_stood_before_the_incident_does_not_find_it():
    found = scored("..Raaaaaaaa", incident(500, 800))
    assert (found.false_alarms, found.found) == (1, 0)
    assert found.incidents[0].delay is None


def test_quiet_again_counts_the_windows_after_the_incident():
    assert scored("..RaaC...", incident(200, 400)).incidents[0].cleared == 2
    assert scored("..RaC....", incident(200, 400)).incidents[0].cleared == 1
    assert scored("..Raaaaaa", incident(200, 400)).incidents[0].cleared is None
    both = scored("..RaaaaC.", incident(200, 400), incident(500, 600, name="two"))
    assert both.incidents[0].cleared is None, "the next incident came first"


def test_windows_in_which_no_alarm_could_begin_make_no_chance_of_a_false_one():
    found = scored("..RaaC....", incident(200, 400), mean_windows=4.0)
    # 10 windows, two of the incident, one behind it that began in alarm, and one that cleared
    assert (found.windows, found.quiet) == (10, 6)
    assert found.stated == 6 / 4
    assert found.bound == binom.ppf(0.99, 6, 1 / 4)


def test_the_cause_is_compared_where_the_label_names_one():
    told = scored(
        "R.C.R.C.R.C", incident(0, 100, cause="data"), incident(400, 500, cause="model"), incident(800, 900)
    )
    assert [one.cause_right for one in told.incidents] == [True, False, None]


def test_median_and_largest_are_over_the_incidents_that_were_found():
    found = scored("R.C...R.C...", incident(0, 100), incident(400, 700), incident(1000, 1100))
    assert found.spread("delay") == (2.0, 3)
    assert found.to_json()["median_delay"] == 2.0
    assert scored("....", incident(0, 100)).spread("delay") == (None, None)
