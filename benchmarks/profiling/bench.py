"""Profiling a batch against transformers' plain SDPA forward of the same batch.

``python -m benchmarks.profiling.bench [--smoke]`` prints a table and writes
``benchmarks/results/profiling.json``. CPU seconds are medians of interleaved repeats in one process;
each variant's peak memory is the median of processes of its own, above what they need with the weights
loaded and the libraries warm. The model has BERT-base's shape and random weights: cost does not
depend on their values.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

RESULTS = Path(__file__).parents[1] / "results"
PLAIN, PROFILE, GRADIENT, EAGER = "plain forward", "profile", "profile with gradient", "eager matrices"
VARIANTS = (PLAIN, PROFILE, GRADIENT, EAGER)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Rows of one length through a model of this size."""

    tokens: int
    rows: int
    repeats: int
    processes: int = 3
    layers: int = 12
    hidden: int = 768
    heads: int = 12


CASES = (
    Case(tokens=128, rows=8, repeats=9),
    Case(tokens=512, rows=2, repeats=7),
    Case(tokens=2048, rows=1, repeats=3),
)
SMOKE = (Case(tokens=32, rows=2, repeats=2, processes=1, layers=2, hidden=96),)


def write_model(case: Case, folder: Path) -> Path:
    """A BERT classifier of this size with random weights and a word tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=1000,
        num_hidden_layers=case.layers,
        num_attention_heads=case.heads,
        hidden_size=case.hidden,
        intermediate_size=4 * case.hidden,
        max_position_embeddings=max(512, case.tokens),
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def make_variants(case: Case, source: Path) -> dict[str, Callable[[], Any]]:
    """What to measure, as functions of nothing."""
    import torch

    from monitor.analysis.settings import AnalysisSettings
    from monitor.reading.analyser import Analyser
    from monitor.records import Sample
    from monitor.replay.model import load_model
    from monitor.replay.settings import ModelSettings

    analyser = Analyser(load_model(ModelSettings(source=str(source))), AnalysisSettings())
    network = analyser.model.network
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(4, 1000, (case.rows, case.tokens), generator=draw)
    # one row is half as long: padding is part of every real batch, but for a long text by itself
    lengths = [case.tokens] * case.rows
    lengths[-1] = lengths[-1] // 2 if case.rows > 1 else lengths[-1]
    encoded, _ = analyser.encode(
        [
            Sample(id=str(i), time=0.0, input_ids=tuple(row[:n].tolist()))
            for i, (row, n) in enumerate(zip(ids, lengths, strict=True))
        ]
    )
    batch = analyser.model.batch(list(encoded.values()))

    def forward(implementation: str, **options: Any) -> Callable[[], Any]:
        def run() -> Any:
            network.set_attn_implementation(implementation)
            with torch.no_grad():
                return network(input_ids=batch.ids, attention_mask=batch.real.long(), **options)

        return run

    def profile(*, gradient: bool) -> Callable[[], Any]:
        def run() -> Any:
            network.set_attn_implementation("headwatch")
            return analyser.reader.read_batch(batch, gradient=gradient)

        return run

    return {
        PLAIN: forward("sdpa"),
        PROFILE: profile(gradient=False),
        GRADIENT: profile(gradient=True),
        EAGER: forward("eager", output_attentions=True),
    }


def cpu_seconds(case: Case, source: Path) -> dict[str, float]:
    """Median CPU seconds of each variant, the repeats interleaved so that noise hits all alike."""
    variants = make_variants(case, source)
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for repeat in range(case.repeats + 1):
        for name, variant in variants.items():
            start = time.process_time()
            variant()
            if repeat:  # the first round warms up
                taken[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def peak_memory(case: Case, source: Path, variant: str) -> float:
    """MiB of peak memory above the weights: the median of fresh processes, for one says little."""
    return statistics.median(_one_peak(case, source, variant) for _ in range(case.processes))


def _one_peak(case: Case, source: Path, variant: str) -> float:
    command = [sys.executable, "-m", "benchmarks.profiling.bench", "--peak", variant, "--source", str(source),
               "--tokens", str(case.tokens), "--rows", str(case.rows)]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def print_peak(case: Case, source: Path, variant: str) -> None:
    """In the fresh process: warm up on a small batch, then run the variant once."""
    small = make_variants(Case(tokens=16, rows=1, repeats=1), source)
    small[variant]()
    del small
    run = make_variants(case, source)[variant]
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets the peak to what is used now
    before = _peak_kib()
    run()
    print((_peak_kib() - before) / 1024)


def _peak_kib() -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(case: Case) -> list[dict[str, Any]]:
    """One row a variant: CPU seconds, peak memory, and both as ratios to the plain forward."""
    with tempfile.TemporaryDirectory() as name:
        source = write_model(case, Path(name))
        seconds = cpu_seconds(case, source)
        peaks = {variant: peak_memory(case, source, variant) for variant in VARIANTS}
    return [
        {
            "tokens": case.tokens,
            "rows": case.rows,
            "variant": variant,
            "cpu_seconds": round(seconds[variant], 4),
            "cpu_ratio": round(seconds[variant] / seconds[PLAIN], 2),
            "peak_mib": round(peaks[variant], 1),
            "peak_ratio": round(peaks[variant] / max(peaks[PLAIN], 0.1), 2),
        }
        for variant in VARIANTS
    ]


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a short run; nothing is stored")
    parser.add_argument("--peak", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tokens", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print_peak(Case(tokens=given.tokens, rows=given.rows, repeats=1), given.source, given.peak)
        return
    rows = [row for case in (SMOKE if given.smoke else CASES) for row in measure(case)]
    print(f"{'tokens':>6} {'rows':>4}  {'variant':22} {'cpu s':>8} {'ratio':>6} {'peak MiB':>9} {'ratio':>6}")
    for row in rows:
        print(
            f"{row['tokens']:6} {row['rows']:4}  {row['variant']:22} {row['cpu_seconds']:8.3f} "
            f"{row['cpu_ratio']:6.2f} {row['peak_mib']:9.1f} {row['peak_ratio']:6.2f}"
        )
    if not given.smoke:
        RESULTS.mkdir(exist_ok=True)
        result = {"machine": machine(), "batches": rows}
        (RESULTS / "profiling.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
