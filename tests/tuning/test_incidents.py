from __future__ import annotations

import pytest

from monitor.errors import InputError
from monitor.tuning.incidents import EXAMPLE, Incident, read_incidents

NO_TIMES = [0.0] * 1000
MINUTES = [1_769_860_800.0 + 60 * minute for minute in range(1000)]  # from 2026-01-31T12:00:00Z


def read(tmp_path, *lines, times=NO_TIMES):
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_incidents(path, times)


def test_incidents_are_told_by_the_numbers_of_their_samples_in_the_order_of_the_log(tmp_path):
    found = read(
        tmp_path,
        '{"start": 500, "end": 600}',
        "",
        '{"start": 100, "end": 200, "name": "one", "cause": "model"}',
    )
    assert found == (
        Incident(name="one", cause="model", start=100, stop=200, start_time=None),
        Incident(name="line 1", cause=None, start=500, stop=600, start_time=None),
    )  # fmt: skip


def test_incidents_told_by_time_begin_with_the_first_sample_at_or_after_it(tmp_path):
    line = '{"start": "2026-01-31T12:09:30Z", "end": "2026-01-31T14:20:00+01:00"}'
    (found,) = read(tmp_path, line, times=MINUTES)
    assert (found.start, found.stop) == (10, 80)
    assert found.start_time == MINUTES[0] + 9.5 * 60


def test_an_incident_told_by_its_sample_begins_at_the_time_of_that_sample(tmp_path):
    (found,) = read(tmp_path, '{"start": 10, "end": 2000}', times=MINUTES)
    assert (found.start_time, found.stop) == (MINUTES[10], 2000)


@pytest.mark.parametrize(
    "line, said",
    [
        ("{", f"is no JSON; write one incident a line, as in {EXAMPLE}"),
        ("[1, 2]", f"is no JSON object; write it as in {EXAMPLE}"),
        ('{"end": 5}', f"start: missing; write it as in {EXAMPLE}"),
        ('{"start": 1, "end": 5, "x": 1}', "x: unknown key; an incident has start, end, name and cause"),
        (
            '{"start": 1.5, "end": 5}',
            "start: must be the number of a sample, from 0, or a time as in 2026-01-31T12:00:00Z",
        ),
        ('{"start": "noon", "end": 5}', "start: is no RFC 3339 time; write it as in 2026-01-31T12:00:00Z"),
        (
            '{"start": "2026-01-31T12:00:00Z", "end": 5}',
            "start: is a time, and the log has samples without; give the numbers of samples instead",
        ),
        ('{"start": 5, "end": 5}', "end: is not after start; write the first sample after the incident"),
        (
            '{"start": 1000, "end": 1005}',
            "start: is behind the log's end (1000 samples); give the log that has it",
        ),
        (
            '{"start": 1, "end": 5, "cause": "luck"}',
            "cause: must be one of data, model, environment, serving; leave it out if unknown",
        ),
        (
            '{"start": 1, "end": 5, "name": ""}',
            "name: must be a text of 1 to 100 characters; leave it out if there is none",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_its_remedy(tmp_path, line, said):
    with pytest.raises(InputError) as error:
        read(tmp_path, '{"start": 10, "end": 20}', line)
    assert str(error.value) == f"labels.jsonl line 2: {said}"


def test_every_mistake_is_named_at_once(tmp_path):
    with pytest.raises(InputError) as error:
        read(tmp_path, '{"start": 10, "end": 20}', '{"start": 15, "end": 30}', '{"end": -1}')
    either = "the number of a sample, from 0, or a time as in 2026-01-31T12:00:00Z"
    assert str(error.value).splitlines() == [
        f"labels.jsonl line 3: start: missing; write it as in {EXAMPLE}",
        f"labels.jsonl line 3: end: must be {either}",
        "labels.jsonl line 2: overlaps the incident of line 1; write them as one",
    ]  # fmt: skip


def test_a_file_that_names_nothing_or_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        read(tmp_path, "")
    path = tmp_path / "labels.jsonl"
    assert str(error.value) == f"--labels = {path}: names no incident; give lines as in {EXAMPLE}"
    with pytest.raises(InputError) as error:
        read_incidents(tmp_path / "none", NO_TIMES)
    assert str(error.value) == (
        f"--labels = {tmp_path / 'none'}: cannot be read (No such file or directory); "
        f"give a file of lines as in {EXAMPLE}"
    )
