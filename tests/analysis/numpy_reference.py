"""The ten statistics and rollout written again in plain numpy loops, from eager attention matrices.

This is the other side of the parity tests: it imports nothing from ``monitor`` and shares no code,
no intermediate and no shortcut with it. One row at a time, without its padding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def eager_row(network: Any, call: dict[str, torch.Tensor], row: int) -> list[np.ndarray]:
    """Row ``row`` of a padded batch through eager attention: a (head, query, key) matrix a layer."""
    real = call["attention_mask"][row].bool().numpy()
    with torch.no_grad():
        output = network(**call, output_attentions=True)
    return [matrix[row].double().numpy()[:, real][:, :, real] for matrix in output.attentions]


def eager_contexts(
    network: Any, call: dict[str, torch.Tensor], row: int, names: list[str]
) -> list[np.ndarray]:
    """What goes into the modules ``names`` (the output projections): (query, head x dim) a layer."""
    caught: list[torch.Tensor] = []
    modules = dict(network.named_modules())
    handles = [modules[n].register_forward_pre_hook(lambda _m, x: caught.append(x[0])) for n in names]
    with torch.no_grad():
        network(**call)
    for handle in handles:
        handle.remove()
    real = call["attention_mask"][row].bool().numpy()
    return [context[row].double().numpy()[real] for context in caught]


def statistics(
    matrix: np.ndarray,
    *,
    special: np.ndarray,
    causal: bool,
    window: int | None = None,
    context: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """(head, 10) in the order of the issue; NaN where there is no context, or for a decoder's separator.

    matrix (head, query, key) without padding; special (token,) True at the tokenizer's special
    tokens; window: a sliding window's size (how far a query sees, itself included);
    context (query, head x dim), weight (head x dim, hidden).
    """
    heads, n, _ = matrix.shape
    if causal:
        special = np.arange(n) == 0
    queries = [i for i in range(n) if not special[i]] or list(range(n))
    if causal:
        queries = [i for i in queries if i + 1 >= 2]
    result = np.full((heads, 10), np.nan)
    readout = n - 1 if causal else 0
    for h in range(heads):
        columns: list[list[float]] = [[] for _ in range(7)]
        content_values = []
        for i in queries:
            a = matrix[h, i]
            keys = _keys(i, n, causal, window)
            columns[0].append(_entropy(a[keys]) / np.log(len(keys)) if len(keys) > 1 else 0.0)
            content = [j for j in keys if not special[j] and j != 0]
            mass = a[content].sum()
            if len(content) >= 2 and mass >= 1e-4:
                content_values.append(_entropy(a[content] / mass) / np.log(len(content)))
            columns[2].append(a[i])
            columns[3].append(a[i - 1] if i > 0 else 0.0)
            columns[4].append(a[0])
            columns[5].append(sum(a[j] for j in range(n) if special[j] and j != 0))
            uniform = np.mean([abs(i - j) for j in keys])
            moved = sum(a[j] * abs(i - j) for j in keys)
            columns[6].append(moved / uniform if uniform > 0 else 0.0)
        for place in (0, 2, 3, 4, 5, 6):
            result[h, place] = np.mean(columns[place]) if queries else 0.0
        result[h, 1] = np.mean(content_values) if content_values else 0.0
        if causal:
            result[h, 5] = np.nan
        if context is not None and weight is not None:
            result[h, 7] = _output_norm(context, weight, h, heads, queries)
        keys = _keys(readout, n, causal, window)
        row = matrix[h, readout]
        result[h, 8] = _entropy(row[keys]) / np.log(len(keys)) if len(keys) > 1 else 0.0
        result[h, 9] = sum(row[j] for j in range(n) if special[j] or j == 0)
    return result


def rollout_row(matrices: list[np.ndarray], *, causal: bool) -> np.ndarray:
    """The read-out row of the product of (A + I)/2 over the layers, A the mean over heads."""
    n = matrices[0].shape[-1]
    joint = np.eye(n)
    for matrix in matrices:
        joint = 0.5 * (matrix.mean(axis=0) + np.eye(n)) @ joint
    return joint[n - 1 if causal else 0]


def _keys(i: int, n: int, causal: bool, window: int | None) -> list[int]:
    lowest = 0 if window is None else max(0, i - window + 1)
    highest = n - 1 if window is None else min(n - 1, i + window - 1)
    return list(range(lowest, i + 1 if causal else highest + 1))


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _output_norm(context: np.ndarray, weight: np.ndarray, head: int, heads: int, queries: list[int]) -> float:
    size = context.shape[1] // heads
    span = slice(head * size, (head + 1) * size)
    norms = [np.linalg.norm(context[i, span] @ weight[span]) for i in queries]
    return float(np.log(max(np.mean(norms), 1e-12))) if queries else 0.0
