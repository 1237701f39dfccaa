"""What `headwatch compare` says of checkpoints whose difference is known.

``python -m benchmarks.compare.bench [--smoke]`` prints its tables and writes
``benchmarks/results/compare.json``. The model is the demo's (72 heads), the texts are sentences that
it was not trained on. Zeroed outputs, rounding and retraining go through the command line itself, exit
code and JSON; the other damages through the same functions without attributions. ``by behaviour`` is
what the profiles alone name, with the hashes of the parameters unread.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.compare.checkpoints import damaged, made, retrained, rounded
from benchmarks.compare.table import tables
from benchmarks.detection.faults import DAMAGES, ZEROED, Fault
from benchmarks.detection.models import sentiment
from benchmarks.machine import machine
from examples.sentiment.texts import rotten_tomatoes

RESULTS = Path(__file__).parents[1] / "results"
SAMPLES = 64
SAME, DIFFERENT = 0, 3
Row = dict[str, Any]


def run_command(model: Path, candidate: Path, source: Path, fail_on: str = "any") -> tuple[int, Row]:
    """Exit code and JSON of the command."""
    from monitor.cli import main

    output = source.with_name("compare.json")
    options = {"--model": model, "--candidate": candidate, "--input": source, "--json": output}
    words = [str(word) for pair in options.items() for word in pair]
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            main(["compare", *words, "--fail-on", fail_on])
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
    if code not in (SAME, DIFFERENT):
        raise SystemExit(said.getvalue())
    return code, json.loads(output.read_text(encoding="utf-8"))


def zeroed(model: Path, source: Path, most: int | None) -> list[Row]:
    """One row per head whose output is zeroed, by the command."""
    rows = []
    for name, fault in islice(damaged("output_zeroed"), most):
        with made(model, fault) as candidate:
            code, found = run_command(model, candidate, source)
        rows.append(_damage_row("output_zeroed", name, found) | {"exit_code": code})
        _say(rows[-1])
    return rows


def otherwise_damaged(model: Path, source: Path, most: int | None) -> list[Row]:
    """One row per head and other damage, by the functions under the command."""
    from monitor.commands.samples import load_analyser, read_input
    from monitor.comparing.comparison import compare, floor_of
    from monitor.comparing.reading import read_model
    from monitor.comparing.summary import to_json

    samples = read_input(source)

    def read(folder: Path, dtype: str = "float32", *, gradient: bool = False) -> Any:
        analyser = load_analyser(str(folder), task="auto", max_tokens=None, threads=1, dtype=dtype)
        return read_model(analyser, samples, gradient=gradient)[0]

    before = read(model, gradient=True)
    floor = floor_of(before, read(model, "bfloat16"))
    rows = []
    for damage in (*ZEROED, *DAMAGES[1:]):
        for name, fault in islice(damaged(damage), most):
            with made(model, fault) as candidate:
                found = to_json(compare(before, read(candidate), floor))
            rows.append(_damage_row(damage, name, found))
            _say(rows[-1])
    return rows


def _damage_row(damage: str, name: str, found: Row) -> Row:
    head = next(item for item in found["heads"] if item["head"] == name)
    roles = [item["role"] for item in found["heads"]]
    return {
        "damage": damage,
        "head": name,
        "named": found["origins"],
        "by_behaviour": found["begins"],
        "size": round(head["size"], 3),
        "limit": round(head["limit"], 3),
        "important": head["important"],
        "fails": found["fails"],
        "downstream": roles.count("downstream"),
        "beside_or_before": sum(
            item["moved"] and item["layer"] <= head["layer"] and item["head"] != name
            for item in found["heads"]
        ),
        "labels_flipped": len(found["predictions"]["flips"]),
    }


def others(model: Path, source: Path, faults: Mapping[str, Fault]) -> Iterator[Row]:
    """One row per checkpoint, by the command."""
    for name, fault in faults.items():
        with made(model, fault) as candidate:
            code, found = run_command(model, candidate, source)
        moved = [item for item in found["heads"] if item["moved"]]
        row = {
            "checkpoint": name,
            "exit_code": code,
            "differs": found["differs"],
            "weights": {key: len(found["weights"][key]) for key in ("heads", "layers", "modules")},
            "heads_moved": len(moved),
            "first_layer": min((item["layer"] for item in moved), default=None),
            "largest": round(max(item["size"] for item in found["heads"]), 4),
            "nearest_to_limit": round(max(item["size"] / item["limit"] for item in found["heads"]), 3),
            "labels_flipped": len(found["predictions"]["flips"]),
            "probability_moved": round(found["predictions"]["mean_change"], 4),
            "attribution_correlation": round(found["attributions"]["mean"], 3),
        }
        _say(row)
        yield row


def figures(rows: list[Row]) -> list[Row]:
    """Per damage: how many heads there are, and how many were named right, and alone."""
    return [
        {
            "damage": damage,
            "heads": len(own),
            "named": sum(row["named"] == [row["head"]] for row in own),
            "named_by_behaviour": sum(row["by_behaviour"] == row["head"] for row in own),
            "moved": sum(row["size"] > row["limit"] for row in own),
            "smallest_size": min(row["size"] for row in own),
            "others_at_or_before_it": sum(row["beside_or_before"] for row in own),
            "fails_on_any": sum(row["fails"]["any"] for row in own),
            "important": sum(row["important"] for row in own),
            "fails_on_important": sum(row["fails"]["important"] for row in own),
            "a_label_flipped": sum(row["labels_flipped"] > 0 for row in own),
        }
        for damage in dict.fromkeys(row["damage"] for row in rows)
        if (own := [row for row in rows if row["damage"] == damage])
    ]


def measure(*, smoke: bool) -> Row:
    """Every part; a smoke run takes two heads of each damage, eight samples and the two plainest others."""
    most = 2 if smoke else None
    count = 8 if smoke else SAMPLES
    with tempfile.TemporaryDirectory() as folder:
        model, source = Path(folder) / "model", Path(folder) / "texts.jsonl"
        shutil.copytree(sentiment(), model)
        texts = [text.text for text in rotten_tomatoes().held_out[:count]]
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        started = time.process_time()
        rows = zeroed(model, source, most)
        seconds = (time.process_time() - started) / len(rows)
        rows += otherwise_damaged(model, source, most)
        return {
            "samples": count,
            "cpu_seconds_a_comparison": round(seconds, 2),
            "figures": figures(rows),
            "rounded": list(others(model, source, dict(islice(rounded().items(), most)))),
            "retrained": [] if smoke else list(others(model, source, retrained())),
            "damaged": rows,
        }


def _say(row: Row) -> None:
    print(row, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a short run; nothing is stored")
    given = parser.parse_args()
    result = measure(smoke=given.smoke)
    print(tables(result))
    if not given.smoke:
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps({"machine": machine(), **result}, indent=2)
        (RESULTS / "compare.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
